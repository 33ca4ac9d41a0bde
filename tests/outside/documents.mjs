// Methods and rules redone: section 9 of docs/formats.md.

import { evaluate } from "../expr_reference/evaluator.mjs";
import {
  Breach, CJ, H, canonical, dayNumber, isCount, isDay, isId, isText, isVersion, listOf, mapOf,
  must, oneOf, orNull, shape,
} from "./formats.mjs";

// ---- section 9: documents

const NEEDS = shape({
  event: mapOf(oneOf("int", "bool", "string")), history: mapOf(oneOf("int", "bool", "string")),
  counters: mapOf(oneOf("int", "bool", "string")),
  params: mapOf(shape({ value: Number.isSafeInteger, unit: isText, date: isText, reference: isText,
    grade: isText })),
});
const TEXT = Object.fromEntries(["applicability", "boundary", "baseline", "quantification",
  "monitoring", "appendix"].map((name) => [name, isText]));
const METHOD_DOCUMENT = shape({
  format: oneOf("tanhui-method-v1"), id: isId, version: isVersion, status: isText,
  scenarios: listOf(isText), day_from: isDay, day_to: orNull(isDay), needs: NEEDS, formula: isText,
  bounds: listOf(shape({ reason: isText, expr: isText })), text: shape(TEXT),
});
const RULE_DOCUMENT = shape({
  format: oneOf("tanhui-rule-v1"), id: isId, version: isVersion, programme: isId, class: isId,
  day_from: isDay, day_to: orNull(isDay), hit: oneOf("first", "unique", "sum"), needs: NEEDS,
  rows: listOf(shape({ id: isText, when: isText, points: isText })),
  caps: listOf(shape({ name: isText, window: oneOf("day", "month", "year"), limit: isCount })),
});
const distinct = (list) => new Set(list).size === list.length;
const SCOPE = (value) => ["scenario", "level", "row"].some((name) => shape({ [name]: listOf(isText) })(value)
  && value[name].length > 0 && distinct(value[name]));
const RULE_2_SHAPE = shape({
  format: oneOf("tanhui-rule-v2"), id: isId, version: isVersion, programme: isId, class: isId,
  day_from: isDay, day_to: orNull(isDay), hit: oneOf("first", "unique", "sum"), needs: NEEDS,
  rows: listOf(shape({ id: isText, when: isText, points: isText })),
  caps: listOf(shape({ name: isText, limit: isCount, of: orNull(SCOPE),
    window: oneOf("day", "week", "month", "quarter", "half", "year", "total", "campaign") })),
});
const RULE_2_DOCUMENT = (value) => RULE_2_SHAPE(value) && value.caps.every(({ of }) => of?.row === undefined
  || (value.hit !== "sum" && of.row.every((id) => value.rows.some((row) => row.id === id))));
const ANY_RULE = (value) => RULE_DOCUMENT(value) || RULE_2_DOCUMENT(value);

/** The caps that cut such an award: all of them in the first format. */
function concernedCaps(document, method, rows) {
  const values = { scenario: [method.scenario], level: [method.evidence_level], row: rows };
  return document.caps.filter(({ of = null }) => of === null
    || Object.entries(of).every(([name, listed]) => values[name].some((one) => listed.includes(one))));
}
const GIVEN = ["reduction_mg", "scenario", "evidence_level", "status"];
const TYPES = { int: Number.isSafeInteger, bool: (v) => typeof v === "boolean", string: isText };
const sameJson = (a, b) => canonical(a) === canonical(b);

function checkDocument(document, wanted, named) {
  must(wanted(document), "not such a document");
  must(document.day_to === null || document.day_from < document.day_to, "window");
  const names = Object.values(document.needs).flatMap((map) => Object.keys(map));
  must(new Set(names).size === names.length, "a name twice");
  must(H(CJ(document)).toString("hex") === named.digest, "digest");
  must(document.id === named.id && document.version === named.version, "id and version");
}

/** The values an evaluation of this document may use, from inputs and stated values of the leaf. */
function variables(document, { inputs, stated }) {
  const found = {};
  const sources = { event: inputs, history: stated.history, counters: stated.counters };
  for (const [group, values] of Object.entries(sources)) {
    for (const [name, type] of Object.entries(document.needs[group])) {
      must(Object.hasOwn(values, name) && TYPES[type](values[name]), `${name}: absent or of another type`);
      must(typeof values[name] !== "number" || values[name] >= 0, `${name}: below zero`);
      found[name] = values[name];
    }
  }
  for (const [name, { value }] of Object.entries(document.needs.params)) found[name] = value;
  return found;
}

function calculate(expression, values, type) {
  const big = Object.entries(values).map(([k, v]) => [k, typeof v === "number" ? BigInt(v) : v]);
  let result;
  try {
    result = evaluate(expression, Object.fromEntries(big));
  } catch (error) {
    throw new Breach(`evaluation: ${error.message}`);
  }
  must(typeof result === type, "evaluation: type");
  return result;
}

