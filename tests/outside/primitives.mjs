// SM3, SM2 verification and Keccak-256 in plain JavaScript, from GB/T 32905, GB/T 32918 and the
// Keccak reference; nothing here is fast.

const rotate = (x, n) => ((x << (n % 32)) | (x >>> ((32 - (n % 32)) % 32))) >>> 0;

/** SM3 of bytes, GB/T 32905-2016. */
export function sm3Plain(bytes) {
  const length = bytes.length;
  const padded = Buffer.alloc(Math.ceil((length + 9) / 64) * 64);
  Buffer.from(bytes).copy(padded);
  padded[length] = 0x80;
  padded.writeBigUInt64BE(BigInt(length) * 8n, padded.length - 8);
  let state = [0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d,
    0xb0fb0e4e];
  for (let at = 0; at < padded.length; at += 64) state = compress(state, padded.subarray(at, at + 64));
  const out = Buffer.alloc(32);
  state.forEach((one, n) => out.writeUInt32BE(one, 4 * n));
  return out;
}

function compress(state, block) {
  const p1 = (x) => x ^ rotate(x, 15) ^ rotate(x, 23);
  const w = Array.from({ length: 16 }, (_, n) => block.readUInt32BE(4 * n));
  for (let j = 16; j < 68; j++) {
    w[j] = (p1(w[j - 16] ^ w[j - 9] ^ rotate(w[j - 3], 15)) ^ rotate(w[j - 13], 7) ^ w[j - 6]) >>> 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let j = 0; j < 64; j++) {
    const early = j < 16;
    const ss1 = rotate((rotate(a, 12) + e + rotate(early ? 0x79cc4519 : 0x7a879d8a, j)) >>> 0, 7);
    const ff = early ? a ^ b ^ c : (a & b) | (a & c) | (b & c);
    const gg = early ? e ^ f ^ g : (e & f) | (~e & g);
    const tt1 = (ff + d + ((ss1 ^ rotate(a, 12)) >>> 0) + ((w[j] ^ w[j + 4]) >>> 0)) >>> 0;
    const tt2 = (gg + h + ss1 + w[j]) >>> 0;
    [d, c, b, a] = [c, rotate(b, 9), a, tt1];
    [h, g, f, e] = [g, rotate(f, 19), e, (tt2 ^ rotate(tt2, 9) ^ rotate(tt2, 17)) >>> 0];
  }
  return [a, b, c, d, e, f, g, h].map((one, n) => (one ^ state[n]) >>> 0);
}

const P = 0xfffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffffn;
const A = P - 3n;
const B = 0x28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93n;
const N = 0xfffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123n;
const G = [0x32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7n,
  0xbc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0n];
const USER_ID = Buffer.from("1234567812345678");
const mod = (x, m = P) => ((x % m) + m) % m;
const toBig = (bytes) => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
const to32 = (x) => Buffer.from(x.toString(16).padStart(64, "0"), "hex");

function inverse(x) {
  let [a, b, u, v] = [mod(x), P, 1n, 0n];
  while (a > 1n) {
    const q = b / a;
    [a, b, u, v] = [b - q * a, a, v - q * u, u];
  }
  return mod(u);
}

// Points are Jacobian [X, Y, Z]; Z = 0 is infinity.
function double([x, y, z]) {
  if (z === 0n || y === 0n) return [1n, 1n, 0n];
  const yy = mod(y * y);
  const s = mod(4n * x * yy);
  const m = mod(3n * x * x + A * mod(z * z) ** 2n);
  const x3 = mod(m * m - 2n * s);
  return [x3, mod(m * (s - x3) - 8n * yy * yy), mod(2n * y * z)];
}

function add(p, q) {
  if (p[2] === 0n) return q;
  if (q[2] === 0n) return p;
  const [z1, z2] = [mod(p[2] * p[2]), mod(q[2] * q[2])];
  const [u1, u2] = [mod(p[0] * z2), mod(q[0] * z1)];
  const [s1, s2] = [mod(p[1] * z2 * q[2]), mod(q[1] * z1 * p[2])];
  if (u1 === u2) return s1 === s2 ? double(p) : [1n, 1n, 0n];
  const [h, r] = [mod(u2 - u1), mod(s2 - s1)];
  const hh = mod(h * h);
  const hhh = mod(hh * h);
  const x3 = mod(r * r - hhh - 2n * u1 * hh);
  return [x3, mod(r * (u1 * hh - x3) - s1 * hhh), mod(h * p[2] * q[2])];
}

