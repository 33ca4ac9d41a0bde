// Breaks one safeguard at a time in a copy of the sources and requires some test to fail: the tests' own test.
// `npm run mutants [-- PATTERN]`: PATTERN limits it to mutants whose line it matches, --list only names them.
// Takes ten to twenty seconds each.
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { listFiles, root } from "./compiler.mjs";
import { forge } from "./forge.mjs";

const rules = [
  { what: "refusal removed", find: /revert \w+\([^;]*\);/g, put: () => "{}" },
  { what: "modifier removed", find: /^ +(onlyRole\(\w+\)|whenNotPaused|onlyDirect|initializer)$/gm, put: () => "" },
  { what: "modifier removed", find: /(?<=external |view override |internal )(onlyRole\(\w+\)|initializer|onlyInitializing)/g, put: () => "" },
  { what: "modifier removed", find: /(?<=onlyRole\(\w+\) )whenNotPaused/g, put: () => "" },
  { what: "clause removed", find: /(?<=\|\| )[^|&\n]+?(?= \|\||\) (?:revert|\{))/g, put: () => "false" },
  { what: "clause removed", find: /(?<=if \()[^|&\n]+?(?= \|\|)/g, put: () => "false" },
  { what: "update removed", find: /^ +[\w$.]+(?:\[[^=\n]+\])*\.\w+ (?:=|\+=|-=) [^=;]+;$/gm, put: () => "" },
  { what: "loop check removed", find: /if (or|gt)\([^{]*\) \{ break \}/g, put: () => "" },
  { what: "loop check removed", find: /or\(lt\(id, floor\), iszero\(amount\)\)/g, put: () => "iszero(amount)" },
  { what: "loop check removed", find: /or\(lt\(id, floor\), iszero\(amount\)\)/g, put: () => "lt(id, floor)" },
  { what: "input check removed", find: /canonical := and\(eq\([^)]*\), 0x1a0\), (.*)\)$/gm, put: (_, rest) => `canonical := ${rest}` },
  { what: "input check removed", find: /if spare \{.*\}/g, put: () => "" },
  { what: "bound moved", find: / (<=|>=|<|>) (?!Version|mapping)/g, put: (_, op) => ` ${op.length === 2 ? op[0] : `${op}=`} `, only: /if \(|\? day|return reason|kind == 0|cap\)/ },
  { what: "initializers left open", find: /_disableInitializers\(\);/g, put: () => "" },
];

// Changes that no input can tell from the original, each with the reason.
const equivalent = [
  ["bound moved", "if (enactment.dayTo > dayToNow)"], // equal days were answered on the line before
  ["bound moved", "if (net > 0)"], // a net of zero adds nothing
  ["bound moved", "if (low > high)"], // equal signers were refused on the line before
  ["modifier removed", "function _initGoverned"], // the OpenZeppelin initializers it calls have the same modifier
];

/** Every single application of a rule to a source file. */
function* mutants() {
  for (const file of listFiles("src", ".sol")) {
    const text = readFileSync(path.join(root, file), "utf8");
    for (const rule of rules) {
      for (const match of text.matchAll(rule.find)) {
        const start = text.lastIndexOf("\n", match.index) + 1;
        const line = text.slice(start, text.indexOf("\n", match.index)).trim();
        if (line.startsWith("//") || line.startsWith("mapping") || (rule.only && !rule.only.test(line))) continue;
        if (equivalent.some(([what, begin]) => rule.what === what && line.startsWith(begin))) continue;
        const mutated = text.slice(0, match.index) + rule.put(...match) + text.slice(match.index + match[0].length);
        yield { file, mutated, name: `${file}:${text.slice(0, match.index).split("\n").length} ${rule.what}: ${line}` };
      }
    }
  }
}

if (process.argv[2] === "--list") {
  for (const mutant of mutants()) console.log(mutant.name);
  process.exit(0);
}

const copy = mkdtempSync(path.join(tmpdir(), "tanhui-mutants-"));
const survivors = [];
let count = 0;
try {
  for (const name of ["src", "test", "scripts", "foundry.toml", "vectors.json", "package.json"]) {
    cpSync(path.join(root, name), path.join(copy, name), { recursive: true });
  }
  symlinkSync(path.join(root, "node_modules"), path.join(copy, "node_modules"));
  const run = (args) => forge(["test", "--no-match-contract", "GasTest", ...args], { cwd: copy, stdio: "pipe", encoding: "utf8", env: { ...process.env, FOUNDRY_PROFILE: "quick", FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT: "0" } });
  if (run([]).status !== 0) throw new Error("the tests fail before anything is broken");
  for (const mutant of mutants()) {
    if (process.argv[2] && !new RegExp(process.argv[2]).test(mutant.name)) continue;
    const file = path.join(copy, mutant.file);
    const original = readFileSync(file, "utf8");
    writeFileSync(file, mutant.mutated);
    // The contract's own unit tests first: they catch most, and nothing else need be compiled for them.
    const own = `test/${path.basename(mutant.file, ".sol")}.t.sol`;
    const others = listFiles("test", ".t.sol").filter((name) => name !== own).flatMap((name) => ["--skip", name]);
    let { status, stdout } = run(existsSync(path.join(copy, own)) ? ["--fail-fast", ...others] : ["--fail-fast"]);
    if (status === 0) ({ status, stdout } = run(["--fail-fast", "--no-match-path", own]));
    writeFileSync(file, original);
    count += 1;
    const verdict = status === 0 ? "SURVIVED" : /\[FAIL/.test(stdout) ? "caught" : "does not compile";
    if (verdict !== "caught") survivors.push(`${verdict} ${mutant.name}`);
    console.log(`${verdict} ${mutant.name}`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(`${count - survivors.length} of ${count} broken safeguards caught`);
for (const survivor of survivors) console.error(survivor);
process.exitCode = survivors.length === 0 ? 0 : 1;
