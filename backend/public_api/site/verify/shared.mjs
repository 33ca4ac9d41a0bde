// Opening a shared receipt: formats.md §15. The key stays in this browser.

import { base64url, utf8 } from "./check/bytes.mjs";
import { Breach, must } from "./check/breach.mjs";
import { readBody } from "./check/node.mjs";
import { BYTES_MAX } from "./check/receipt.mjs";
import { sm4GcmOpen } from "./check/sm4.mjs";

const LINK = /#([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{22})$/;
const NONCE_BYTES = 12;
const SEALED_BYTES_MAX = BYTES_MAX + NONCE_BYTES + 16;

/** {id, key} of a link's end `#<share id>.<key>`, null when it is none. */
export function linkIn(text) {
  const parts = LINK.exec(text);
  const key = parts && base64url(parts[2]);
  return key && base64url(parts[1]) ? { id: parts[1], key } : null;
}

/** The share receipt in stored bytes; a Breach when the key does not open them. */
export function openSealed({ id, key }, sealed) {
  must(sealed.length > NONCE_BYTES, "取回的内容不完整");
  const [nonce, text] = [sealed.slice(0, NONCE_BYTES), sealed.slice(NONCE_BYTES)];
  const receipt = sm4GcmOpen(key, nonce, text, utf8(`tanhui-share-v1\n${id}`));
  must(receipt !== null, "链接里的钥匙打不开这张回执：链接可能不完整，或内容被改动过");
  return receipt;
}

/** Fetch and open a shared receipt; every failure is a Breach in plain words. */
export async function fetchShared(link) {
  let answer;
  try {
    answer = await fetch(`/public/v1/shared/${link.id}`, { credentials: "omit" });
  } catch {
    throw new Breach("没有取到：网络不通");
  }
  must(answer.status !== 404, "没有这条分享：链接可能不完整");
  must(answer.status !== 410, "这条分享已经过期，或已被本人收回");
  must(answer.status === 200, `没有取到：服务器答复 ${answer.status}`);
  return openSealed(link, await readBody(answer, SEALED_BYTES_MAX));
}
