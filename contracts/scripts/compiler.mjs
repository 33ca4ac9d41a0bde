// One place for compiler settings: the build, the check and forge must compile alike.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const solc = createRequire(import.meta.url)("solc");

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
/** Our own contracts: each behind a proxy, its state in the ERC-7201 namespace of its name. */
export const ownContracts = ["CarbonPoints", "RuleRegistry", "EvidenceAnchor", "SpaceRegistry", "ParkingSettlement"];
export const contractNames = [...ownContracts, "ERC1967Proxy", "TimelockController"];

export const settings = {
  evmVersion: "cancun",
  optimizer: { enabled: true, runs: 1_000_000 },
  viaIR: false,
  // No metadata in the bytecode: the same sources give the same bytes on every machine.
  metadata: { bytecodeHash: "none", appendCBOR: false },
};

export function listFiles(folder, suffix) {
  return readdirSync(path.join(root, folder), { recursive: true })
    .map((name) => `${folder}/${name.split(path.sep).join("/")}`)
    .filter((name) => name.endsWith(suffix))
    .sort();
}

/** Files whose bytes decide the bytecode: our sources, the compiler settings and the locked packages. */
export function sourceFiles() {
  return [...listFiles("src", ".sol"), "package-lock.json", "scripts/compiler.mjs"].sort();
}

/** sha256 over, for each path in ascending order: path LF, decimal byte length LF, bytes LF. */
export function digestOf(files) {
  const hash = createHash("sha256");
  for (const file of files) {
    const bytes = readFileSync(path.join(root, file));
    hash.update(`${file}\n${bytes.length}\n`).update(bytes).update("\n");
  }
  return hash.digest("hex");
}

/** Compiles standard-json `sources` ({path: {content}}); throws with the compiler's own words on any error. */
export function compile(sources, outputSelection) {
  const input = { language: "Solidity", sources, settings: { ...settings, outputSelection } };
  const findImport = (name) => {
    const file = name.startsWith("@") ? path.join(root, "node_modules", name) : path.join(root, name);
    return existsSync(file) ? { contents: readFileSync(file, "utf8") } : { error: `not found: ${name}` };
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));
  const faults = (output.errors ?? []).filter((entry) => entry.severity !== "info");
  if (faults.length > 0) throw new Error(faults.map((entry) => entry.formattedMessage).join("\n"));
  return output;
}

export const compilerVersion = () => solc.version();
