// A second verifier of receipts, written from docs/formats.md alone; it shares no code with the
// first. `node verify.mjs --trust FILE [--rpc URL] RECEIPT…` prints one answer of section 13 a
// line and exits 0 iff all are ok; `--lines` reads the receipts from standard input instead, base64,
// one a line.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { Node, checkAnchor, checkPosted, compareEnacted } from "./chain.mjs";
import { checkMethod, checkRule } from "./documents.mjs";
import {
  Breach, H, base64, leafHash, must, readCanonical, readNote, rootFromPath, sm3,
} from "./formats.mjs";
import { sm2Verifies } from "./primitives.mjs";
import { issuerOf, leafOf, readLeaf, readReceipt } from "./receipt.mjs";

const STEPS = ["issuer", "format", "leaf", "path", "checkpoint", "anchor", "posted", "method",
  "rule", "origin"];

function signatureLine(line, text, keys) {
  const parts = /^— ([a-z0-9./-]{1,64}) ([A-Za-z0-9+/=]+)$/.exec(line);
  must(parts, "signature line");
  const bytes = base64(parts[2]);
  must(bytes.length === 68, "signature length");
  const key = keys.find(({ name, public_key }) =>
    name === parts[1] && keyId(name, base64(public_key)).equals(bytes.subarray(0, 4)));
  must(key, `no valid key for ${parts[1]}`);
  const [r, s] = [bytes.subarray(4, 36), bytes.subarray(36)];
  must(sm2Verifies(sm3, base64(key.public_key), Buffer.from(text), r, s), "signature");
  return key;
}

const keyId = (name, publicKey) =>
  H(name, [0x0a, 0xff], "tanhui-sm2-v1", publicKey).subarray(0, 4);

function checkCheckpoint({ receipt, trust }) {
  const note = readNote(receipt.checkpoint);
  must(note.origin === trust.log.origin, "origin line");
  must(/^([^\n]+\n)+$/.test(note.tail), "signature lines");
  const valid = trust.checkpoint_keys.filter(({ from_size, to_size }) =>
    from_size <= note.size && (to_size === null || note.size < to_size));
  const keys = note.tail.slice(0, -1).split("\n").map((line) => signatureLine(line, note.text, valid));
  must(new Set(keys).size === keys.length, "a key twice");
  must(keys.some(({ role }) => role === "issuer"), "no issuer's signature");
  return "ok";
}

function checkPath({ receipt }) {
  const note = readNote(receipt.checkpoint);
  const { index, size, path } = receipt.log;
  const root = rootFromPath(leafOf(receipt), index, size, path.map((hex) => Buffer.from(hex, "hex")));
  must(size === note.size && root.equals(note.root), "root");
  return "ok";
}

// ---- sections 11 and 14: origin

function readDer(bytes) {
  const numbers = [];
  must(bytes[0] === 0x30 && bytes[1] === bytes.length - 2 && bytes.length < 130, "DER");
  let at = 2;
  while (at < bytes.length) {
    const length = bytes[at + 1];
    const number = bytes.subarray(at + 2, at + 2 + length);
    must(bytes[at] === 2 && length >= 1 && number.length === length && number[0] < 0x80, "DER");
    must(!(length > 1 && number[0] === 0 && number[1] < 0x80) && length <= 33, "DER");
    numbers.push(Buffer.concat([Buffer.alloc(33), number]).subarray(-32));
    must(length < 33 || number[0] === 0, "DER");
    at += 2 + length;
  }
  must(numbers.length === 2, "DER");
  return numbers;
}

function checkOrigin({ receipt, leaf, trust }) {
  const { origin, form } = receipt;
  const { method, event } = leaf.values;
  const alone = Object.keys(origin).length === 1;
  if (alone) {
    const expected = method ? method.origin : "issuer";
    must(origin.kind === expected, "kind");
    return form === "share" ? "hidden" : "stated";
  }
  must(form === "full" && event, "a statement needs an event");
  const path = origin.path.map((hex) => Buffer.from(hex, "hex"));
  const root = rootFromPath(leafHash(Buffer.from(event.digest, "hex")), origin.index, origin.count, path);
  const text = `tanhui-statement-v1\n${event.partner}\n${origin.day}\n${origin.count}\n${root.toString("hex")}\n`;
  const [r, s] = readDer(base64(origin.signature));
  const keys = trust.partner_keys.filter((key) => key.partner === event.partner &&
    key.purpose === "statement" && key.from_day <= origin.day &&
    (key.to_day === null || origin.day < key.to_day));
  must(keys.some((key) => sm2Verifies(sm3, base64(key.public_key), Buffer.from(text), r, s)), "signature");
  return "ok";
}

// ---- section 13

/** Verifies one receipt. Returns {ok, steps} as `tanhui verify --json` does. */
export async function verify(bytes, trust, node = null) {
  const verdicts = Object.fromEntries(STEPS.map((step) => [step, ["not_checked", null]]));
  const judge = async (step, action) => {
    try {
      verdicts[step] = [await action(), null];
    } catch (error) {
      if (!(error instanceof Breach)) throw error;
      verdicts[step] = ["failed", error.message];
    }
    return verdicts[step][0] !== "failed";
  };
  await walk({ bytes, trust, node }, judge);
  const steps = STEPS.map((step) => ({ step, verdict: verdicts[step][0], reason: verdicts[step][1] }));
  return { ok: steps[0].verdict === "ok" && steps.every(({ verdict }) => verdict !== "failed"), steps };
}

async function walk(context, judge) {
  const { bytes, trust, node } = context;
  let formatHeld = false;
  const known = await judge("issuer", () => {
    must(issuerOf(bytes) === trust.issuer.id, "unknown issuer");
    return "ok";
  });
  try {
    context.receipt = readReceipt(bytes);
    formatHeld = true;
  } catch (error) {
    await judge("format", () => { throw error; });
  }
  if (!known || !formatHeld) return;
  await judge("format", () => "ok");
  const leafHeld = await judge("leaf", () => {
    context.leaf = readLeaf(context);
    return "ok";
  });
  await judge("path", () => checkPath(context));
  await judge("checkpoint", () => checkCheckpoint(context));
  await judge("anchor", () => checkAnchor(context));
  if (!leafHeld) return;
  await judge("posted", () => checkPosted(context));
  const reachable = node && (await node.check().then(() => true, () => false));
  for (const [which, check] of [["method", checkMethod], ["rule", checkRule]]) {
    await judge(which, async () => {
      const verdict = check(context);
      if (reachable) await compareEnacted(context, which);
      return verdict;
    });
  }
  await judge("origin", () => checkOrigin(context));
}

async function main(given) {
  const option = (name) => {
    const at = given.indexOf(name);
    return at < 0 ? null : given.splice(at, 2)[1];
  };
  const trust = readCanonical(readFileSync(option("--trust")), "trust file");
  const rpc = option("--rpc");
  const receipts = given[0] === "--lines"
    ? readFileSync(0, "utf8").split("\n").filter(Boolean).map((line) => Buffer.from(line, "base64"))
    : given.map((file) => readFileSync(file));
  const node = rpc ? new Node(rpc, trust) : null;
  let allHeld = true;
  for (const receipt of receipts) {
    const answer = await verify(receipt, trust, node);
    allHeld &&= answer.ok;
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exitCode = allHeld ? 0 : 1;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(process.argv.slice(2));
