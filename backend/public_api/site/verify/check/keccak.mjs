// Keccak-256 with the padding of the original submission, as the EVM uses it: code hashes,
// selectors, batch ids. Lanes of 64 bits are pairs of halves, because BigInt would take seconds.

const RATE = 136;
const ROTATIONS = [
  0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14,
];

/** The round constants, low half before high, from the register of the reference. */
const CONSTANTS = (() => {
  const found = [];
  let register = 1;
  for (let round = 0; round < 24; round++) {
    const halves = [0, 0];
    for (let j = 0; j < 7; j++) {
      const place = (1 << j) - 1;
      if (register & 1) halves[place >> 5] |= 1 << (place & 31);
      register = (register << 1) ^ (register >> 7 ? 0x171 : 0);
    }
    found.push(halves);
  }
  return found;
})();

function permute(low, high) {
  const [sumLow, sumHigh] = [new Int32Array(5), new Int32Array(5)];
  const [newLow, newHigh] = [new Int32Array(25), new Int32Array(25)];
  for (const [constantLow, constantHigh] of CONSTANTS) {
    for (let x = 0; x < 5; x++) {
      sumLow[x] = low[x] ^ low[x + 5] ^ low[x + 10] ^ low[x + 15] ^ low[x + 20];
      sumHigh[x] = high[x] ^ high[x + 5] ^ high[x + 10] ^ high[x + 15] ^ high[x + 20];
    }
    for (let n = 0; n < 25; n++) {
      const [x, y] = [n % 5, (n / 5) | 0];
      const [left, right] = [(x + 4) % 5, (x + 1) % 5];
      let a = low[n] ^ sumLow[left] ^ (sumLow[right] << 1) ^ (sumHigh[right] >>> 31);
      let b = high[n] ^ sumHigh[left] ^ (sumHigh[right] << 1) ^ (sumLow[right] >>> 31);
      const by = ROTATIONS[n];
      if (by >= 32) [a, b] = [b, a];
      const rest = by & 31;
      const to = y + 5 * ((2 * x + 3 * y) % 5);
      newLow[to] = rest === 0 ? a : (a << rest) | (b >>> (32 - rest));
      newHigh[to] = rest === 0 ? b : (b << rest) | (a >>> (32 - rest));
    }
    for (let n = 0; n < 25; n++) {
      const row = n - (n % 5);
      const [one, two] = [row + ((n + 1) % 5), row + ((n + 2) % 5)];
      low[n] = newLow[n] ^ (~newLow[one] & newLow[two]);
      high[n] = newHigh[n] ^ (~newHigh[one] & newHigh[two]);
    }
    low[0] ^= constantLow;
    high[0] ^= constantHigh;
  }
}

/** The 32-byte Keccak-256 of bytes. */
export function keccak256(bytes) {
  const padded = new Uint8Array((Math.floor(bytes.length / RATE) + 1) * RATE);
  padded.set(bytes);
  padded[bytes.length] ^= 1;
  padded[padded.length - 1] ^= 0x80;
  const view = new DataView(padded.buffer);
  const [low, high] = [new Int32Array(25), new Int32Array(25)];
  for (let at = 0; at < padded.length; at += RATE) {
    for (let n = 0; n < RATE / 8; n++) {
      low[n] ^= view.getInt32(at + 8 * n, true);
      high[n] ^= view.getInt32(at + 8 * n + 4, true);
    }
    permute(low, high);
  }
  const out = new DataView(new ArrayBuffer(32));
  for (let n = 0; n < 4; n++) {
    out.setInt32(8 * n, low[n], true);
    out.setInt32(8 * n + 4, high[n], true);
  }
  return new Uint8Array(out.buffer);
}
