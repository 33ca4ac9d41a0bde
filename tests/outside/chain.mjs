// What a node says: sections 7 and 8 of docs/formats.md.

import { Breach, CJ, H, canonical, dayNumber, must, readNote } from "./formats.mjs";
import { keccak256 } from "./primitives.mjs";

// ---- sections 7 and 8: the chain

const word = (value) => BigInt(value).toString(16).padStart(64, "0");
const idWord = (id) => Buffer.from(id, "ascii").toString("hex").padEnd(64, "0");
const selector = (signature) => keccak256(Buffer.from(signature)).subarray(0, 4).toString("hex");
const SLOT = `0x${word(BigInt(`0x${keccak256(Buffer.from("eip1967.proxy.implementation")).toString("hex")}`) - 1n)}`;

export class Node {
  constructor(url, trust) {
    Object.assign(this, { url, trust, checked: null });
  }

  async call(method, ...params) {
    let body;
    try {
      const answer = await fetch(this.url, { method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }) });
      body = await answer.json();
    } catch {
      throw new Breach("the node does not answer");
    }
    must(body.error === undefined && body.result !== undefined, `the node refuses ${method}`);
    return body.result;
  }

  /** The node holds the chain of trust.json, with the contracts that are listed there. */
  check() {
    this.checked ??= this.checkOnce();
    return this.checked;
  }

  async checkOnce() {
    const { chain_id, deployment, contracts } = this.trust.chain;
    must(BigInt(await this.call("eth_chainId")) === BigInt(chain_id), "chain id");
    must((await this.blockHash(deployment.block)) === `0x${deployment.hash}`, "deployment block");
    for (const { address, proxy_code_hash, implementations } of Object.values(contracts)) {
      must((await this.codeHash(address)) === proxy_code_hash, "proxy code");
      const slot = await this.call("eth_getStorageAt", address, SLOT, "latest");
      must(/^0x0{24}[0-9a-f]{40}$/.test(slot), "implementation slot");
      const code = await this.codeHash(`0x${slot.slice(26)}`);
      must(implementations.some(({ code_hash }) => code_hash === code), "implementation code");
    }
  }

  async codeHash(address) {
    const code = await this.call("eth_getCode", address, "latest");
    return keccak256(Buffer.from(code.slice(2), "hex")).toString("hex");
  }

  async blockHash(block) {
    const found = await this.call("eth_getBlockByNumber", `0x${block.toString(16)}`, false);
    return found?.hash;
  }

  async read(address, data) {
    return this.call("eth_call", { to: address, data: `0x${data}` }, "latest");
  }

  /** The input of a transaction that succeeded at this contract in this canonical block. */
  async input(address, tx, block) {
    const receipt = await this.call("eth_getTransactionReceipt", tx);
    must(receipt !== null && receipt.status === "0x1" && receipt.to === address, "transaction");
    must(Number(receipt.blockNumber) === block, "block of the transaction");
    must(receipt.blockHash === (await this.blockHash(block)), "block not canonical");
    const sent = await this.call("eth_getTransactionByHash", tx);
    return { data: sent.input.slice(2), blockHash: receipt.blockHash };
  }
}

export async function checkAnchor({ receipt, trust, node }) {
  const { anchor, log } = receipt;
  const { chain_id, contracts } = trust.chain;
  const { address } = contracts.EvidenceAnchor;
  must(anchor.chain_id === chain_id && anchor.contract === address, "contract");
  if (!node) return "not_checked";
  await node.check();
  const root = readNote(receipt.checkpoint).root.toString("hex");
  const size = word(log.size);
  must((await node.read(address, selector("rootOf(uint64)") + size)) === `0x${root}`, "rootOf");
  const { data, blockHash } = await node.input(address, anchor.tx, anchor.block);
  must(blockHash === `0x${anchor.block_hash}`, "block hash");
  must(data.startsWith(selector("anchor(uint64,bytes32,bytes32)") + size + root), "input");
  return "ok";
}

const BATCH = { award: 1, refund: 1, redeem: 2, expire: 3, reverse: 3, erase: 3 };

