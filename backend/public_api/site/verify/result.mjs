// A check's answer for people: headline, ten lines, picture, and what the receipt says.

import { hex } from "./check/bytes.mjs";
import { grams } from "./check/verify.mjs";
import { facts, h, s } from "./dom.mjs";
import { picture } from "./picture.mjs";
import {
  ACTS, LEGEND, STEP_TITLES, VERDICTS, scenarioName, shortHash, shown, valueName,
} from "./words.mjs";

const MARKS = {
  ok: "m6 12.5 4 4 8-9",
  failed: "m7 7 10 10M17 7 7 17",
  stated: "M12 6.5v.2M12 10.5V17",
  hidden: "M6 12h12",
  not_checked: "M9.2 9.3a3 3 0 1 1 4 2.9c-.9.4-1.2 1-1.2 1.8M12 17v.2",
};
const TAGS = { ok: "good", failed: "bad", stated: "stated", hidden: "", not_checked: "" };

export const icon = (verdict) =>
  s("svg", { viewBox: "0 0 24 24", class: `icon-${verdict}`, "aria-hidden": "true" },
    s("circle", { cx: 12, cy: 12, r: 11, fill: "currentColor", "fill-opacity": 0.13 }),
    s("path", { d: MARKS[verdict], fill: "none", stroke: "currentColor", "stroke-width": 2.4,
      "stroke-linecap": "round", "stroke-linejoin": "round" }));

/** Everything below the input for one check; `ask` is the box that asks a node. */
export function result(answer, ask) {
  const { receipt } = answer.papers;
  return [
    headline(answer),
    ask,
    h("div", { class: "columns" },
      h("div", { class: "card" }, h("h2", {}, "逐项结论"), lines(answer.steps), legend(answer.steps)),
      receipt ? h("div", { class: "card" }, h("h2", {}, "从事件到区块"), picture(answer)) : null),
    receipt ? contents(answer) : null,
  ];
}

function headline({ ok, steps, papers }) {
  const failed = steps.filter(({ verdict }) => verdict === "failed");
  const asked = steps.find(({ step }) => step === "anchor").verdict === "ok";
  const [look, mark, title, told] = ok
    ? asked ? ["good", "ok", "成立", "能在这里重做的都重做了一遍，区块链上也是同样的记录。"]
      : ["part", "stated", "离线部分成立", "回执本身前后一致，签名有效。还没有到区块链上核对。"]
    : ["bad", "failed", refusal(failed, papers), failed.map(({ reason }) => reason)[0]];
  return h("div", { class: `card verdict ${look}`, id: "headline", "data-ok": String(ok) },
    icon(mark), h("div", {}, h("h2", {}, title), h("p", {}, what(papers, ok)), h("p", {}, told)));
}

function refusal(failed, papers) {
  const names = failed.map(({ step }) => step);
  if (!papers.trust) return "信任文件不可用";
  if (names.includes("format")) return "这不是一张有效的回执";
  if (names.includes("issuer")) return "不认识这个发行方";
  if (names.every((step) => step === "anchor" || step === "posted")) return "链上对不上";
  return "不成立，请不要采信";
}

function what({ receipt, leaf }, ok) {
  if (!receipt || !leaf) return "";
  const claims = ok ? "" : "回执自称：";
  if (receipt.kind === 2) return `${claims}颁布 ${leaf.enactment.id} 第 ${leaf.enactment.version} 版`;
  if (receipt.kind === 3) return `${claims}${leaf.audit.day} 的审计摘要`;
  const { act, points, method } = leaf;
  const of = method ? `${scenarioName(method.scenario)}，减排 ${grams(method.reduction_mg)}，` : "";
  return h("b", {}, `${claims}${of}${ACTS[act.act]} ${points.amount.toLocaleString("zh-CN")} 分`);
}

function lines(steps) {
  return h("ol", { class: "steps" }, steps.map(({ step, verdict, reason }) =>
    h("li", { class: verdict, "data-step": step, "data-verdict": verdict },
      icon(verdict),
      h("b", {}, STEP_TITLES[step]),
      h("span", { class: `tag ${TAGS[verdict]}` }, VERDICTS[verdict]),
      h("p", {}, reason))));
}

