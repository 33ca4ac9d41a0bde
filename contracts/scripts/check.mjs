// The whole check of this folder: committed artifacts are what the sources give, storage layouts only grow, forge
// compiles to the same bytes, every test passes, and gas.json says what is measured.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { spawnSync } from "node:child_process";
import { isDeepStrictEqual } from "node:util";
import { contractNames, root } from "./compiler.mjs";
import { forge } from "./forge.mjs";
import { floorMax, measure } from "./gas.mjs";

const read = (...parts) => readFileSync(path.join(root, ...parts), "utf8");
const faults = [];

const fresh = mkdtempSync(path.join(root, "out-"));
try {
  const build = spawnSync(process.execPath, ["scripts/build.mjs", fresh], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  if (build.status !== 0) process.exit(1);
  const names = new Set([...readdirSync(fresh), ...readdirSync(path.join(root, "artifacts"))]);
  for (const name of [...names].sort()) {
    let same = false;
    try {
      same = readFileSync(path.join(fresh, name), "utf8") === read("artifacts", name);
    } catch {
      same = false; // One side has no such file.
    }
    if (!same) faults.push(`artifacts/${name} is not what the sources give: npm run build`);
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}

// State behind the proxies outlives the code: a line of a layout that ever was on file stays as it was.
for (const [name, codes] of Object.entries(JSON.parse(read("artifacts", "layouts.json")))) {
  const { layout: latest } = Object.values(codes).at(-1);
  for (const { layout } of Object.values(codes)) {
    for (const line of layout) if (!latest.includes(line)) faults.push(`${name} no longer keeps its storage: ${line}`);
  }
}

if (forge(["test", "--no-match-contract", "GasTest"]).status !== 0) faults.push("forge tests failed");
else {
  for (const name of contractNames) {
    const forged = JSON.parse(read("out", `${name}.sol`, `${name}.json`));
    const committed = JSON.parse(read("artifacts", `${name}.json`));
    if (forged.bytecode.object !== committed.bytecode) faults.push(`forge compiles ${name} to other bytes: compare foundry.toml with scripts/compiler.mjs`);
  }
  const gas = measure();
  if (!isDeepStrictEqual(gas, JSON.parse(read("gas.json")))) faults.push("gas.json is not what is measured: npm run gas");
  const full = gas.post.find((row) => row.accounts === 700);
  for (const [name, most] of Object.entries(floorMax)) {
    if (full[name] > most) faults.push(`${name} is ${full[name]} at 700 accounts, more than ${most}`);
  }
}

for (const fault of faults) console.error(`✗ ${fault}`);
if (faults.length === 0) console.log("✓ artifacts, tests and gas agree");
process.exitCode = faults.length === 0 ? 0 : 1;