/** s·G + t·Q, both scalars walked together. */
function combine(s, t, q) {
  const [g, k] = [[...G, 1n], [...q, 1n]];
  const both = add(g, k);
  let sum = [1n, 1n, 0n];
  for (let bit = 255n; bit >= 0n; bit--) {
    sum = double(sum);
    const [hasG, hasQ] = [(s >> bit) & 1n, (t >> bit) & 1n];
    if (hasG && hasQ) sum = add(sum, both);
    else if (hasG) sum = add(sum, g);
    else if (hasQ) sum = add(sum, k);
  }
  return sum;
}

/** Whether r, s (32 bytes each) is an SM2 signature of the message by the 65-byte public key. */
export function sm2Verifies(sm3, publicKey, message, r32, s32) {
  if (publicKey.length !== 65 || publicKey[0] !== 4) return false;
  const [x, y] = [toBig(publicKey.subarray(1, 33)), toBig(publicKey.subarray(33))];
  if (x >= P || y >= P || mod(y * y - x * x * x - A * x - B) !== 0n) return false;
  const [r, s] = [toBig(r32), toBig(s32)];
  if (r < 1n || r >= N || s < 1n || s >= N) return false;
  const curve = Buffer.concat([A, B, ...G, x, y].map(to32));
  const z = sm3(Buffer.concat([Buffer.from([0, USER_ID.length * 8]), USER_ID, curve]));
  const e = toBig(sm3(Buffer.concat([z, message])));
  const t = mod(r + s, N);
  if (t === 0n) return false;
  const point = combine(s, t, [x, y]);
  if (point[2] === 0n) return false;
  const x1 = mod(point[0] * inverse(mod(point[2] * point[2])));
  return mod(e + x1, N) === r;
}

const MASK = (1n << 64n) - 1n;
const spin = (x, n) => (n ? ((x << BigInt(n)) | (x >> BigInt(64 - n))) & MASK : x);
const OFFSETS = [0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61,
  56, 14];

function roundConstants() {
  const out = [];
  let lfsr = 1;
  for (let round = 0; round < 24; round++) {
    let constant = 0n;
    for (let j = 0; j < 7; j++) {
      if (lfsr & 1) constant |= 1n << BigInt(2 ** j - 1);
      lfsr = lfsr & 0x80 ? ((lfsr << 1) ^ 0x171) & 0xff : lfsr << 1;
    }
    out.push(constant);
  }
  return out;
}

const ROUNDS = roundConstants();

function permute(a) {
  for (const constant of ROUNDS) {
    const c = [0, 1, 2, 3, 4].map((x) => a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20]);
    for (let i = 0; i < 25; i++) a[i] ^= c[(i + 4) % 5] ^ spin(c[(i + 1) % 5], 1);
    const b = [];
    for (let i = 0; i < 25; i++) {
      const [x, y] = [i % 5, Math.floor(i / 5)];
      b[y + 5 * ((2 * x + 3 * y) % 5)] = spin(a[i], OFFSETS[i]);
    }
    for (let i = 0; i < 25; i++) {
      const row = i - (i % 5);
      a[i] = b[i] ^ (~b[row + ((i + 1) % 5)] & MASK & b[row + ((i + 2) % 5)]);
    }
    a[0] ^= constant;
  }
}

/** Keccak-256 of bytes, with the padding of the original submission as the EVM uses it. */
export function keccak256(bytes) {
  const padded = Buffer.alloc(Math.floor(bytes.length / 136 + 1) * 136);
  Buffer.from(bytes).copy(padded);
  padded[bytes.length] ^= 1;
  padded[padded.length - 1] ^= 0x80;
  const a = Array(25).fill(0n);
  for (let at = 0; at < padded.length; at += 136) {
    for (let i = 0; i < 17; i++) a[i] ^= padded.readBigUInt64LE(at + 8 * i);
    permute(a);
  }
  const out = Buffer.alloc(32);
  for (let i = 0; i < 4; i++) out.writeBigUInt64LE(a[i], 8 * i);
  return out;
}
