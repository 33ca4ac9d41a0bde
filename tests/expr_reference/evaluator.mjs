// Reference evaluator of the expression language (docs/formats.md section 10), in BigInt.
// It shares no code with the Python engine. Given vectors, one JSON a line, on standard input it
// prints the answer to each: {"result": …} or {"error": "syntax|type|overflow|division"}.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const KEYWORDS = ("as break const continue else false for function if import in let loop " +
  "namespace null package return true var void while").split(" ");
const TOKEN =
  /(?<word>[A-Za-z0-9_]+)|"(?<string>[ !#-[\]-~\u4e00-\u9fff]*)"|(?<mark><=|>=|==|!=|&&|\|\||[-+*/%!<>?:()[\],])/uy;

export class ExprError extends Error {} // its message is the kind of the error

const fail = (kind) => {
  throw new ExprError(kind);
};

function tokenize(text) {
  if ([...text].length > 512) fail("syntax");
  const tokens = [];
  for (let at = 0; ; ) {
    while (text[at] === " ") at++;
    if (at === text.length) return tokens;
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null) fail("syntax");
    tokens.push(match.groups);
    at = TOKEN.lastIndex;
  }
}

// A tree node is {op, type, depth, …}; types are decided after the whole text has been read.
class Parser {
  constructor(tokens) {
    Object.assign(this, { tokens, at: 0, nodes: 0, open: 0 });
  }

  isMark(...marks) {
    return marks.includes(this.tokens[this.at]?.mark);
  }

  take(mark) {
    if (!this.isMark(mark)) fail("syntax");
    this.at++;
  }

  node(op, fields, ...operands) {
    if (++this.nodes > 128) fail("syntax");
    const depth = 1 + Math.max(0, ...operands.map((operand) => operand.depth));
    if (depth > 32) fail("syntax");
    return { op, depth, operands, ...fields };
  }

  cond() {
    const or = () => this.chain(["||"], () => this.chain(["&&"], () => this.relation()));
    const test = or();
    if (!this.isMark("?")) return test;
    this.at++;
    const yes = or();
    this.take(":");
    return this.node("?:", {}, test, yes, this.cond());
  }

  chain(marks, operand) {
    let left = operand();
    while (this.isMark(...marks)) {
      left = this.node(this.tokens[this.at++].mark, {}, left, operand());
    }
    return left;
  }

  relation() {
    const left = this.sum();
    if (this.isMark("<", "<=", ">", ">=", "==", "!=")) {
      return this.node(this.tokens[this.at++].mark, {}, left, this.sum());
    }
    if (this.tokens[this.at]?.word !== "in") return left;
    this.at++;
    this.take("[");
    const members = [this.literal()];
    for (; this.isMark(","); members.push(this.literal())) this.at++;
    this.take("]");
    return this.node("in", {}, left, ...members);
  }

  sum() {
    return this.chain(["+", "-"], () => this.chain(["*", "/", "%"], () => this.unary()));
  }

  unary() {
    if (!this.isMark("-", "!")) return this.primary();
    const op = this.tokens[this.at++].mark === "-" ? "negate" : "not";
    return this.node(op, {}, this.primary());
  }

  primary() {
    if (this.isMark("(")) {
      this.at++;
      if (++this.open > 31) fail("syntax"); // before the brackets alone exhaust the stack
      const inner = this.cond();
      this.take(")");
      this.open--;
      return inner.depth < 32 ? { ...inner, depth: inner.depth + 1 } : fail("syntax");
    }
    const word = this.tokens[this.at]?.word;
    if (word === undefined || !/^[a-z][a-z0-9_]{0,63}$/.test(word) || KEYWORDS.includes(word)) {
      return this.literal();
    }
    this.at++;
    return this.node("name", { name: word });
  }

  literal() {
    const { word, string } = this.tokens[this.at++] ?? {};
    if (string !== undefined) return this.node("literal", { value: string });
    if (word === "true" || word === "false") return this.node("literal", { value: word === "true" });
    if (word === undefined || !/^(0|[1-9][0-9]*)$/.test(word) || !fits(BigInt(word))) fail("syntax");
    return this.node("literal", { value: BigInt(word) });
  }
}

function typeOf({ op, name, value, operands }, vars) {
  if (op === "literal") return typeof value;
  if (op === "name") return Object.hasOwn(vars, name) ? typeof vars[name] : fail("type");
  const types = operands.map((operand) => typeOf(operand, vars));
  const all = (wanted) => types.every((type) => type === wanted) || fail("type");
  if (op === "?:") return types[0] === "boolean" && types[1] === types[2] ? types[1] : fail("type");
  if (op === "in" || op === "==" || op === "!=") return all(types[0]) && "boolean";
  if (op === "not" || op === "&&" || op === "||") return all("boolean") && "boolean";
  return all("bigint") && (op.startsWith("<") || op.startsWith(">") ? "boolean" : "bigint");
}

const fits = (value) => BigInt.asIntN(64, value) === value;
const int64 = (value) => (fits(value) ? value : fail("overflow"));

function attempt(action) {
  try {
    return { value: action() };
  } catch (error) {
    if (error instanceof ExprError) return { error };
    throw error;
  }
}

const STRICT = {
  not: (a) => !a,
  negate: (a) => int64(-a),
  in: (a, ...members) => members.includes(a),
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "+": (a, b) => int64(a + b),
  "-": (a, b) => int64(a - b),
  "*": (a, b) => int64(a * b),
  "/": (a, b) => (b === 0n ? fail("division") : int64(a / b)),
  // The least int64 by -1 overflows for the remainder as well.
  "%": (a, b) => (b === 0n ? fail("division") : (int64(a / b), a % b)),
};

function run({ op, name, value, operands }, vars) {
  if (op === "literal") return value;
  if (op === "name") return vars[name];
  if (op === "?:") return run(operands[run(operands[0], vars) ? 1 : 2], vars);
  if (op === "&&" || op === "||") {
    const [left, right] = operands.map((operand) => attempt(() => run(operand, vars)));
    const decides = op === "||";
    if (left.value === decides || right.value === decides) return decides;
    if (left.error ?? right.error) throw left.error ?? right.error;
    return !decides;
  }
  return STRICT[op](...operands.map((operand) => run(operand, vars)));
}

export function evaluate(text, vars) {
  const parser = new Parser(tokenize(text));
  const tree = parser.cond();
  if (parser.at !== parser.tokens.length) fail("syntax");
  typeOf(tree, vars);
  return run(tree, vars);
}

const decode = (value) =>
  typeof value === "string" ? BigInt(value) : typeof value === "boolean" ? value : value.s;
const encode = (value) =>
  typeof value === "bigint" ? String(value) : typeof value === "string" ? { s: value } : value;

function answer({ expr, vars }) {
  const values = Object.fromEntries(Object.entries(vars).map(([k, v]) => [k, decode(v)]));
  const { value, error } = attempt(() => evaluate(expr, values));
  return error ? { error: error.message } : { result: encode(value) };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const lines = readFileSync(0, "utf8").split("\n").filter(Boolean);
  process.stdout.write(lines.map((line) => JSON.stringify(answer(JSON.parse(line))) + "\n").join(""));
}
