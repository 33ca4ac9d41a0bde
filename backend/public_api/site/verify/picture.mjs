// The way from the event to the block, drawn as one line down the page.

import { hex } from "./check/bytes.mjs";
import { grams } from "./check/verify.mjs";
import { s } from "./dom.mjs";
import { ACTS, scenarioName, shortHash } from "./words.mjs";

const WIDTH = 360;
const SPINE = 22;
const TEXT = 48;
const ROW = 58;
const SIBLING = 24;

/** An SVG of a check's papers, each stop coloured by its verdict. */
export function picture({ steps, papers }) {
  const verdicts = Object.fromEntries(steps.map(({ step, verdict }) => [step, verdict]));
  const drawn = [];
  let y = 24;
  for (const stop of stops(papers)) {
    drawn.push(drawStop(stop, verdicts[stop.step], y));
    y += ROW;
    for (const [n, level] of (stop.levels ?? []).entries()) {
      drawn.push(drawLevel(level, n, y - 18));
      y += SIBLING;
    }
  }
  const end = y - ROW;
  return s("svg", {
    class: "picture", viewBox: `0 0 ${WIDTH} ${end + 34}`, role: "img",
    "aria-label": "从上报事件到区块的路径图",
  }, s("path", { class: "line", d: `M${SPINE} 24V${end}` }), drawn);
}

function stops({ receipt, leaf, note, climb }) {
  const root = note ? shortHash(hex(note.root)) : "";
  const found = [
    ...(receipt.kind === 1 ? activityStops(receipt, leaf) : [
      { step: "leaf", label: receipt.kind === 2 ? "颁布规则或方法" : "每日审计摘要" },
    ]),
    { step: "leaf", label: `叶子 · 第 ${receipt.log.index} 片`, hash: climb && hex(climb.leaf) },
    { step: "path", label: `日志路径 · ${receipt.log.path.length} 层`,
      note: "每一层与相邻的哈希合成一个", levels: climb?.steps },
    { step: "checkpoint", label: `检查点 · 共 ${receipt.log.size} 片叶子`, note: `根 ${root}，发行方签名` },
    { step: "anchor", label: `区块 ${receipt.anchor.block}`,
      note: `交易 ${shortHash(receipt.anchor.tx)}` },
  ];
  if (receipt.posted) {
    found.push({ step: "posted", label: `入账 · 区块 ${receipt.posted.block}`,
      note: `批次 ${shortHash(receipt.posted.batch_id)}` });
  }
  return found;
}

function activityStops(receipt, leaf) {
  if (!leaf) return [];
  const { act, points, method, rule, event, occurrence } = leaf;
  const first = method === null ? { step: "leaf", label: ACTS[act.act], note: `原转账 ${act.of ?? "无"}` }
    : { step: "origin", label: `上报事件 · ${scenarioName(method.scenario)}`,
        note: event ? `${event.partner} · ${occurrence.city_day}` : "合作平台与时间已隐藏" };
  const found = [first];
  if (method) {
    found.push({ step: "method", label: `减排 ${grams(method.reduction_mg)}`,
      note: `方法 ${method.id} 第 ${method.version} 版` });
  }
  found.push({ step: "rule", label: `${points.amount} 分`,
    note: rule ? `规则 ${rule.id} 第 ${rule.version} 版` : ACTS[act.act] });
  return found;
}

function drawStop({ label, note, hash }, verdict, y) {
  return s("g", { class: verdict },
    s("circle", { class: "dot", cx: SPINE, cy: y, r: 9 }),
    s("text", { class: "label", x: TEXT, y: y + (note || hash ? -1 : 5) }, label),
    note ? s("text", { class: "note", x: TEXT, y: y + 17 }, note) : null,
    hash ? s("text", { class: "hash", x: TEXT, y: y + 17 }, shortHash(hash)) : null);
}

function drawLevel({ sibling, side }, n, y) {
  const words = `${side === "left" ? "左邻" : "右邻"} ${shortHash(hex(sibling))}`;
  return s("g", {},
    s("path", { class: "line", d: `M${SPINE} ${y}H${TEXT}` }),
    s("circle", { class: "box", cx: SPINE, cy: y, r: 4 }),
    s("rect", { class: "box", x: TEXT, y: y - 9, width: 168, height: 18, rx: 5 }),
    s("text", { class: "hash", x: TEXT + 8, y: y + 4 }, words),
    s("text", { class: "hash", x: TEXT + 178, y: y + 4 }, `第 ${n + 1} 层`));
}
