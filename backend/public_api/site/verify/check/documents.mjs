// Method and rule documents, read and compiled: formats.md §9.

import { hex } from "./bytes.mjs";
import { must } from "./breach.mjs";
import { ExprError, compile, isName } from "./expr.mjs";
import { DOCUMENT_DEPTH_MAX, canonicalBytes } from "./json.mjs";
import {
  ID, INTEGER_MAX, integer, isDay, isInteger, isObject, list, members, text,
} from "./shape.mjs";
import { sm3 } from "./sm3.mjs";

const VERSION_MAX = 2 ** 31 - 1;
const METHOD =
  "format id version status scenarios day_from day_to needs formula bounds text";
const RULE = "format id version programme class day_from day_to hit needs rows caps";
const HEADINGS = "applicability boundary baseline quantification monitoring appendix";
const GIVEN = {
  reduction_mg: "int", scenario: "string", evidence_level: "string", status: "string",
};
const JS_TYPE = { int: "number", bool: "boolean", string: "string" };
const SECTIONS = ["event", "history", "counters", "params"];
const SCENARIO = /^(?=.{1,64}$)[a-z][a-z0-9]*(\.[a-z][a-z0-9]*){1,4}$/;
const REASON = /^(?=.{1,64}$)[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const RULE_FORMATS = ["tanhui-rule-v1", "tanhui-rule-v2"];
const WINDOWS = { "tanhui-rule-v1": ["day", "month", "year"],
  "tanhui-rule-v2": ["day", "week", "month", "quarter", "half", "year", "total", "campaign"] };
const ROW = /^[a-z][a-z0-9-]{0,31}$/;
/** What `event` names may not say: its values stay open in the share form. */
const WHEN_OR_WHERE = new Set(("time date day month year hour minute place location address lat " +
  "latitude lon lng longitude meter station stop plate phone").split(" "));

/** A method with `formula` and `bounds` compiled and its `digest`. */
export function readMethod(document) {
  must(document !== null, "缺少方法文件");
  const doc = members(document, METHOD, "方法文件");
  must(doc.format === "tanhui-method-v1", "不是 tanhui-method-v1 方法文件");
  must(["approved", "provisional"].includes(doc.status), "方法既非已批准也非暂行");
  readHead(doc, "方法");
  const types = readNeeds(doc.needs, {});
  const grades = Object.values(doc.needs.params).map(({ grade }) => grade);
  must(doc.status !== "approved" || grades.every((one) => "AB".includes(one)),
    "已批准的方法用了等级不足的参数");
  const scenarios = list(doc.scenarios, "适用场景");
  must(scenarios.length > 0 && new Set(scenarios).size === scenarios.length &&
    scenarios.every((one) => typeof one === "string" && SCENARIO.test(one)), "适用场景不对");
  const bounds = list(doc.bounds, "界限").map((each) => {
    members(each, "reason expr", "界限");
    return { reason: text(each.reason, REASON, "界限的原因"), holds: cell(each.expr, types, "bool") };
  });
  members(doc.text, HEADINGS, "方法正文");
  Object.values(doc.text).forEach((one) => says(one, "方法正文"));
  const formula = cell(doc.formula, types, "int");
  return { ...doc, bounds, formula, formulaText: doc.formula, digest: digestOf(document) };
}

/** A rule with the cells of its rows compiled and its `digest`. */
export function readRule(document) {
  must(document !== null, "缺少规则文件");
  const doc = members(document, RULE, "规则文件");
  must(RULE_FORMATS.includes(doc.format), "不是 tanhui-rule-v1 或 v2 规则文件");
  must(["first", "unique", "sum"].includes(doc.hit), "规则的命中方式不对");
  readHead(doc, "规则");
  text(doc.programme, ID, "激励活动");
  text(doc.class, ID, "积分类别");
  const types = { ...readNeeds(doc.needs, GIVEN), ...GIVEN };
  const rows = list(doc.rows, "规则的行").map((row) => {
    members(row, "id when points", "规则的行");
    text(row.id, ROW, "行名");
    const when = cell(row.when, types, "bool");
    return { id: row.id, when, points: cell(row.points, types, "int") };
  });
  must(rows.length > 0 && distinct(rows.map(({ id }) => id)), "规则没有行，或行名重复");
  for (const cap of list(doc.caps, "上限")) checkCap(cap, doc, rows);
  must(distinct(doc.caps.map(({ name }) => name)), "上限的名字重复");
  return { ...doc, rows, digest: digestOf(document) };
}

/** A cap; in the second format `of` is null or names what part of the awards it concerns. */
function checkCap(cap, { format, hit }, rows) {
  members(cap, format === RULE_FORMATS[0] ? "name window limit" : "name window limit of", "上限");
  says(cap.name, "上限的名字");
  must(WINDOWS[format].includes(cap.window), "上限的周期不对");
  integer(cap.limit, 0, INTEGER_MAX, "上限");
  if ((cap.of ?? null) === null) return;
  must(isObject(cap.of) && Object.keys(cap.of).length === 1, "上限的范围不对");
  const [[scope, values]] = Object.entries(cap.of);
  must(["scenario", "level", "row"].includes(scope), "上限的范围不对");
  list(values, "上限的范围").forEach((one) => says(one, "上限的范围"));
  must(values.length > 0 && distinct(values), "上限的范围为空或有重复");
  if (scope !== "row") return;
  must(hit !== "sum" && values.every((one) => rows.some(({ id }) => id === one)),
    "上限所指的行不对");
}

/** The caps that concern an award of this scenario and level by these rows, in order. */
export const capsOf = (rule, { scenario, evidence_level: level }, paid) =>
  rule.caps.filter(({ of }) => {
    const [[scope, values]] = Object.entries(of ?? { all: [] });
    const given = { all: null, scenario: [scenario], level: [level], row: paid }[scope];
    return given === null || given.some((one) => values.includes(one));
  });

const distinct = (names) => new Set(names).size === names.length;
const digestOf = (document) => hex(sm3(canonicalBytes(document, DOCUMENT_DEPTH_MAX)));

function says(value, where) {
  const blank = /^[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$/;
  must(typeof value === "string" && !blank.test(value), `${where}是空的`);
}

function readHead(doc, what) {
  text(doc.id, ID, `${what}编号`);
  integer(doc.version, 1, VERSION_MAX, `${what}版本`);
  for (const end of [doc.day_from, doc.day_to ?? doc.day_from]) {
    must(isDay(end) && end.startsWith("20"), `${what}的有效期不对`);
  }
  must(doc.day_to === null || doc.day_from < doc.day_to, `${what}的有效期不对`);
}

/** The declared names with their types. */
function readNeeds(needs, reserved) {
  members(needs, "event history counters params", "needs");
  const types = {};
  for (const section of SECTIONS) {
    must(isObject(needs[section]), "needs 不是对象");
    for (const [name, declared] of Object.entries(needs[section])) {
      must(isName(name) && !Object.hasOwn(reserved, name), `不能声明名字 ${name}`);
      must(section !== "event" || !name.split("_").some((part) => WHEN_OR_WHERE.has(part)),
        `${name} 会透露时间或地点`);
      must(!Object.hasOwn(types, name), `名字 ${name} 声明了两次`);
      types[name] = section === "params" ? checkParameter(declared) : declared;
      must(Object.hasOwn(JS_TYPE, types[name]), `${name} 的类型不对`);
    }
  }
  return types;
}

function checkParameter(parameter) {
  members(parameter, "value unit date reference grade", "参数");
  must(isInteger(parameter.value, -INTEGER_MAX), "参数不是整数");
  [parameter.unit, parameter.date, parameter.reference].forEach((one) => says(one, "参数的出处"));
  must(["A", "B", "C", "M", "G"].includes(parameter.grade), "参数的等级不对");
  return "int";
}

/** A cell compiled; what it throws while evaluating becomes a Breach. */
function cell(source, types, type) {
  must(typeof source === "string", "表达式不是文字");
  let compiled;
  try {
    compiled = compile(source, types);
  } catch (error) {
    if (!(error instanceof ExprError)) throw error;
    must(false, `表达式有误（${error.kind}）：${source.slice(0, 60)}`);
  }
  must(compiled.type === type, `表达式的类型不对：${source.slice(0, 60)}`);
  return (values) => {
    try {
      return compiled.evaluate(values);
    } catch (error) {
      if (!(error instanceof ExprError)) throw error;
      must(false, `计算出错（${error.kind}）：${source.slice(0, 60)}`);
    }
  };
}

const asBig = (value) => (typeof value === "number" ? BigInt(value) : value);

/** The values a document may use: its parameters, and what the leaf gives of its declared names. */
function variables({ needs }, { inputs, stated }) {
  const values = {};
  for (const [name, { value }] of Object.entries(needs.params)) values[name] = BigInt(value);
  const sources = { event: inputs, history: stated.history, counters: stated.counters };
  for (const [section, given] of Object.entries(sources)) {
    for (const [name, type] of Object.entries(needs[section])) {
      must(Object.hasOwn(given, name) && typeof given[name] === JS_TYPE[type], `缺少 ${name} 的数值`);
      must(type !== "int" || given[name] >= 0, `${name} 小于零`);
      values[name] = asBig(given[name]);
    }
  }
  return values;
}

function whole(value, where) {
  must(value >= 0n && value <= BigInt(INTEGER_MAX), `${where}超出了范围`);
  return Number(value);
}

/** The reduction in mg that a method gives for the leaf's values. */
export function reductionOf(method, leaf) {
  const values = variables(method, leaf);
  for (const { reason, holds } of method.bounds) must(holds(values), `方法拒绝这些数值：${reason}`);
  return whole(method.formula(values), "减排量");
}

/** {rows, points} that a rule pays before its caps. */
export function paidBy(rule, leaf) {
  const values = variables(rule, leaf);
  for (const name of Object.keys(GIVEN)) values[name] = asBig(leaf.method[name]);
  const hits = rule.rows.filter(({ when }) => when(values));
  must(rule.hit !== "unique" || hits.length <= 1, "规则有两行同时命中");
  const paid = rule.hit === "first" ? hits.slice(0, 1) : hits;
  const points = paid.reduce((sum, row) => sum + whole(row.points(values), "积分"), 0);
  must(points <= INTEGER_MAX, "积分超出了范围");
  return { rows: paid.map(({ id }) => id), points };
}
