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

const target = path.resolve(root, process.argv[2] ?? "artifacts");
const sources = Object.fromEntries(
  listFiles("src", ".sol").map((file) => [file, { content: readFileSync(path.join(root, file), "utf8") }]),
);
sources["probe.sol"] = { content: probeSource() };
const output = compile(sources, {
  "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences", "storageLayout"] },
});

const sourceDigest = digestOf(sourceFiles());
const manifest = { compiler: compilerVersion(), settings, sourceFiles: sourceFiles(), sourceDigest, artifacts: {} };
mkdirSync(target, { recursive: true });
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
  const text = `${JSON.stringify(artifact, null, 1)}\n`;
  manifest.artifacts[`${contractName}.json`] = createHash("sha256").update(text).digest("hex");
  writeFileSync(path.join(target, `${contractName}.json`), text);
  console.log(`${contractName}: ${(artifact.deployedBytecode.length - 2) / 2} bytes deployed`);
}
writeFileSync(path.join(target, "manifest.json"), `${JSON.stringify(manifest, null, 1)}\n`);
console.log(`source digest ${sourceDigest}`);
