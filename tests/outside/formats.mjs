// Canonical JSON, shapes and the tree: sections 1, 4 and 11 of docs/formats.md.

import { createHash, getHashes } from "node:crypto";
import { sm3Plain } from "./primitives.mjs";

const OPEN_DAY = 4294967295;
const NATIVE = getHashes().includes("sm3");
export const sm3 = (bytes) => (NATIVE ? createHash("sm3").update(bytes).digest() : sm3Plain(bytes));
export const H = (...parts) => sm3(Buffer.concat(parts.map((part) => Buffer.from(part))));

export class Breach extends Error {} // a rule of the formats is broken; its message says which
export const must = (held, reason) => {
  if (!held) throw new Breach(reason);
};

// ---- section 1: canonical JSON

const KEY = /^[A-Za-z0-9_.-]{1,64}$/;

function wellFormed(text) {
  return text.isWellFormed ? text.isWellFormed() : !/\p{Surrogate}/u.test(text);
}

export function canonical(value, depth = 1) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    must(Number.isSafeInteger(value) && !Object.is(value, -0), "number");
    return String(value);
  }
  if (typeof value === "string") {
    must(wellFormed(value) && !value.includes("\0"), "string");
    return JSON.stringify(value);
  }
  must(depth <= 16, "depth");
  if (Array.isArray(value)) return `[${value.map((one) => canonical(one, depth + 1)).join(",")}]`;
  const keys = Object.keys(value).sort();
  must(keys.every((key) => KEY.test(key)), "key");
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key], depth + 1)}`).join(",")}}`;
}

export const CJ = (value) => Buffer.from(canonical(value), "utf8");

export function looseJson(bytes) {
  return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
}

export function readCanonical(bytes, what) {
  let value;
  try {
    value = looseJson(bytes);
  } catch {
    throw new Breach(`${what}: not JSON`);
  }
  must(CJ(value).equals(Buffer.from(bytes)), `${what}: not canonical`);
  return value;
}

// ---- shapes

export const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
export const isText = (value) => typeof value === "string";
export const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
export const isVersion = (value) => isCount(value) && value >= 1 && value < 2 ** 32;
export const matches = (pattern) => (value) => isText(value) && pattern.test(value);
export const isHash = matches(/^[0-9a-f]{64}$/);
export const isId = matches(/^[a-z][a-z0-9.-]{0,31}$/);
export const isAccount = matches(/^[0-9a-f]{40}$/);
export const isAddress = matches(/^0x[0-9a-f]{40}$/);
export const isTx = matches(/^0x[0-9a-f]{64}$/);
export const isTransfer = matches(/^[0-9a-z-]{1,64}$/);
export const isSaid = matches(/[^]/);
const NAME = /^[a-z][a-z0-9_]{0,63}$/;
export const namedValues = (value) => mapOf(isValue)(value) && Object.keys(value).every((key) => NAME.test(key));
export const orNull = (check) => (value) => value === null || check(value);
export const oneOf = (...allowed) => (value) => allowed.includes(value);
export const listOf = (check) => (value) => Array.isArray(value) && value.every(check);
export const anything = () => true;
export const isValue = (value) => Number.isSafeInteger(value) || typeof value === "boolean" || isText(value);
export const mapOf = (check) => (value) => isObject(value) && Object.values(value).every(check);

export function isDay(value) {
  if (!matches(/^\d{4}-\d\d-\d\d$/)(value)) return false;
  const at = new Date(`${value}T00:00:00Z`);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(value);
}

/** A check that a value is an object with exactly these members, each passing its own check. */
export function shape(members) {
  return (value) =>
    isObject(value) &&
    Object.keys(value).length === Object.keys(members).length &&
    Object.entries(members).every(([name, check]) => Object.hasOwn(value, name) && check(value[name]));
}

export function base64(text) {
  const bytes = Buffer.from(text, "base64");
  must(bytes.toString("base64") === text, "base64");
  return bytes;
}

export const isBase64 = (text) => matches(/./)(text) && Buffer.from(text, "base64").toString("base64") === text;

// ---- sections 4 and 5: tree and checkpoint

export const leafHash = (data) => H([0], data);
const nodeHash = (left, right) => H([1], left, right);

/** The root that an inclusion path leads to, RFC 9162 section 2.1.3.2. */
export function rootFromPath(leaf, index, size, path) {
  must(index < size, "index outside the tree");
  let [fn, sn, hash] = [BigInt(index), BigInt(size) - 1n, leaf];
  for (const sibling of path) {
    must(sn !== 0n, "path too long");
    if (fn & 1n || fn === sn) {
      hash = nodeHash(sibling, hash);
      while (!(fn & 1n) && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  must(sn === 0n, "path too short");
  return hash;
}

export function readNote(note) {
  const parts = /^([^\n]+\n([1-9]\d*)\n([A-Za-z0-9+/]+=*)\n)\n([^]*)$/.exec(note);
  must(parts, "not a note");
  const size = Number(parts[2]);
  must(Number.isSafeInteger(size), "size");
  const root = base64(parts[3]);
  must(root.length === 32, "root");
  return { text: parts[1], origin: note.split("\n")[0], size, root, tail: parts[4] };
}

export const dayNumber = (day) => (day === null ? OPEN_DAY : Date.parse(`${day}T00:00:00Z`) / 86400000);
