// Leaves, salted commitments to the fields of one logged row: formats.md §4.

import { concat, utf8 } from "./bytes.mjs";
import { must } from "./breach.mjs";
import { readCanonical } from "./json.mjs";
import {
  ACCOUNT, ADDRESS, HEX32, ID, INTEGER_MAX, VERSION_MAX, day, integer, isDay, isObject, list,
  members, text,
} from "./shape.mjs";
import { leafHash } from "./tree.mjs";

export const FIELDS = {
  1: ["act", "points", "method", "rule", "inputs", "stated", "occurrence", "event", "account"],
  2: ["enactment"],
  3: ["audit"],
};
export const SHARED_FIELDS = 6;
const HEAD = utf8("tanhui-leaf-v1\n");
const SALT = /^[A-Za-z0-9_-]{21}[AQgw]$/;
const TRANSFER = /^[0-9a-z-]{1,64}$/;
const NAME = /^[a-z][a-z0-9_]{0,63}$/;
const TIME = new RegExp("^20\\d\\d-\\d\\d-\\d\\dT([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?" +
  "(Z|[+-]((0\\d|1[0-3]):[0-5]\\d|14:00))$");
const REASON = { award: 0, redeem: 0, expire: 1, reverse: 2, erase: 3, refund: 4 };
const LEVELS = ["L0", "L1", "L2", "L3", "L4"];
export const ORIGINS = ["signed-upload", "shared-secret"];
const AWARD_ONLY = ["method", "rule", "inputs", "stated", "event"];

/** The leaf hash over commitments; hidden fields count like open ones. */
export const hashOf = (kind, commitments) =>
  leafHash(concat(HEAD, Uint8Array.of(kind, commitments.length), ...commitments));

/** The revealed fields by name, in order and judged; null stands for a hidden disclosure. */
export function openFields(kind, disclosures, cityZone) {
  const values = {};
  const salts = new Set();
  FIELDS[kind].forEach((wanted, n) => {
    if (disclosures[n] === null) return;
    const parts = readCanonical(disclosures[n]);
    must(Array.isArray(parts) && parts.length === 3, "披露不是 [盐, 名, 值]");
    const [salt, name, value] = parts;
    must(typeof salt === "string" && SALT.test(salt), "盐不是 16 字节");
    must(name === wanted, `字段 ${wanted} 的位置上是别的字段`);
    must(!salts.has(salt), "两个字段用了同一个盐");
    salts.add(salt);
    values[name] = value;
  });
  if (kind === 1) checkTransfer(values, cityZone);
  else if (kind === 2) checkEnactment(values.enactment);
  else checkAudit(values.audit);
  return values;
}

const CHECKS = {
  act: checkAct,
  points: checkPoints,
  method: checkMethod,
  rule: checkRule,
  inputs: (value) => checkValues(value, "inputs"),
  stated: checkStated,
  occurrence: checkOccurrence,
  event: checkEvent,
  account: (value) => text(value, ACCOUNT, "account"),
};

function checkTransfer(values, cityZone) {
  checkAct(values.act);
  const award = values.act.act === "award";
  for (const [name, value] of Object.entries(values)) {
    if (AWARD_ONLY.includes(name) && !award) must(value === null, `${name} 只属于发放`);
    else CHECKS[name](value, cityZone);
  }
  if (award && values.occurrence) must(values.occurrence.time !== null, "发放没有写行为时间");
}

function checkAct(act) {
  members(act, "act transfer of reason", "act");
  must(typeof act.act === "string" && Object.hasOwn(REASON, act.act), "不认识这种积分变动");
  text(act.transfer, TRANSFER, "act.transfer");
  if (act.of !== null) text(act.of, TRANSFER, "act.of");
  if (act.act === "award" || act.act === "redeem") must(act.of === null, "act.of 应为空");
  if (act.act === "reverse" || act.act === "refund") must(act.of !== null, "act.of 不应为空");
  must(act.reason === REASON[act.act], "原因代码与积分变动不符");
}

function checkPoints(points) {
  members(points, "class amount", "points");
  text(points.class, ID, "points.class");
  integer(points.amount, 1, INTEGER_MAX, "points.amount");
}

