// A QR code of a short text: ISO/IEC 18004, bytes, error correction M, versions 1 to 10. The mask is
// always the first one; readers take any.

const TOTAL = [26, 44, 70, 100, 134, 172, 196, 242, 292, 346]; // codewords of each version
const CHECK = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26]; // of these for correction, in each block
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5];
const ALIGN = [[], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42],
  [6, 26, 46], [6, 28, 50]];

// ---- GF(256) and Reed-Solomon

const EXP = new Uint8Array(255);
const LOG = new Uint8Array(256);
for (let n = 0, x = 1; n < 255; n++) {
  EXP[n] = x;
  LOG[x] = n;
  x = (x << 1) ^ (x & 0x80 ? 0x11d : 0);
}
const times = (a, b) => (a === 0 || b === 0 ? 0 : EXP[(LOG[a] + LOG[b]) % 255]);

/** The generator polynomial of a degree, its leading 1 left out. */
function generator(degree) {
  let found = [1];
  for (let n = 0; n < degree; n++) {
    const grown = [...found, 0];
    found.forEach((factor, at) => {
      grown[at + 1] ^= times(factor, EXP[n]);
    });
    found = grown;
  }
  return found.slice(1);
}

function corrections(data, degree) {
  const divisor = generator(degree);
  const rest = new Array(degree).fill(0);
  for (const byte of data) {
    const lead = byte ^ rest.shift();
    rest.push(0);
    divisor.forEach((factor, n) => {
      rest[n] ^= times(factor, lead);
    });
  }
  return rest;
}

// ---- text → codewords

function codewords(bytes, version) {
  const [check, blocks] = [CHECK[version - 1], BLOCKS[version - 1]];
  const room = TOTAL[version - 1] - check * blocks;
  const bits = [[4, 4], [bytes.length, version < 10 ? 8 : 16], ...Array.from(bytes, (b) => [b, 8])]
    .map(([value, width]) => value.toString(2).padStart(width, "0")).join("");
  const ended = bits + "0".repeat(Math.min(4, 8 * room - bits.length));
  const data = ended.padEnd(Math.ceil(ended.length / 8) * 8, "0").match(/.{8}/g)
    .map((byte) => parseInt(byte, 2));
  for (let pad = 0xec; data.length < room; pad ^= 0xec ^ 0x11) data.push(pad);
  const short = Math.floor(room / blocks);
  const longer = room % blocks;
  const parts = Array.from({ length: blocks }, (_, n) =>
    data.splice(0, short + (n >= blocks - longer ? 1 : 0)));
  const checks = parts.map((part) => corrections(part, check));
  const woven = (lists) => Array.from({ length: Math.max(...lists.map((one) => one.length)) },
    (_, n) => lists.map((one) => one[n])).flat().filter((byte) => byte !== undefined);
  return [...woven(parts), ...woven(checks)];
}

// ---- codewords → modules

/** The remainder of a BCH code, put behind its data. */
function bch(data, width, divisor) {
  let rest = data;
  for (let n = 0; n < width; n++) rest = (rest << 1) ^ ((rest >> (width - 1)) & 1 ? divisor : 0);
  return (data << width) | (rest & ((1 << width) - 1));
}

/** Rows of true (dark) and false for a text. */
export function modules(text) {
  const bytes = new TextEncoder().encode(text);
  const fits = (version) => 4 + (version < 10 ? 8 : 16) + 8 * bytes.length <=
    8 * (TOTAL[version - 1] - CHECK[version - 1] * BLOCKS[version - 1]);
  const version = TOTAL.map((_, n) => n + 1).find(fits);
  if (version === undefined) return null;
  const size = 17 + 4 * version;
  const grid = Array.from({ length: size }, () => new Array(size).fill(null));
  const set = (x, y, dark) => {
    if (x >= 0 && y >= 0 && x < size && y < size) grid[y][x] = dark;
  };
  drawPatterns(set, grid, size, version);
  drawFormat(set, size, version);
  drawData(grid, size, codewords(bytes, version));
  return grid;
}

function drawPatterns(set, grid, size, version) {
  for (let n = 0; n < size; n++) {
    set(6, n, n % 2 === 0);
    set(n, 6, n % 2 === 0);
  }
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) {
    for (let dx = -4; dx <= 4; dx++) {
      for (let dy = -4; dy <= 4; dy++) {
        const ring = Math.max(Math.abs(dx), Math.abs(dy));
        set(x + dx, y + dy, ring !== 2 && ring !== 4);
      }
    }
  }
  const centres = ALIGN[version - 1];
  const last = centres.at(-1);
  for (const x of centres) {
    for (const y of centres) {
      if ((x === 6 && y === 6) || (x === 6 && y === last) || (x === last && y === 6)) continue;
      for (let dx = -2; dx <= 2; dx++) {
        for (let dy = -2; dy <= 2; dy++) set(x + dx, y + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
      }
    }
  }
}

function drawFormat(set, size, version) {
  const format = bch(0, 10, 0x537) ^ 0x5412; // correction M is 00, the first mask 000
  const bit = (n) => ((format >> n) & 1) === 1;
  for (let n = 0; n < 6; n++) set(8, n, bit(n));
  [[8, 7, 6], [8, 8, 7], [7, 8, 8]].forEach(([x, y, n]) => set(x, y, bit(n)));
  for (let n = 9; n < 15; n++) set(14 - n, 8, bit(n));
  for (let n = 0; n < 8; n++) set(size - 1 - n, 8, bit(n));
  for (let n = 8; n < 15; n++) set(8, size - 15 + n, bit(n));
  set(8, size - 8, true);
  if (version < 7) return;
  const marks = bch(version, 12, 0x1f25);
  for (let n = 0; n < 18; n++) {
    const [a, b] = [size - 11 + (n % 3), Math.floor(n / 3)];
    set(a, b, ((marks >> n) & 1) === 1);
    set(b, a, ((marks >> n) & 1) === 1);
  }
}

/** Bits in columns of two, right to left, up and down by turns; the timing column is stepped over. */
function drawData(grid, size, words) {
  let at = 0;
  let upward = true;
  for (let right = size - 1; right > 0; right -= 2, upward = !upward) {
    if (right === 6) right = 5;
    for (let n = 0; n < size; n++) {
      const y = upward ? size - 1 - n : n;
      for (const x of [right, right - 1]) {
        if (grid[y][x] !== null) continue;
        const dark = ((words[at >> 3] ?? 0) >> (7 - (at & 7))) & 1;
        at++;
        grid[y][x] = (dark === 1) !== ((x + y) % 2 === 0);
      }
    }
  }
}
