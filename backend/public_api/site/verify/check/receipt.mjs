// Receipts: formats.md §11. Read strictly; nothing has been verified afterwards.

import { utf8 } from "./bytes.mjs";
import { must } from "./breach.mjs";
import { DOCUMENT_DEPTH_MAX, canonical, looseJson, readCanonical } from "./json.mjs";
import { FIELDS, ORIGINS, SHARED_FIELDS } from "./leaf.mjs";
import {
  ADDRESS, HEX32, ID, INTEGER_MAX, TX, bytesOf, day, hash, integer, isObject, list, members, text,
} from "./shape.mjs";
import { sm3 } from "./sm3.mjs";

export const BYTES_MAX = 262_144;
const PATH_MAX = 64;
/** Bytes beyond this are not searched for an issuer. */
const ISSUER_READ_MAX = 1 << 22;

/**
 * A receipt whose shape holds, hashes as bytes. `disclosures` has null where a field is hidden;
 * `commitments` has all of them.
 */
export function readReceipt(bytes) {
  must(bytes.length <= BYTES_MAX, `回执最大 ${BYTES_MAX / 1024} KB`);
  const top = members(readCanonical(bytes),
    "format form issuer log leaf checkpoint anchor posted documents origin", "回执");
  must(top.format === "tanhui-receipt-v1", "不是 tanhui-receipt-v1 回执");
  must(["full", "share"].includes(top.form), "既不是完整版也不是分享版");
  members(top.log, "index size path", "log");
  integer(top.log.size, 1, INTEGER_MAX, "log.size");
  integer(top.log.index, 0, top.log.size - 1, "log.index");
  text(top.issuer, ID, "issuer");
  must(typeof top.checkpoint === "string", "checkpoint 不是文字");
  checkAnchor(top.anchor);
  if (top.posted !== null) checkPosted(top.posted);
  members(top.documents, "method rule", "documents");
  checkDocument(top.documents.method, "documents.method");
  checkDocument(top.documents.rule, "documents.rule");
  const receipt = {
    ...top,
    log: { ...top.log, path: readPath(top.log.path, "log.path") },
    ...readLeaf(top.leaf, top.form),
    origin: readOrigin(top.origin),
  };
  checkForm(receipt);
  return receipt;
}

function checkForm({ form, kind, posted, origin, documents: { method, rule } }) {
  must(posted === null || (form === "full" && kind === 1), "这种回执不带入账批次");
  must(form === "full" || origin.kind !== "statement", "分享版只写上报方式");
  must(kind !== 2 || (method === null) !== (rule === null), "颁布回执应恰有一份文件");
  must(kind !== 3 || (method === null && rule === null), "审计回执不带文件");
}

function readLeaf(leaf, form) {
  members(leaf, "kind fields", "leaf");
  const kind = integer(leaf.kind, 1, 3, "leaf.kind");
  must(form === "full" || kind === 1, "只有积分变动有分享版");
  const open = form === "share" ? SHARED_FIELDS : FIELDS[kind].length;
  must(list(leaf.fields, "leaf.fields").length === FIELDS[kind].length, "叶子的字段数不对");
  const disclosures = leaf.fields.map((field, n) => {
    members(field, n < open ? "d" : "h", `叶子的第 ${n + 1} 个字段`);
    return n < open ? utf8(text(field.d, null, "披露")) : null;
  });
  const commitments = leaf.fields.map((field, n) =>
    disclosures[n] === null ? hash(field.h, "承诺") : sm3(disclosures[n]));
  return { kind, disclosures, commitments };
}

function readPath(path, where) {
  must(list(path, where).length <= PATH_MAX, `${where}太长`);
  return path.map((step) => hash(step, where));
}

function checkAnchor(anchor) {
  members(anchor, "chain_id contract tx block block_hash", "anchor");
  integer(anchor.chain_id, 1, INTEGER_MAX, "anchor.chain_id");
  text(anchor.contract, ADDRESS, "anchor.contract");
  text(anchor.tx, TX, "anchor.tx");
  integer(anchor.block, 0, INTEGER_MAX, "anchor.block");
  text(anchor.block_hash, HEX32, "anchor.block_hash");
}

function checkPosted(posted) {
  members(posted, "contract batch_id tx block", "posted");
  text(posted.contract, ADDRESS, "posted.contract");
  text(posted.batch_id, HEX32, "posted.batch_id");
  text(posted.tx, TX, "posted.tx");
  integer(posted.block, 0, INTEGER_MAX, "posted.block");
}

function checkDocument(document, where) {
  if (document === null) return;
  must(isObject(document), `${where}不是文件`);
  canonical(document, DOCUMENT_DEPTH_MAX);
}

function readOrigin(origin) {
  if (!isObject(origin) || origin.kind !== "statement") {
    members(origin, "kind", "origin");
    must([...ORIGINS, "issuer"].includes(origin.kind), "不认识这种上报来源");
    return origin;
  }
  members(origin, "kind day count index path signature", "origin");
  integer(origin.count, 1, INTEGER_MAX, "origin.count");
  integer(origin.index, 0, origin.count - 1, "origin.index");
  day(origin.day, "origin.day");
  const signature = bytesOf(origin.signature, "origin.signature");
  return { ...origin, path: readPath(origin.path, "origin.path"), signature };
}

/** The issuer that bytes name, even bytes that are no receipt; null when none can be read. */
export function issuerIn(bytes) {
  if (bytes.length > ISSUER_READ_MAX) return null;
  try {
    const value = looseJson(bytes);
    return isObject(value) && typeof value.issuer === "string" ? value.issuer : null;
  } catch {
    return null;
  }
}

