// Receipts and their leaves: sections 4 and 11 of docs/formats.md.

import {
  H, anything, canonical, isAccount, isAddress, isBase64, isCount, isDay, isHash, isId, isObject,
  isSaid, isText, isTransfer, isTx, isVersion, leafHash, listOf, looseJson, namedValues, matches, must,
  oneOf, orNull, readCanonical, shape,
} from "./formats.mjs";

const RECEIPT_BYTES_MAX = 262144;

// ---- section 4: leaves

const METHOD = {
  id: isId, version: isVersion, digest: isHash, status: isSaid, scenario: isSaid,
  evidence_level: oneOf("L0", "L1", "L2", "L3", "L4"), origin: oneOf("signed-upload", "shared-secret"),
  reduction_mg: isCount,
};
const RULE = { programme: isId, id: isId, version: isVersion, digest: isHash, row: listOf(isText),
  points_before_caps: isCount };
const STATED = { history: namedValues, counters: namedValues,
  caps: listOf(shape({ name: isSaid, limit: isCount, used_before: isCount })) };
const EVENT = { partner: isId, source: isSaid, id: isSaid, digest: isHash };
const FIELDS = {
  1: {
    act: shape({ act: oneOf("award", "refund", "redeem", "expire", "reverse", "erase"),
      transfer: isTransfer, of: orNull(isTransfer), reason: isCount }),
    points: shape({ class: isId, amount: (n) => isCount(n) && n > 0 }),
    method: orNull(shape(METHOD)), rule: orNull(shape(RULE)), inputs: orNull(namedValues),
    stated: orNull(shape(STATED)),
    occurrence: shape({ time: isTime, originaltime: orNull(isTime), city_day: isDay, place: anything }),
    event: orNull(shape(EVENT)), account: isAccount,
  },
  2: {
    enactment: (value) => inOrder(value) && shape({ what: oneOf("rule", "method", "stop"), id: isId, version: isVersion,
      digest: isHash, day_from: isDay, day_to: orNull(isDay),
      approvers: (pair) => listOf(isAddress)(pair) && pair.length === 2 && pair[0] < pair[1] })(value),
  },
  3: { audit: shape({ day: isDay, count: isCount, head: isHash }) },
};
const inOrder = (one) => isObject(one) && (one.day_to === null || one.day_from < one.day_to ||
  (one.what === "stop" && one.day_from === one.day_to));
const REASON = { award: 0, redeem: 0, expire: 1, reverse: 2, erase: 3, refund: 4 };

function isTime(text) {
  const parts = matches(
    /^20\d\d-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-](0\d|1[0-3]):[0-5]\d|[+-]14:00)$/,
  )(text);
  return parts && isDay(text.slice(0, 10));
}

function cityDay(time, zone) {
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit",
    day: "2-digit" }).formatToParts(new Date(time.replace(/\.\d+/, "")));
  const part = (type) => parts.find((one) => one.type === type).value;
  return `${part("year")}-${part("month")}-${part("day")}`;
}

function readDisclosure(text) {
  const parts = readCanonical(Buffer.from(text, "utf8"), "disclosure");
  must(Array.isArray(parts) && parts.length === 3, "disclosure");
  const [salt, name, value] = parts;
  must(isText(salt) && /^[A-Za-z0-9_-]{21}[AQgw]$/.test(salt), "salt");
  return { salt, name, value };
}

export function readLeaf({ receipt, trust }) {
  const { kind, fields } = receipt.leaf;
  const wanted = FIELDS[kind];
  const names = Object.keys(wanted);
  const [values, salts] = [{}, new Set()];
  names.forEach((name, n) => {
    if (Object.hasOwn(fields[n], "h")) return;
    const disclosure = readDisclosure(fields[n].d);
    must(disclosure.name === name, "order of the fields");
    must(wanted[name](disclosure.value), `${name}: shape`);
    must(!salts.has(disclosure.salt), "a salt twice");
    salts.add(disclosure.salt);
    values[name] = disclosure.value;
  });
  if (kind === 1) checkTransfer(values, receipt.form, trust);
  return { values };
}

export function leafOf({ leaf: { kind, fields } }) {
  const commitments = fields.map((one) => (Object.hasOwn(one, "h") ? Buffer.from(one.h, "hex") : H(one.d)));
  return leafHash(Buffer.concat([Buffer.from("tanhui-leaf-v1\n"), Buffer.from([kind, fields.length]), ...commitments]));
}

function checkTransfer(values, form, trust) {
  const { act, of, reason } = values.act;
  const award = act === "award";
  must(reason === REASON[act], "reason");
  if (award || act === "redeem") must(of === null, "of");
  if (act === "reverse" || act === "refund") must(of !== null, "of");
  const optional = ["method", "rule", "inputs", "stated", ...(form === "full" ? ["event"] : [])];
  must(optional.every((name) => (values[name] !== null) === award), "fields of this act");
  if (form === "share") return;
  const { time, city_day } = values.occurrence;
  must(cityDay(time, trust.city_tz) === city_day, "city_day");
}

// ---- section 11: the receipt

const RECEIPT = shape({
  format: oneOf("tanhui-receipt-v1"), form: oneOf("full", "share"), issuer: isId,
  log: shape({ index: isCount, size: isCount, path: listOf(isHash) }),
  leaf: shape({ kind: oneOf(1, 2, 3),
    fields: listOf((field) => shape({ d: isSaid })(field) || shape({ h: isHash })(field)) }),
  checkpoint: isText,
  anchor: shape({ chain_id: (id) => isCount(id) && id >= 1, contract: isAddress, tx: isTx, block: isCount,
    block_hash: isHash }),
  posted: orNull(shape({ contract: isAddress, batch_id: isHash, tx: isTx, block: isCount })),
  documents: shape({ method: orNull(isObject), rule: orNull(isObject) }),
  origin: (value) => shape({ kind: oneOf("signed-upload", "shared-secret", "issuer") })(value) || shape({ kind: oneOf("statement"), day: isDay,
    count: isCount, index: isCount, path: listOf(isHash), signature: isBase64 })(value),
});

export function readReceipt(bytes) {
  must(bytes.length <= RECEIPT_BYTES_MAX, "too long");
  const receipt = readCanonical(bytes, "receipt");
  must(RECEIPT(receipt), "not the members of a receipt");
  const { form, log, leaf, posted, documents, origin } = receipt;
  must(log.index < log.size && (origin.index ?? -1) < (origin.count ?? 0), "index outside the tree");
  must(leaf.fields.length === Object.keys(FIELDS[leaf.kind]).length, "number of fields");
  const hidden = (n) => form === "share" && n >= 6;
  must(leaf.fields.every((one, n) => Object.hasOwn(one, "h") === hidden(n)), "fields of the form");
  const held = Object.values(documents).filter((one) => one !== null);
  if (form === "share") must(leaf.kind === 1 && posted === null && Object.keys(origin).length === 1, "share form");
  if (leaf.kind > 1) must(posted === null && held.length === (leaf.kind === 2 ? 1 : 0), "kinds 2 and 3");
  held.forEach((one) => canonical(one, 4)); // at most 13 levels of its own
  return receipt;
}

export function issuerOf(bytes) {
  try {
    const value = looseJson(bytes);
    return isObject(value) && isText(value.issuer) ? value.issuer : null;
  } catch {
    return null;
  }
}