/** Decodes the input of post(): the ten words of the header, the days and the records. */
function decodePost(data) {
  must(data.startsWith("eb16267a"), "selector");
  const words = data.slice(8);
  const at = (n) => {
    const one = words.slice(64 * n, 64 * n + 64);
    must(one.length === 64, "input too short");
    return one;
  };
  const number = (n, bits) => {
    const value = BigInt(`0x${at(n)}`);
    must(value < 1n << BigInt(bits), "padding");
    return Number(value);
  };
  const left20 = (n) => {
    must(at(n).endsWith("0".repeat(24)), "padding");
    return at(n).slice(0, 40);
  };
  const batch = {
    kind: number(0, 8), class: at(1), programme: at(2), rule: at(3), ruleVersion: number(4, 32),
    reason: number(5, 8), leafFrom: number(6, 64), leafTo: number(7, 64), accountFrom: left20(8),
    accountTo: left20(9), dayFrom: number(10, 32), dayTo: number(11, 32),
  };
  must(number(12, 64) === 13 * 32, "offset of the records");
  const length = number(13, 64);
  const body = words.slice(14 * 64);
  must(body.length === Math.ceil(length / 32) * 64 && /^0*$/.test(body.slice(length * 2)), "padding");
  return { batch, header: words.slice(0, 640), records: readRecords(body.slice(0, length * 2)) };
}

function readRecords(hex) {
  const records = hex.match(/.{48}/g) ?? [];
  must(records.length * 48 === hex.length && records.length >= 1 && records.length <= 2040, "records");
  const found = new Map();
  let last = "";
  for (const record of records) {
    const [account, amount] = [record.slice(0, 40), parseInt(record.slice(40), 16)];
    must(account > last && amount >= 1, "records");
    last = account;
    found.set(account, amount);
  }
  return found;
}

export async function checkPosted({ receipt, leaf, trust, node }) {
  const { posted, log, form } = receipt;
  const { address } = trust.chain.contracts.CarbonPoints;
  must(posted === null || posted.contract === address, "contract");
  if (!node) return "not_checked";
  await node.check();
  if (posted === null) return form === "share" ? "hidden" : "not_checked";
  const { data } = await node.input(address, posted.tx, posted.block);
  const { batch, header, records } = decodePost(data);
  const domain = Buffer.from("tanhui-batch-v1").toString("hex").padEnd(64, "0");
  const named = domain + word(node.trust.chain.chain_id) + word(address) + header;
  must(keccak256(Buffer.from(named, "hex")).toString("hex") === posted.batch_id, "batch id");
  checkCovered(batch, leaf.values, log.index);
  const { account, points } = leaf.values;
  must((records.get(account) ?? 0) >= points.amount, "not in the records");
  return "stated";
}

function checkCovered(batch, { act, points, rule, occurrence, account }, index) {
  must(batch.kind === BATCH[act.act] && batch.reason === act.reason, "kind");
  must(batch.class === idWord(points.class), "class");
  const [programme, id, version] = rule ? [idWord(rule.programme), idWord(rule.id), rule.version]
    : [word(0), word(0), 0];
  must(batch.programme === programme && batch.rule === id && batch.ruleVersion === version, "rule");
  must(batch.leafFrom <= index && index < batch.leafTo, "leaf outside the batch");
  must(batch.accountFrom <= account && account <= batch.accountTo, "account outside the batch");
  const day = dayNumber(occurrence.city_day);
  if (batch.kind === 1) must(batch.dayFrom <= day && day < batch.dayTo, "day outside the batch");
  else must(batch.dayFrom === 0 && batch.dayTo === 0, "days");
}

export async function compareEnacted({ receipt, leaf, node }, which) {
  const document = receipt.documents[which];
  if (document === null) return;
  const { address } = node.trust.chain.contracts.RuleRegistry;
  const what = which === "rule" ? 1 : 2;
  const answer = await node.read(address, selector("enacted(uint8,bytes32,uint32)") + word(what) +
    idWord(document.id) + word(document.version));
  must(answer.length === 2 + 3 * 64, "enacted");
  const [digest, from, to] = [0, 1, 2].map((n) => answer.slice(2 + 64 * n, 66 + 64 * n));
  const [dayFrom, dayTo] = [from, to].map((one) => Number(BigInt(`0x${one}`)));
  must(digest === H(CJ(document)).toString("hex"), "not the enacted document");
  must(dayFrom === dayNumber(document.day_from) && dayTo <= dayNumber(document.day_to), "enacted window");
  if (receipt.leaf.kind === 2) {
    must(dayTo <= dayNumber(leaf.values.enactment.day_to), "not stopped on chain");
  }
  if (receipt.leaf.kind !== 1 || receipt.form === "share") return;
  must(dayNumber(leaf.values.occurrence.city_day) < dayTo, "stopped before that day");
}
