// What a batch transaction carried: strict decoding of `CarbonPoints.post` (formats.md §7).

import { concat, fromBig, hex, toBig, unhex, utf8 } from "./bytes.mjs";
import { must } from "./breach.mjs";
import { ID } from "./shape.mjs";
import { keccak256 } from "./keccak.mjs";

const SELECTOR = "eb16267a";
const HEAD_WORDS = 13;
const RECORD_BYTES = 24;
const RECORDS_MAX = 2_040;

/** The batch in a transaction's input; every padding byte must be zero. */
export function decodePost(input) {
  must(hex(input.slice(0, 4)) === SELECTOR, "交易没有调用入账");
  const body = input.slice(4);
  must(body.length >= 32 * (HEAD_WORDS + 1) && body.length % 32 === 0, "交易输入不完整");
  const word = (n) => body.slice(32 * n, 32 * n + 32);
  const uint = (n, size) => number(word(n), size);
  must(uint(12, 32) === BigInt(32 * HEAD_WORDS), "记录不在头部之后");
  const length = Number(uint(13, 4));
  const tail = body.slice(32 * (HEAD_WORDS + 1));
  must(tail.length === Math.ceil(length / 32) * 32 && tail.slice(length).every((b) => b === 0),
    "记录的填充不是零");
  const batch = {
    kind: Number(uint(0, 1)),
    class: id(word(1), false),
    programme: id(word(2), true),
    rule: id(word(3), true),
    ruleVersion: Number(uint(4, 4)),
    reason: Number(uint(5, 1)),
    leafFrom: uint(6, 8),
    leafTo: uint(7, 8),
    accountFrom: account(word(8)),
    accountTo: account(word(9)),
    dayFrom: Number(uint(10, 4)),
    dayTo: Number(uint(11, 4)),
    records: readRecords(tail.slice(0, length)),
    header: body.slice(0, 320),
  };
  for (const one of batch.records.keys()) {
    must(batch.accountFrom <= one && one <= batch.accountTo, "有账户不在批次的范围内");
  }
  return batch;
}

/** The id that the contract computes: tag, chain id, contract and the ten words of the header. */
export function batchId(header, chainId, contract) {
  const tag = concat(utf8("tanhui-batch-v1"), new Uint8Array(17));
  const address = concat(new Uint8Array(12), unhex(contract.slice(2)));
  return hex(keccak256(concat(tag, fromBig(BigInt(chainId), 32), address, header)));
}

function number(word, size) {
  must(word.slice(0, 32 - size).every((byte) => byte === 0), "数字的填充不是零");
  return toBig(word);
}

function id(word, mayBeNone) {
  const text = String.fromCharCode(...word).replace(/\0+$/, "");
  must((mayBeNone && text === "") || ID.test(text), "编号的写法不对");
  return text;
}

function account(word) {
  must(word.slice(20).every((byte) => byte === 0), "账户的填充不是零");
  return hex(word.slice(0, 20));
}

function readRecords(bytes) {
  const count = bytes.length / RECORD_BYTES;
  must(Number.isInteger(count) && count >= 1 && count <= RECORDS_MAX, "记录数不对");
  const records = new Map();
  let last = "";
  for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
    const one = hex(bytes.slice(at, at + 20));
    const amount = Number(toBig(bytes.slice(at + 20, at + RECORD_BYTES)));
    must(one > last && amount > 0, "账户没有升序排列，或数额为零");
    last = one;
    records.set(one, amount);
  }
  return records;
}