function checkMethod(method) {
  members(method, "id version digest status scenario evidence_level origin reduction_mg", "method");
  text(method.id, ID, "method.id");
  integer(method.version, 1, VERSION_MAX, "method.version");
  text(method.digest, HEX32, "method.digest");
  text(method.status, null, "method.status");
  text(method.scenario, null, "method.scenario");
  must(LEVELS.includes(method.evidence_level), "证据等级不是 L0 到 L4");
  must(ORIGINS.includes(method.origin), "上报方式不对");
  integer(method.reduction_mg, 0, INTEGER_MAX, "method.reduction_mg");
}

function checkRule(rule) {
  members(rule, "programme id version digest row points_before_caps", "rule");
  text(rule.programme, ID, "rule.programme");
  text(rule.id, ID, "rule.id");
  integer(rule.version, 1, VERSION_MAX, "rule.version");
  text(rule.digest, HEX32, "rule.digest");
  must(list(rule.row, "rule.row").every((row) => typeof row === "string"), "rule.row 不是行名");
  integer(rule.points_before_caps, 0, INTEGER_MAX, "rule.points_before_caps");
}

function checkValues(values, where) {
  must(isObject(values), `${where}不是对象`);
  for (const [name, value] of Object.entries(values)) {
    must(NAME.test(name), `${where}里有不能用的名字`);
    must(["number", "boolean", "string"].includes(typeof value), `${where}.${name} 的类型不对`);
  }
}

function checkStated(stated) {
  members(stated, "history counters caps", "stated");
  checkValues(stated.history, "stated.history");
  checkValues(stated.counters, "stated.counters");
  for (const cap of list(stated.caps, "stated.caps")) {
    members(cap, "name limit used_before", "上限");
    text(cap.name, null, "上限的名字");
    integer(cap.limit, 0, INTEGER_MAX, "上限");
    integer(cap.used_before, 0, INTEGER_MAX, "此前已用");
  }
}

/** The civil date of a time in a zone; its fraction of a second is cut first. */
function cityDay(time, zone) {
  const parts = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone, calendar: "iso8601", year: "numeric", month: "2-digit", day: "2-digit",
  }).formatToParts(new Date(time.replace(/\.\d+/, "")));
  const part = (type) => parts.find((one) => one.type === type).value;
  return `${part("year")}-${part("month")}-${part("day")}`;
}

function checkOccurrence(occurrence, cityZone) {
  members(occurrence, "time originaltime city_day place", "occurrence");
  day(occurrence.city_day, "occurrence.city_day");
  for (const name of ["time", "originaltime"]) {
    const time = occurrence[name];
    if (time === null) continue;
    must(isDay(text(time, TIME, `occurrence.${name}`).slice(0, 10)), `occurrence.${name} 不是时间`);
  }
  const { time } = occurrence;
  must(time === null || cityDay(time, cityZone) === occurrence.city_day, "行为日与行为时间不符");
}

function checkEvent(event) {
  members(event, "partner source id digest", "event");
  text(event.partner, ID, "event.partner");
  text(event.source, null, "event.source");
  text(event.id, null, "event.id");
  text(event.digest, HEX32, "event.digest");
}

function checkEnactment(enactment) {
  members(enactment, "what id version digest day_from day_to approvers", "enactment");
  must(["rule", "method", "stop"].includes(enactment.what), "颁布的不是规则、方法或停用");
  text(enactment.id, ID, "enactment.id");
  integer(enactment.version, 1, VERSION_MAX, "enactment.version");
  text(enactment.digest, HEX32, "enactment.digest");
  day(enactment.day_from, "enactment.day_from");
  if (enactment.day_to !== null) {
    // A stop may close a window on its very first day.
    const first = day(enactment.day_to, "enactment.day_to") === enactment.day_from;
    must(enactment.day_to > enactment.day_from || (first && enactment.what === "stop"),
      "day_to 不在 day_from 之后");
  }
  const approvers = list(enactment.approvers, "approvers");
  must(approvers.length === 2, "审批人不是两位");
  approvers.forEach((one) => text(one, ADDRESS, "审批人"));
  must(approvers[0] < approvers[1], "审批人不是两个升序的地址");
}

function checkAudit(audit) {
  members(audit, "day count head", "audit");
  day(audit.day, "audit.day");
  integer(audit.count, 0, INTEGER_MAX, "audit.count");
  text(audit.head, HEX32, "audit.head");
}
