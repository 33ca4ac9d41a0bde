// Verifying SM2 signatures with SM3 (GB/T 32918.2-2016, the curve of GB/T 32918.5-2017) in BigInt.
// Nothing secret passes through here, so nothing needs to take constant time.

import { concat, fromBig, toBig, utf8 } from "./bytes.mjs";
import { sm3 } from "./sm3.mjs";

const P = 0xfffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffffn;
const A = P - 3n;
const B = 0x28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93n;
const N = 0xfffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123n;
const GX = 0x32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7n;
const GY = 0xbc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0n;
const USER_ID = utf8("1234567812345678");

const mod = (x) => {
  const rest = x % P;
  return rest < 0n ? rest + P : rest;
};

// A point is Jacobian {x, y, z}; z = 0 is infinity.
const INFINITY = { x: 1n, y: 1n, z: 0n };

function double({ x, y, z }) {
  if (z === 0n) return INFINITY;
  const zz = mod(z * z);
  const slope = mod(3n * (x - zz) * (x + zz)); // a = -3
  const yy = mod(y * y);
  const s = mod(4n * x * yy);
  const x3 = mod(slope * slope - 2n * s);
  return { x: x3, y: mod(slope * (s - x3) - 8n * yy * yy), z: mod(2n * y * z) };
}

function add(p, q) {
  if (p.z === 0n) return q;
  if (q.z === 0n) return p;
  const pzz = mod(p.z * p.z);
  const qzz = mod(q.z * q.z);
  const u = mod(p.x * qzz);
  const s = mod(p.y * qzz * q.z);
  const h = mod(q.x * pzz - u);
  const r = mod(q.y * pzz * p.z - s);
  if (h === 0n) return r === 0n ? double(p) : INFINITY;
  const hh = mod(h * h);
  const hhh = mod(h * hh);
  const x3 = mod(r * r - hhh - 2n * u * hh);
  return { x: x3, y: mod(r * (u * hh - x3) - s * hhh), z: mod(h * p.z * q.z) };
}

function inverse(value) {
  let [a, b, u, v] = [mod(value), P, 1n, 0n];
  while (a > 1n) {
    const q = b / a;
    [a, b, u, v] = [b - q * a, a, v - q * u, u];
  }
  return mod(u);
}

/** The affine x of s·G + t·Q, both scalars walked bit by bit together; null at infinity. */
function xOfSum(s, t, q) {
  const g = { x: GX, y: GY, z: 1n };
  const table = [null, g, q, add(g, q)];
  let sum = INFINITY;
  for (let bit = 255n; bit >= 0n; bit--) {
    sum = double(sum);
    const which = Number((s >> bit) & 1n) + 2 * Number((t >> bit) & 1n);
    if (which > 0) sum = add(sum, table[which]);
  }
  if (sum.z === 0n) return null;
  const back = inverse(sum.z);
  return mod(sum.x * back * back);
}

/** Whether `signature` (r ‖ s) of `message` holds under a public key of 65 bytes (04 ‖ X ‖ Y). */
export function sm2Holds(publicKey, message, signature) {
  if (publicKey.length !== 65 || publicKey[0] !== 4 || signature.length !== 64) return false;
  const [x, y] = [toBig(publicKey.slice(1, 33)), toBig(publicKey.slice(33))];
  if (x >= P || y >= P || mod(y * y - (x * x + A) * x - B) !== 0n) return false;
  const [r, s] = [toBig(signature.slice(0, 32)), toBig(signature.slice(32))];
  if (r < 1n || r >= N || s < 1n || s >= N) return false;
  const curve = [A, B, GX, GY, x, y].map((part) => fromBig(part, 32));
  const head = Uint8Array.of(0, USER_ID.length * 8);
  const digest = toBig(sm3(sm3(head, USER_ID, ...curve), message));
  const t = (r + s) % N;
  if (t === 0n) return false;
  const found = xOfSum(s, t, { x, y, z: 1n });
  return found !== null && (digest + found) % N === r;
}

/** r ‖ s of a strict minimal DER signature, else null. */
export function fromDer(der) {
  if (der[0] !== 0x30 || der[1] !== der.length - 2 || der.length > 72) return null;
  const numbers = [];
  for (let at = 2; at < der.length; at += 2 + der[at + 1]) {
    const number = der.slice(at + 2, at + 2 + der[at + 1]);
    const [first, second] = number;
    if (der[at] !== 2 || number.length === 0 || number.length !== der[at + 1]) return null;
    if (first > 0x7f || (first === 0 && number.length > 1 && second < 0x80)) return null;
    const value = toBig(number);
    if (value >= 1n << 256n) return null;
    numbers.push(fromBig(value, 32));
  }
  return numbers.length === 2 ? concat(...numbers) : null;
}