function amountOf(expression, values) {
  const result = calculate(expression, values, "bigint");
  must(result >= 0n && result <= BigInt(Number.MAX_SAFE_INTEGER), "value outside the leaf's range");
  return Number(result);
}

function checkWindow({ day_from, day_to }, leaf, form) {
  if (form === "share") return;
  const { city_day } = leaf.values.occurrence;
  must(day_from <= city_day && (day_to === null || city_day < day_to), "window");
}

/** Inputs and stated values are exactly the union of what both documents need. */
function checkUnion(documents, { inputs, stated }) {
  const given = { event: inputs, history: stated.history, counters: stated.counters };
  for (const [group, values] of Object.entries(given)) {
    const needed = new Set(Object.values(documents).flatMap((one) => Object.keys(one.needs[group])));
    must(sameJson(Object.keys(values).sort(), [...needed].sort()), `${group}: not what is needed`);
  }
}

const isStated = ({ needs, caps = [] }) =>
  Object.keys(needs.history).length + Object.keys(needs.counters).length + caps.length > 0;

export function checkMethod(context) {
  const { receipt, leaf } = context;
  if (receipt.leaf.kind !== 1) return checkEnacted(context, "method", METHOD_DOCUMENT);
  const document = receipt.documents.method;
  const field = leaf.values.method;
  must((document === null) === (field === null), "document");
  if (field === null) return "stated";
  checkDocument(document, METHOD_DOCUMENT, field);
  must(document.status === field.status, "status");
  must(document.scenarios.includes(field.scenario), "scenario");
  checkWindow(document, leaf, receipt.form);
  const values = variables(document, leaf.values);
  for (const { reason, expr } of document.bounds) must(calculate(expr, values, "boolean"), reason);
  must(amountOf(document.formula, values) === field.reduction_mg, "reduction_mg");
  must(ANY_RULE(receipt.documents.rule), "the rule's document is not one");
  checkUnion(receipt.documents, leaf.values);
  return isStated(document) ? "stated" : "ok";
}

function paidRows(document, values) {
  const hits = document.rows.filter(({ when }) => calculate(when, values, "boolean"));
  must(document.hit !== "unique" || hits.length <= 1, "two rows hit");
  return document.hit === "first" ? hits.slice(0, 1) : hits;
}

export function checkRule(context) {
  const { receipt, leaf } = context;
  if (receipt.leaf.kind !== 1) return checkEnacted(context, "rule", ANY_RULE);
  const document = receipt.documents.rule;
  const { rule: field, method, points, stated } = leaf.values;
  must((document === null) === (field === null), "document");
  if (field === null) return "stated";
  checkDocument(document, ANY_RULE, field);
  must(document.programme === field.programme && document.class === points.class, "programme, class");
  checkWindow(document, leaf, receipt.form);
  const values = variables(document, leaf.values);
  for (const name of GIVEN) {
    must(!Object.hasOwn(values, name), `${name} may not be declared`);
    values[name] = method[name];
  }
  const rows = paidRows(document, values);
  must(sameJson(rows.map(({ id }) => id), field.row), "rows");
  const before = rows.map((row) => amountOf(row.points, values)).reduce((a, b) => a + b, 0);
  must(before === field.points_before_caps, "points_before_caps");
  must(sameJson(stated.caps.map(({ name, limit }) => [name, limit]),
    concernedCaps(document, method, field.row).map(({ name, limit }) => [name, limit])), "caps");
  const left = stated.caps.map(({ limit, used_before }) => limit - used_before);
  must(Math.min(before, ...left) === points.amount, "amount");
  must(METHOD_DOCUMENT(receipt.documents.method), "the method's document is not one");
  checkUnion(receipt.documents, leaf.values);
  return isStated(document) ? "stated" : "ok";
}

/** Method and rule of leaf kinds 2 and 3: the enacted document, or none. */
function checkEnacted({ receipt, leaf }, which, wanted) {
  const document = receipt.documents[which];
  const enactment = leaf.values.enactment;
  const other = receipt.documents[which === "rule" ? "method" : "rule"];
  const due = enactment && (enactment.what === which || (enactment.what === "stop" && other === null));
  must((document !== null) === Boolean(due), "document");
  if (document === null) return "stated";
  checkDocument(document, wanted, enactment);
  must(document.day_from === enactment.day_from, "window");
  if (enactment.what === "stop") {
    must(enactment.day_to !== null && (document.day_to === null || enactment.day_to <= document.day_to), "window");
  } else {
    must(dayNumber(enactment.day_to) <= dayNumber(document.day_to), "window");
  }
  return "ok";
}
