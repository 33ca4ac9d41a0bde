// Canonical JSON: formats.md §1.

import { same, utf8 } from "./bytes.mjs";
import { Breach, must } from "./breach.mjs";

export const DEPTH_MAX = 16;
export const DOCUMENT_DEPTH_MAX = 13;
const KEY = /^[A-Za-z0-9_.-]{1,64}$/;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** The canonical text of a value. Throws `Breach` for what section 1 excludes. */
export function canonical(value, levels = DEPTH_MAX) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    must(Number.isSafeInteger(value) && !Object.is(value, -0), "数字不是 2^53 以内的整数");
    return String(value);
  }
  if (typeof value === "string") {
    must(!value.includes("\0") && !LONE_SURROGATE.test(value), "文字含有不允许的字符");
    return JSON.stringify(value);
  }
  must(levels > 0, "嵌套过深");
  if (Array.isArray(value)) return `[${value.map((one) => canonical(one, levels - 1)).join(",")}]`;
  const members = Object.keys(value).sort().map((key) => {
    must(KEY.test(key), "成员的名字不合规定");
    return `${JSON.stringify(key)}:${canonical(value[key], levels - 1)}`;
  });
  return `{${members.join(",")}}`;
}

export const canonicalBytes = (value, levels) => utf8(canonical(value, levels));

/** The value of JSON text however it is spelled; throws a SyntaxError or TypeError. */
export const looseJson = (bytes) =>
  JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));

/** The value of canonical bytes. Any other spelling is a `Breach`. */
export function readCanonical(bytes) {
  let value;
  try {
    value = looseJson(bytes);
  } catch {
    throw new Breach("不是 JSON 文件");
  }
  must(same(canonicalBytes(value), bytes), "不是规范 JSON（同一内容只允许一种写法）");
  return value;
}
