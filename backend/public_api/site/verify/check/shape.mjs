// Shapes of values from outside: exact members, spellings and bounds, or a Breach that says where.

import { base64, unhex } from "./bytes.mjs";
import { must } from "./breach.mjs";

export const ID = /^[a-z][a-z0-9.-]{0,31}$/;
export const HEX32 = /^[0-9a-f]{64}$/;
export const ADDRESS = /^0x[0-9a-f]{40}$/;
export const TX = /^0x[0-9a-f]{64}$/;
export const ACCOUNT = /^[0-9a-f]{40}$/;
export const INTEGER_MAX = Number.MAX_SAFE_INTEGER;
export const VERSION_MAX = 2 ** 32 - 1;
const DAY = /^\d{4}-\d\d-\d\d$/;
const DAY_OPEN = 4294967295;

export const isObject = (value) =>
  value !== null && typeof value === "object" && !Array.isArray(value);

export const isInteger = (value, low = 0, high = INTEGER_MAX) =>
  Number.isSafeInteger(value) && value >= low && value <= high;

/** `value` as an object with exactly the members named in one string. */
export function members(value, names, where) {
  const wanted = names.split(" ");
  must(isObject(value) && Object.keys(value).length === wanted.length &&
    wanted.every((name) => Object.hasOwn(value, name)), `${where}的成员不是规定的那些`);
  return value;
}

/** `value` as a non-empty string, spelled as the pattern says. */
export function text(value, pattern, where) {
  must(typeof value === "string" && value !== "" && (pattern === null || pattern.test(value)),
    `${where}的写法不对`);
  return value;
}

export function integer(value, low, high, where) {
  must(isInteger(value, low, high), `${where}不是 ${low} 到 ${high} 的整数`);
  return value;
}

export function list(value, where) {
  must(Array.isArray(value), `${where}不是列表`);
  return value;
}

export function isDay(value) {
  if (typeof value !== "string" || !DAY.test(value) || value < "0001") return false;
  const at = new Date(`${value}T00:00:00Z`);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(value);
}

export function day(value, where) {
  must(isDay(value), `${where}不是日历上的一天`);
  return value;
}

/** Days since 1970-01-01; null, an open end, is what the chain writes for it. */
export const dayNumber = (value) =>
  value === null ? DAY_OPEN : Date.parse(`${value}T00:00:00Z`) / 86_400_000;

export const hash = (value, where) => unhex(text(value, HEX32, where));

export function bytesOf(value, where) {
  const bytes = base64(text(value, null, where));
  must(bytes !== null, `${where}不是严格的 base64`);
  return bytes;
}
