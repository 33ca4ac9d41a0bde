// Compiles src/ and writes artifacts/. With another folder as argument it writes there instead (see check.mjs).
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { compile, compilerVersion, contractNames, digestOf, listFiles, ownContracts, root, settings, sourceFiles } from "./compiler.mjs";

// State lives in ERC-7201 structs, which the compiler's storage layout does not see. These probes are contracts
// with the struct as their only variable, so the layout of the struct (slots relative to the namespace) is listed.
function probeSource() {
  const imports = ownContracts.map((name) => `import {${name}} from "src/${name}.sol";`);
  const probes = ownContracts.map((name) => `contract ${name}Probe { ${name}.${name}Storage internal state; }`);
  return ["// SPDX-License-Identifier: Apache-2.0", "pragma solidity 0.8.37;", ...imports, ...probes].join("\n");
}

/** Type names carry compiler-internal node numbers; without them a layout changes only when storage does. */
function layoutOf(layout) {
  const text = JSON.stringify(layout ?? { storage: [], types: {} }).replace(/\)\d+_storage/g, ")_storage");
  const { storage, types } = JSON.parse(text.replace(/(t_(?:contract|enum)\([A-Za-z]+\))\d+/g, "$1"));
  const slim = (entry) => ({ label: entry.label, slot: entry.slot, offset: entry.offset, type: entry.type });
  for (const type of Object.values(types ?? {})) if (type.members) type.members = type.members.map(slim);
  return { storage: storage.map(slim), types: types ?? {} };
}

/** A layout as lines that people and `tanhui chain upgrade` compare: `slot+offset name: type`, then the structs'. */
function linesOf({ storage: [probe], types }) {
  const line = (within, { slot, offset, label, type }) => {
    const { label: typeLabel, encoding, members, numberOfBytes } = types[type];
    const size = encoding === "inplace" && !members ? ` (${numberOfBytes} B)` : "";
    return `${within}${slot}+${offset} ${label}: ${typeLabel}${size}`;
  };
  // The probe's only variable is the namespace's struct.
  const { [probe.type]: own, ...others } = types;
  const structs = Object.values(others).filter((type) => type.members);
  structs.sort((a, b) => (a.label < b.label ? -1 : 1));
  const lines = (within, type) => type.members.map((member) => line(within, member));
  return [...lines("", own), ...structs.flatMap((type) => lines(`${type.label} `, type))];
}

/** Published ways to award points: compiled with ours, deployed by `tanhui bench` alone. */
const yardsticks = ["Erc20Points", "Erc1155Points"];

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

/**
 * Every code a contract ever had, the newest last, by the SHA-256 of its deployed bytes with immutables zero, with the places of
 * those immutables and its storage layout: what an upgrade compares the code on the chain with.
 */
function withLayout(known, { contractName, deployedBytecode, immutableReferences, storageLayout }) {
  const code = digest(Buffer.from(deployedBytecode.slice(2), "hex"));
  const immutables = Object.values(immutableReferences ?? {}).flat().map(({ start, length }) => [start, length]);
  const { [code]: again, ...earlier } = known[contractName] ?? {};
  return { ...known, [contractName]: { ...earlier, [code]: { immutables, layout: linesOf(storageLayout) } } };
}

const target = path.resolve(root, process.argv[2] ?? "artifacts");
const sourcesIn = (folder) => Object.fromEntries(
  listFiles(folder, ".sol").map((file) => [file, { content: readFileSync(path.join(root, file), "utf8") }]),
);
const sources = sourcesIn("src");
sources["probe.sol"] = { content: probeSource() };
const output = compile(sources, {
  "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences", "storageLayout"] },
});

const sourceDigest = digestOf(sourceFiles());
const manifest = { compiler: compilerVersion(), settings, sourceFiles: sourceFiles(), sourceDigest, artifacts: {} };
mkdirSync(target, { recursive: true });
let layouts = JSON.parse(readFileSync(path.join(root, "artifacts/layouts.json"), "utf8"));
function write(name, content) {
  const text = `${JSON.stringify(content, null, 1)}\n`;
  manifest.artifacts[name] = digest(text);
  writeFileSync(path.join(target, name), text);
}
for (const contractName of contractNames) {
  const file = Object.keys(output.contracts).find((name) => contractName in output.contracts[name]);
  const { abi, evm } = output.contracts[file][contractName];
  const probe = output.contracts["probe.sol"][`${contractName}Probe`];
  const artifact = {
    contractName,
    abi,
    bytecode: `0x${evm.bytecode.object}`,
    deployedBytecode: `0x${evm.deployedBytecode.object}`,
    immutableReferences: evm.deployedBytecode.immutableReferences,
    storageNamespace: probe ? `erc7201:tanhui.storage.${contractName}` : null,
    storageLayout: layoutOf(probe?.storageLayout),
    sourceDigest,
  };
  write(`${contractName}.json`, artifact);
  if (probe) layouts = withLayout(layouts, artifact);
  console.log(`${contractName}: ${(artifact.deployedBytecode.length - 2) / 2} bytes deployed`);
}
write("layouts.json", layouts);
const measured = compile(sourcesIn("yardsticks"), { "*": { "*": ["evm.bytecode.object"] } }).contracts;
write("yardsticks.json", Object.fromEntries(
  yardsticks.map((name) => [name, `0x${measured[`yardsticks/${name}.sol`][name].evm.bytecode.object}`]),
));
writeFileSync(path.join(target, "manifest.json"), `${JSON.stringify(manifest, null, 1)}\n`);
console.log(`source digest ${sourceDigest}`);
