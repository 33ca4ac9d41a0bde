// What one holds and how it came about.

import { h } from "/verify/dom.mjs";
import { get, programmeNames } from "../api.mjs";
import { card, empty, icon, paged, query, row, rows, tag } from "../ui.mjs";
import { ACTS, className, dayName, number } from "../words.mjs";
import { activityRow } from "./activities.mjs";

const MAIN = "carbon";
const NOTHING = { class: MAIN, available: 0, held: 0, debt: 0, pending: 0, expiring: [] };

export const homeScreen = {
  title: "碳惠",
  async draw() {
    const [{ items: held }, { items: recent }] = await Promise.all([
      get("/points"), get("/activities?limit=4"),
    ]);
    const main = held.find(({ class: name }) => name === MAIN) ?? NOTHING;
    const others = held.filter((one) => one !== main);
    return [
      purse(main),
      others.map((one) => h("div", { class: "card small-purse" },
        h("span", { class: "symbol" }, icon("parking", 22)), className(one.class),
        h("b", {}, number(one.available)))),
      h("div", { class: "shortcuts" },
        shortcut("report", "chart", "月报"),
        shortcut("movements", "clock", "明细"),
        shortcut("consents", "shield", "授权"),
        shortcut("redemptions", "gift", "我的兑换")),
      h("h2", {}, "最近的行为", h("a", { href: "#/activities" }, "全部")),
      recent.length > 0 ? rows(recent.map((one) => activityRow(one))) : card(empty("leaf", "还没有记录",
        h("p", {}, h("a", { class: "button", href: "#/consents/new" }, "授权一个平台开始")))),
    ];
  },
};

const shortcut = (to, symbol, words) => h("a", { href: `#/${to}` },
  h("span", { class: "symbol" }, icon(symbol, 22)), words);

function purse({ class: name, available, held, debt, pending, expiring }) {
  const soon = expiring[0];
  const parts = [["在途", pending, "已发放，正在记入链上账户"], ["预扣", held, "兑换处理中"],
    ["待抵扣", debt, "更正后应扣回"]].filter(([, points]) => points > 0);
  return h("section", { class: "card purse" },
    h("div", { class: "label" }, h("span", {}, `可用${className(name)}`),
      h("span", {}, "不可转让，仅限兑换")),
    h("div", { class: "sum", id: "available" }, number(available), h("small", {}, "分")),
    parts.length > 0 ? h("dl", {}, parts.map(([words, points, why]) =>
      h("div", { title: why }, h("dt", {}, words), h("dd", {}, number(points))))) : null,
    soon ? h("p", {}, `其中 ${number(soon.points)} 分 ${soon.month.replace("-", " 年 ")} 月底到期`) : null);
}

export const movementsScreen = {
  title: "积分明细", tab: "",
  async draw() {
    const programmes = await programmeNames();
    return paged(
      (cursor) => get(query("/movements", { cursor, limit: 30 })),
      (items) => [rows(items.map((one) => movement(one, programmes)))],
      empty("clock", "还没有积分变动"));
  },
};

function movement(one, programmes) {
  const { act, points, class: name, city_day: day, activity_id: activity, programme_id: by } = one;
  const gain = h("span", { class: points > 0 ? "gain" : "gain loss" },
    `${points > 0 ? "+" : ""}${number(points)}`);
  return row({
    to: activity ? `#/activity/${activity}` : null,
    symbol: points > 0 ? "leaf" : "gift",
    title: ACTS[act] ?? act,
    told: [dayName(day), programmes.get(by)].filter(Boolean).join(" · "),
    end: [gain, tag(className(name))],
  });
}