function legend(steps) {
  const met = new Set(steps.map(({ verdict }) => verdict));
  return h("ul", { class: "legend" }, Object.entries(LEGEND)
    .filter(([verdict]) => met.has(verdict))
    .map(([verdict, words]) => h("li", {}, h("b", {}, VERDICTS[verdict]), `：${words}`)));
}

function contents({ ok, papers: { receipt, leaf } }) {
  const pairs = leaf ? leafFacts(receipt, leaf) : [["内容", "叶子不成立，不显示"]];
  return h("div", { class: "card wide" },
    h("h2", {}, ok ? "这张回执写了什么" : "这张回执自称"),
    facts(pairs),
    h("details", {}, h("summary", {}, "核验用到的编号"), facts(numbers(receipt))),
    documents(receipt.documents));
}

function leafFacts(receipt, leaf) {
  if (receipt.kind === 2) return enactmentFacts(leaf.enactment);
  if (receipt.kind === 3) {
    return [["日期", leaf.audit.day], ["条数", shown(leaf.audit.count)], ["摘要", leaf.audit.head]];
  }
  const { act, points, method, rule, inputs, stated, occurrence, event, account } = leaf;
  const values = (named) => Object.entries(named).map(([name, value]) =>
    [valueName(name), shown(value)]);
  const hidden = "分享版不写";
  return [
    ["事由", ACTS[act.act]],
    ["积分", `${shown(points.amount)} 分（${points.class} 类）`],
    ...(method ? [
      ["行为", scenarioName(method.scenario)],
      ["减排量", `${grams(method.reduction_mg)}二氧化碳当量`],
      ["证据等级", LEVELS[method.evidence_level]],
      ["方法", `${method.id} 第 ${method.version} 版（${method.status === "approved" ? "已批准" : "暂行"}）`],
      ["规则", `${rule.programme} / ${rule.id} 第 ${rule.version} 版，命中 ${rule.row.join("、") || "无"}`],
      ...values(inputs),
      ...values(stated.history).map(([name, value]) => [name, `${value}（发行方查表）`]),
      ...values(stated.counters).map(([name, value]) => [name, `${value}（发行方声明）`]),
      ...stated.caps.map((cap) => [cap.name, `限 ${shown(cap.limit)} 分，此前已用 ${shown(cap.used_before)} 分`]),
    ] : []),
    ["行为日", occurrence ? occurrence.city_day : hidden],
    ["合作平台", event ? `${event.partner}，事件 ${event.id}` : method ? hidden : "无"],
    ["链上账户", account ?? hidden],
  ];
}

const LEVELS = {
  L0: "L0 自报", L1: "L1 照片", L2: "L2 凭证", L3: "L3 合作平台签名", L4: "L4 设备签名",
};

function enactmentFacts(enactment) {
  const what = { rule: "颁布规则", method: "颁布方法", stop: "停用" };
  return [
    ["事由", what[enactment.what]],
    ["文件", `${enactment.id} 第 ${enactment.version} 版`],
    ["有效期", `${enactment.day_from} 起，${enactment.day_to ?? "长期"}`],
    ["两位审批人", enactment.approvers.join("、")],
  ];
}

function numbers({ log, anchor, posted, commitments }) {
  return [
    ["叶子序号", String(log.index)],
    ["承诺", commitments.map((one) => shortHash(hex(one))).join("、")],
    ["存证交易", anchor.tx],
    ["存证区块", `${anchor.block} · ${anchor.block_hash}`],
    ...(posted ? [["入账交易", posted.tx], ["入账批次", posted.batch_id]] : []),
  ];
}

function documents({ method, rule }) {
  const written = (title, document) => document && h("details", {},
    h("summary", {}, title), h("pre", {}, JSON.stringify(document, null, 1)));
  return [written("方法全文", method), written("规则全文", rule)];
}
