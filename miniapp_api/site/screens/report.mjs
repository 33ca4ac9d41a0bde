// A month: by needs, against one's own past, with goal and forecast, and its certificate.

import { h, s } from "/verify/dom.mjs";
import { bytesOf, get, write } from "../api.mjs";
import { act, card, download, field, query, row, rows, toast } from "../ui.mjs";
import { number, weight } from "../words.mjs";

const MG_A_KG = 1_000_000;
const BAR = { width: 300, height: 110, gap: 8 };

const thisMonth = () => {
  const now = new Date();
  return `${now.getFullYear()}-${String(now.getMonth() + 1).padStart(2, "0")}`;
};

function monthsBefore(month, count) {
  const [year, at] = month.split("-").map(Number);
  const then = new Date(year, at - 1 - count, 1);
  return `${then.getFullYear()}-${String(then.getMonth() + 1).padStart(2, "0")}`;
}

const monthName = (month) => `${month.slice(0, 4)} 年 ${Number(month.slice(5))} 月`;

export const reportScreen = {
  title: "月报", tab: "",
  async draw({ named }) {
    const report = await get(query("/report", { month: named.get("month") }));
    const { month } = report;
    return [
      h("nav", { class: "segments", "aria-label": "月份" },
        h("a", { href: `#/report?month=${monthsBefore(month, 1)}` }, "上月"),
        h("a", { href: `#/report?month=${month}`, "aria-current": "page" }, monthName(month)),
        month < thisMonth() ? h("a", { href: `#/report?month=${monthsBefore(month, -1)}` }, "下月") : null),
      h("div", { class: "hero good" }, h("p", {}, "减排二氧化碳"),
        h("div", { class: "sum", id: "reduction" }, weight(report.reduction_mg)),
        h("p", {}, `${number(report.activities)} 次低碳行为，${number(report.points)} 分`)),
      card(h("b", {}, "与自己比"), trend(report.trend, month), compared(report)),
      h("h2", {}, "衣食住行用"),
      rows(report.needs.map(need)),
      h("h2", {}, "本月目标"),
      goal(report),
      h("p", {}),
      report.activities > 0 ? certificate(month) : null,
    ];
  },
};

const SYMBOLS = { clothing: "gift", food: "leaf", home: "home", travel: "metro", goods: "gift" };

const need = ({ need: name, title, reduction_mg: mg, scenarios }) => row({
  symbol: SYMBOLS[name], title, end: h("b", {}, mg === 0 ? "—" : weight(mg)),
  told: scenarios.length === 0 ? "这个月没有记录" : scenarios.map((one) => one.title).join("、"),
});

function trend(points, month) {
  const most = Math.max(1, ...points.map(({ reduction_mg: mg }) => mg));
  const step = BAR.width / Math.max(points.length, 1);
  return s("svg", { class: "chart", viewBox: `0 0 ${BAR.width} ${BAR.height + 18}`, role: "img",
    "aria-label": points.map((one) => `${one.month} ${weight(one.reduction_mg)}`).join("，") },
  points.map(({ month: at, reduction_mg: mg }, n) => {
    const tall = Math.round((mg * (BAR.height - 8)) / most);
    return s("g", {},
      s("rect", { x: n * step + BAR.gap / 2, width: step - BAR.gap, y: BAR.height - tall, height: tall,
        rx: 4, class: at === month ? "" : "past" }),
      (points.length - 1 - n) % 2 === 0
        ? s("text", { x: n * step + step / 2, y: BAR.height + 14 }, `${Number(at.slice(5))}月`) : null);
  }));
}

function compared({ reduction_mg: now, previous_month_mg: before, same_month_last_year_mg: year }) {
  const words = (was, name) => was === 0 ? `${name}没有记录`
    : now >= was ? `比${name}多 ${weight(now - was)}` : `比${name}少 ${weight(was - now)}`;
  return h("p", { class: "small muted" }, `${words(before, "上月")}，${words(year, "去年同月")}。`);
}

function goal({ goal_mg: wanted, forecast_mg: expected, reduction_mg: now }) {
  const kg = h("input", { type: "number", min: 1, max: 1_000_000, inputmode: "numeric", id: "goal",
    value: wanted === null ? "" : Math.round(wanted / MG_A_KG) });
  const done = wanted === null ? 0 : Math.min(100, Math.floor((100 * now) / wanted));
  return card(
    wanted === null ? h("p", { class: "muted" }, "还没有设目标。")
      : [h("p", {}, `已完成 ${done}%${expected === null ? "" : `，照现在的进度，月底约 ${weight(expected)}`}`),
        s("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
          s("rect", { width: done, height: 8 }))],
    field("每月减排目标（千克）", kg),
    act("保存目标", async () => {
      const known = await get("/settings");
      const value = Number(kg.value);
      await write("PUT", "/settings", { ...known, goal_mg: value >= 1 ? Math.round(value) * MG_A_KG : null });
      toast("已保存");
    }, { plain: true }));
}

const certificate = (month) => act("下载证书", async () => {
  const picture = await bytesOf(`/certificate?month=${month}`);
  download(picture, `certificate-${month}.svg`, "image/svg+xml");
}, { id: "certificate" });
