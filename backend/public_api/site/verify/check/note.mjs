// Checkpoints, the log's signed heads, as notes: formats.md §5.

import { base64, hex, same, utf8 } from "./bytes.mjs";
import { must } from "./breach.mjs";
import { sm2Holds } from "./sm2.mjs";
import { sm3 } from "./sm3.mjs";

export const KEY_NAME = /^[a-z0-9./-]{1,64}$/;
const SIZE = /^[1-9][0-9]{0,15}$/;

/** A note's text read strictly; its signature lines stay unread in `tail`. */
export function readNote(note) {
  const gap = note.indexOf("\n\n");
  const lines = note.slice(0, Math.max(gap, 0)).split("\n");
  must(gap > 0 && lines.length === 3 && lines[0] !== "", "检查点不是三行正文、空行和签名行");
  const [origin, sizeText, rootText] = lines;
  const size = SIZE.test(sizeText) ? Number(sizeText) : 0;
  must(size >= 1 && Number.isSafeInteger(size), "检查点的规模不是正整数");
  const root = base64(rootText);
  must(root !== null && root.length === 32, "检查点的根不是 32 字节的 base64");
  return { text: note.slice(0, gap + 1), origin, size, root, tail: note.slice(gap + 2) };
}

/** The four bytes that tie a signature line to one key. */
export const keyId = (name, publicKey) =>
  sm3(utf8(name), Uint8Array.of(0x0a, 0xff), utf8("tanhui-sm2-v1"), publicKey).slice(0, 4);

/** {name, keyId, signature} of `— <name> <base64>`. */
export function readSignatureLine(line) {
  const [dash, name, blobText, ...more] = line.split(" ");
  must(dash === "—" && more.length === 0 && KEY_NAME.test(name ?? ""), "签名行的写法不对");
  const blob = base64(blobText ?? "");
  must(blob !== null && blob.length === 68, "签名行不是密钥编号加 64 字节签名");
  return { name, keyId: blob.slice(0, 4), signature: blob.slice(4) };
}

/** The names that signed, when every line is by a trusted key valid for the size, each key once. */
export function checkNote(note, origin, keys) {
  must(note.origin === origin, `检查点首行是 ${note.origin.slice(0, 80)}，信任文件写的是 ${origin}`);
  must(note.tail.endsWith("\n"), "检查点没有签名行");
  const used = new Set();
  let issuers = 0;
  const lines = note.tail.slice(0, -1).split("\n").map(readSignatureLine);
  for (const line of lines) {
    const named = keys.filter((key) =>
      key.name === line.name && same(keyId(key.name, key.public_key), line.keyId));
    must(named.length > 0, `信任文件里没有密钥 ${line.name}`);
    const key = named.find((one) =>
      one.from_size <= note.size && (one.to_size === null || note.size < one.to_size));
    must(key !== undefined, `密钥 ${line.name} 不能签这个规模的检查点`);
    const id = hex(key.public_key);
    must(!used.has(id), `密钥 ${line.name} 签了两次`);
    used.add(id);
    must(sm2Holds(key.public_key, utf8(note.text), line.signature), `${line.name} 的 SM2 签名不成立`);
    issuers += key.role === "issuer" ? 1 : 0;
  }
  must(issuers > 0, "没有发行方的签名");
  return lines.map(({ name }) => name);
}

