// The integer expression language of formats.md §10: int64 in BigInt, booleans and strings.
//
// `compile(text, types)` reads the whole text, then decides every type, also in branches never
// taken; only then is there something to evaluate. Errors are ExprError of one of four kinds.

export class ExprError extends Error {
  /** kind: syntax, type, overflow or division. */
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

const fail = (kind) => {
  throw new ExprError(kind);
};

const CODE_POINTS_MAX = 512;
const NODES_MAX = 128;
const DEPTH_MAX = 32;
const INT_MAX = 2n ** 63n - 1n;
const KEYWORDS = new Set(("as break const continue else false for function if import in let loop " +
  "namespace null package return true var void while").split(" "));
const NAME = /^[a-z][a-z0-9_]{0,63}$/;
const INT = /^(0|[1-9][0-9]{0,18})$/;
const TOKEN =
  / *(?:([A-Za-z0-9_]+|"[ !#-[\]-~\u4e00-\u9fff]*")|(<=|>=|==|!=|&&|\|\||[-+*/%!<>?:()[\],]))/uy;

export const isName = (text) => NAME.test(text) && !KEYWORDS.has(text);

// ---- text → tokens → tree

function tokens(text) {
  if ([...text].length > CODE_POINTS_MAX) fail("syntax");
  const end = text.replace(/ +$/, "").length;
  const found = [];
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < end;) {
    const match = TOKEN.exec(text) ?? fail("syntax");
    found.push(match[1] ?? match[2]);
  }
  return found;
}

/** Recursive descent. A node is {op, of: operands, value, depth}; a token is its own text. */
class Reader {
  constructor(text) {
    this.tokens = tokens(text);
    this.at = 0;
    this.nodes = 0;
  }

  whole() {
    const tree = this.choice();
    return this.at === this.tokens.length ? tree : fail("syntax");
  }

  accept(...marks) {
    return marks.includes(this.tokens[this.at]) ? this.tokens[this.at++] : null;
  }

  expect(mark) {
    return this.accept(mark) ?? fail("syntax");
  }

  node(op, of, value) {
    const depth = 1 + Math.max(0, ...of.map((one) => one.depth));
    if (++this.nodes > NODES_MAX || depth > DEPTH_MAX) fail("syntax");
    return { op, of, value, depth };
  }

  choice() {
    const test = this.or();
    if (!this.accept("?")) return test;
    const yes = this.or();
    this.expect(":");
    return this.node("?:", [test, yes, this.choice()]);
  }

  chain(marks, operand) {
    let left = operand();
    for (let mark; (mark = this.accept(...marks));) left = this.node(mark, [left, operand()]);
    return left;
  }

  or() {
    return this.chain(["||"], () => this.chain(["&&"], () => this.relation()));
  }

  relation() {
    const left = this.sum();
    const mark = this.accept("<", "<=", ">", ">=", "==", "!=");
    if (mark) return this.node(mark, [left, this.sum()]);
    if (!this.accept("in")) return left;
    this.expect("[");
    const listed = [this.literal()];
    while (this.accept(",")) listed.push(this.literal());
    this.expect("]");
    return this.node("in", [left, ...listed]);
  }

  sum() {
    return this.chain(["+", "-"], () => this.chain(["*", "/", "%"], () => this.unary()));
  }

  unary() {
    const mark = this.accept("-", "!");
    return mark ? this.node(mark === "-" ? "negate" : "not", [this.primary()]) : this.primary();
  }

  primary() {
    if (this.accept("(")) {
      const inner = this.choice();
      this.expect(")");
      return inner.depth < DEPTH_MAX ? { ...inner, depth: inner.depth + 1 } : fail("syntax");
    }
    const token = this.tokens[this.at] ?? fail("syntax");
    if (!isName(token)) return this.literal();
    this.at++;
    return this.node("name", [], token);
  }

  literal() {
    const token = this.tokens[this.at++] ?? fail("syntax");
    if (token.startsWith('"')) return this.node("literal", [], token.slice(1, -1));
    if (token === "true" || token === "false") return this.node("literal", [], token === "true");
    if (!INT.test(token) || BigInt(token) > INT_MAX) fail("syntax");
    return this.node("literal", [], BigInt(token));
  }
}

// ---- tree → type

const TYPE_OF = { bigint: "int", boolean: "bool", string: "string" };
const ARITHMETIC = ["+", "-", "*", "/", "%", "negate"];

function typeOf({ op, of, value }, types) {
  if (op === "literal") return TYPE_OF[typeof value];
  if (op === "name") return Object.hasOwn(types, value) ? types[value] : fail("type");
  const found = of.map((one) => typeOf(one, types));
  const want = (type, ...given) => given.every((one) => one === type) || fail("type");
  if (op === "?:") {
    want("bool", found[0]);
    want(found[1], found[2]);
    return found[1];
  }
  if (["==", "!=", "in"].includes(op)) want(found[0], ...found);
  else want(["&&", "||", "not"].includes(op) ? "bool" : "int", ...found);
  return ARITHMETIC.includes(op) ? "int" : "bool";
}

// ---- tree and values → result

const int64 = (value) => (BigInt.asIntN(64, value) === value ? value : fail("overflow"));
const APPLY = {
  not: (a) => !a,
  negate: (a) => int64(-a),
  in: (a, ...listed) => listed.includes(a),
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
  // The least int64 by -1 overflows here as its quotient does.
  "%": (a, b) => (b === 0n ? fail("division") : (int64(a / b), a % b)),
};

function run({ op, of, value }, values) {
  if (op === "literal") return value;
  if (op === "name") return values[value];
  if (op === "?:") return run(of[run(of[0], values) ? 1 : 2], values);
  if (op === "&&" || op === "||") return runLogical(op === "||", of, values);
  return APPLY[op](...of.map((one) => run(one, values)));
}

/** `&&` and `||`: the side that decides absorbs the other's error, in either order. */
function runLogical(decides, of, values) {
  let first = null;
  for (const one of of) {
    try {
      if (run(one, values) === decides) return decides;
    } catch (error) {
      if (!(error instanceof ExprError)) throw error;
      first ??= error;
    }
  }
  if (first) throw first;
  return !decides;
}

/** {type, evaluate(values)} of an expression; `types` maps each name to int, bool or string. */
export function compile(text, types) {
  const tree = new Reader(text).whole();
  return { type: typeOf(tree, types), evaluate: (values) => run(tree, values) };
}
