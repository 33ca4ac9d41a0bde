// Runs forge's native binary from its npm platform package (npm may have skipped its postinstall script).
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const arch = { x64: "amd64", arm64: "arm64" }[process.arch];
const suffix = process.platform === "win32" ? ".exe" : "";
const binary = path.join(root, `node_modules/@foundry-rs/forge-${process.platform}-${arch}/bin/forge${suffix}`);

export function forge(args, options = {}) {
  if (!existsSync(binary)) throw new Error(`no forge at ${binary}: run npm ci; npm has it for darwin-arm64, linux-amd64 and win32-amd64`);
  return spawnSync(binary, args, { cwd: root, stdio: "inherit", ...options });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = forge(process.argv.slice(2)).status ?? 1;
}
