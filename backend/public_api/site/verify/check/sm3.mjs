// SM3, the hash of GB/T 32905-2016.

import { concat } from "./bytes.mjs";

const START = [
  0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e,
];
const turn = (x, n) => (x << n) | (x >>> (32 - n));
const CONSTANTS = Array.from({ length: 64 }, (_, j) =>
  turn(j < 16 ? 0x79cc4519 : 0x7a879d8a, j % 32));

/** The 32-byte SM3 of bytes; several parts are hashed as one. */
export function sm3(...parts) {
  const bytes = parts.length === 1 ? parts[0] : concat(...parts);
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n);
  const state = Uint32Array.from(START);
  const w = new Uint32Array(68);
  for (let at = 0; at < padded.length; at += 64) compress(state, w, view, at);
  const out = new DataView(new ArrayBuffer(32));
  state.forEach((word, n) => out.setUint32(4 * n, word));
  return new Uint8Array(out.buffer);
}

function compress(state, w, view, at) {
  for (let j = 0; j < 16; j++) w[j] = view.getUint32(at + 4 * j);
  for (let j = 16; j < 68; j++) {
    const x = w[j - 16] ^ w[j - 9] ^ turn(w[j - 3], 15);
    w[j] = x ^ turn(x, 15) ^ turn(x, 23) ^ turn(w[j - 13], 7) ^ w[j - 6];
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let j = 0; j < 64; j++) {
    const a12 = turn(a, 12);
    const ss1 = turn((a12 + e + CONSTANTS[j]) | 0, 7);
    const ff = j < 16 ? a ^ b ^ c : (a & b) | (a & c) | (b & c);
    const gg = j < 16 ? e ^ f ^ g : (e & f) | (~e & g);
    const tt1 = (ff + d + (ss1 ^ a12) + (w[j] ^ w[j + 4])) | 0;
    const tt2 = (gg + h + ss1 + w[j]) | 0;
    [d, c, b, a] = [c, turn(b, 9), a, tt1];
    [h, g, f, e] = [g, turn(f, 19), e, tt2 ^ turn(tt2, 9) ^ turn(tt2, 17)];
  }
  [a, b, c, d, e, f, g, h].forEach((word, n) => {
    state[n] ^= word;
  });
}
