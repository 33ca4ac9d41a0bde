// The verify page's expression evaluator under Node: vectors of formats.md §10 in, answers out.

import { readFileSync } from "node:fs";
import { ExprError, compile } from "../../backend/public_api/site/verify/check/expr.mjs";

const TYPES = { bigint: "int", boolean: "bool", string: "string" };
const decode = (value) =>
  typeof value === "string" ? BigInt(value) : typeof value === "boolean" ? value : value.s;
const encode = (value) =>
  typeof value === "bigint" ? String(value) : typeof value === "string" ? { s: value } : value;
const each = (object, change) =>
  Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));

function answer({ expr, vars }) {
  const values = each(vars, decode);
  try {
    const compiled = compile(expr, each(values, (value) => TYPES[typeof value]));
    return { result: encode(compiled.evaluate(values)) };
  } catch (error) {
    if (!(error instanceof ExprError)) throw error;
    return { error: error.kind };
  }
}

const lines = readFileSync(0, "utf8").split("\n").filter(Boolean);
process.stdout.write(lines.map((line) => `${JSON.stringify(answer(JSON.parse(line)))}\n`).join(""));
