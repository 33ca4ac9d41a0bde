// SM4 (GB/T 32907-2016) in Galois/Counter mode, for opening shared receipts.

import { concat, fromBig, toBig } from "./bytes.mjs";

const S =
  "d690e9fecce13db716b614c228fb2c052b679a762abe04c3aa44132649860699" +
  "9c4250f491ef987a33540b43edcfac62e4b31ca9c908e89580df94fa758f3fa6" +
  "4707a7fcf37317ba83593c19e6854fa8686b81b27164da8bf8eb0f4b70569d35" +
  "1e240e5e6358d1a225227c3b01217887d40046579fd327524c3602e7a0c4c89e" +
  "eabf8ad240c738b5a3f7f2cef96115a1e0ae5da49b341a55ad933230f58cb1e3" +
  "1df6e22e8266ca60c02923ab0d534e6fd5db3745defd8e2f03ff6a726d6c5b51" +
  "8d1baf92bbddbc7f11d95c411f105ad80ac13188a5cd7bbd2d74d012b8e5b4b0" +
  "8969974a0c96777e65b9f109c56ec68418f07dec3adc4d2079ee5f3ed7cb3948";
const SBOX = Uint8Array.from({ length: 256 }, (_, n) => parseInt(S.slice(2 * n, 2 * n + 2), 16));
const SYSTEM = [0xa3b1bac6, 0x56aa3350, 0x677d9197, 0xb27022dc];
const TAG_BYTES = 16;

const turn = (x, n) => (x << n) | (x >>> (32 - n));
const substitute = (x) =>
  (SBOX[x >>> 24] << 24) | (SBOX[(x >>> 16) & 255] << 16) | (SBOX[(x >>> 8) & 255] << 8) |
  SBOX[x & 255];
const words = (bytes) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  return [0, 4, 8, 12].map((at) => view.getInt32(at));
};

/** The 32 round keys of a 16-byte key. */
function expand(key) {
  const k = words(key).map((word, n) => word ^ SYSTEM[n]);
  return Array.from({ length: 32 }, (_, round) => {
    const constant = [0, 1, 2, 3].reduce((all, n) => (all << 8) | (((4 * round + n) * 7) & 255), 0);
    const b = substitute(k[1] ^ k[2] ^ k[3] ^ constant);
    k.push(k.shift() ^ b ^ turn(b, 13) ^ turn(b, 23));
    return k[3];
  });
}

function encryptBlock(roundKeys, block) {
  let [a, b, c, d] = words(block);
  for (const key of roundKeys) {
    const t = substitute(b ^ c ^ d ^ key);
    [a, b, c, d] = [b, c, d, a ^ t ^ turn(t, 2) ^ turn(t, 10) ^ turn(t, 18) ^ turn(t, 24)];
  }
  const out = new DataView(new ArrayBuffer(16));
  [d, c, b, a].forEach((word, n) => out.setInt32(4 * n, word));
  return new Uint8Array(out.buffer);
}

const REDUCTION = 0xe1n << 120n;

/** Multiples h·x^n of the hash key: a product in GF(2^128) is the sum of those whose bit is set. */
function multiples(h) {
  const found = [];
  for (let v = h, n = 0; n < 128; n++) {
    found.push(v);
    v = v & 1n ? (v >> 1n) ^ REDUCTION : v >> 1n;
  }
  return found;
}

function ghash(table, context, sealed) {
  const padded = (part) => concat(part, new Uint8Array((16 - (part.length % 16)) % 16));
  const lengths = (BigInt(context.length) << 67n) | (BigInt(sealed.length) << 3n);
  const data = concat(padded(context), padded(sealed), fromBig(lengths, 16));
  let sum = 0n;
  for (let at = 0; at < data.length; at += 16) {
    const bits = (sum ^ toBig(data.subarray(at, at + 16))).toString(2).padStart(128, "0");
    sum = 0n;
    for (let n = 0; n < 128; n++) if (bits[n] === "1") sum ^= table[n];
  }
  return fromBig(sum, 16);
}

/** The plain text of `sealed` (text ‖ tag); null for a wrong key or context or a changed byte. */
export function sm4GcmOpen(key, nonce, sealed, context) {
  if (key.length !== 16 || nonce.length !== 12 || sealed.length < TAG_BYTES) return null;
  const roundKeys = expand(key);
  const counterBlock = (n) => encryptBlock(roundKeys, concat(nonce, fromBig(BigInt(n), 4)));
  const text = sealed.subarray(0, sealed.length - TAG_BYTES);
  const table = multiples(toBig(encryptBlock(roundKeys, new Uint8Array(16))));
  const mask = counterBlock(1);
  const tag = ghash(table, context, text).map((byte, n) => byte ^ mask[n]);
  if (tag.some((byte, n) => byte !== sealed[text.length + n])) return null;
  const plain = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 16) {
    const stream = counterBlock(2 + at / 16);
    for (let n = at; n < Math.min(at + 16, text.length); n++) plain[n] = text[n] ^ stream[n - at];
  }
  return plain;
}
