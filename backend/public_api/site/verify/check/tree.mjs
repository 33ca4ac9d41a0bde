// The log's tree: hashes of formats.md §4, proofs of RFC 9162 §2.1.3.

import { must } from "./breach.mjs";
import { sm3 } from "./sm3.mjs";

export const leafHash = (data) => sm3(Uint8Array.of(0), data);
const nodeHash = (left, right) => sm3(Uint8Array.of(1), left, right);

/**
 * The way from a leaf hash to the root: one {sibling, side, hash} a level, `side` telling where the
 * sibling stands and `hash` what both give. A path that cannot fit the tree is a Breach.
 */
export function climb(leaf, index, size, path) {
  must(index < size, "叶子序号超出了树");
  let [position, last, hash] = [BigInt(index), BigInt(size) - 1n, leaf];
  const steps = path.map((sibling) => {
    must(last !== 0n, "路径太长");
    const left = (position & 1n) === 1n || position === last;
    hash = left ? nodeHash(sibling, hash) : nodeHash(hash, sibling);
    while (left && (position & 1n) === 0n && position !== 0n) {
      position >>= 1n;
      last >>= 1n;
    }
    position >>= 1n;
    last >>= 1n;
    return { sibling, side: left ? "left" : "right", hash };
  });
  must(last === 0n, "路径太短");
  return steps;
}

/** The root that the way leads to; a tree of one leaf is its own root. */
export const rootOf = (leaf, steps) => (steps.length === 0 ? leaf : steps.at(-1).hash);
