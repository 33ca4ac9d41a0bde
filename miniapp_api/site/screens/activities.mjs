// Every reported activity: what came of it, or why nothing did, and what to do.

import { h } from "/verify/dom.mjs";
import { get, programmeNames, publicly } from "../api.mjs";
import { SCENARIO_ICONS, card, empty, paged, query, row, rows, tag } from "../ui.mjs";
import {
  STATES, WAY, className, clock, dayName, number, scenarioName, weight,
} from "../words.mjs";

/** A line for an activity; below a day's heading it need not name the day. */
export function activityRow(each, { dated = true } = {}) {
  const { activity_id: id, scenario, state, points, reduction_mg: mg, city_day: day } = each;
  const [words, look] = STATES[state];
  const line = row({
    to: `#/activity/${id}`,
    symbol: SCENARIO_ICONS[scenario] ?? "leaf",
    title: scenarioName(scenario),
    told: each.reason_text ?? [dated ? dayName(day) : clock(each.occurred_at),
      mg === null ? null : `减排 ${weight(mg)}`].filter(Boolean).join(" · "),
    end: [points ? h("span", { class: "gain" }, `+${number(points)}`) : null, tag(words, look)],
  });
  if (state === "refused") line.classList.add("refused");
  return line;
}

export const activitiesScreen = {
  title: "行为",
  draw: async () => paged(
    (cursor) => get(query("/activities", { cursor, limit: 30 })),
    (items) => byDay(items).map(([day, ones]) => h("section", {},
      h("p", { class: "day" }, h("span", {}, dayName(day)),
        h("span", {}, `减排 ${weight(ones.reduce((sum, one) => sum + (one.reduction_mg ?? 0), 0))}`)),
      rows(ones.map((one) => activityRow(one, { dated: false }))))),
    empty("leaf", "还没有记录。授权之后，合作平台上报的每一次行为都在这里，无论是否计分。",
      h("p", {}, h("a", { class: "button", href: "#/consents/new" }, "去授权"))),
  ),
};

function byDay(items) {
  const days = new Map();
  for (const one of items) days.set(one.city_day, [...(days.get(one.city_day) ?? []), one]);
  return [...days].sort(([a], [b]) => (a < b ? 1 : -1));
}

export const activityScreen = {
  title: "行为详情", tab: "activities",
  async draw({ parts: [id] }) {
    const [one, { items: partners }, programmes] = await Promise.all([
      get(`/activities/${encodeURIComponent(id)}`), publicly("/partners"), programmeNames(),
    ]);
    const partner = partners.find(({ partner_id: known }) => known === one.partner_id);
    const proven = ["confirmed", "posted", "reversed"].includes(one.state) && one.points > 0;
    return [
      hero(one),
      why(one),
      card(h("dl", { class: "facts" }, [
        ["场景", scenarioName(one.scenario)],
        ["时间", `${one.city_day} ${clock(one.occurred_at)}`],
        ["上报平台", partner?.name ?? one.partner_id],
        ["减排量", one.reduction_mg === null ? "未核算" : weight(one.reduction_mg)],
        ["事件编号", one.event_id],
      ].map(([term, told]) => [h("dt", {}, term), h("dd", {}, told)]))),
      one.awards.length > 0 ? [h("h2", {}, "积分从哪里来"), rows(one.awards.map((each) => award(each, programmes)))] : null,
      one.state === "refused" ? null : [h("h2", {}, "走到哪一步"), card(way(one.state))],
      h("h2", {}, "接下来"),
      rows(
        proven ? row({ to: `#/receipt/${id}`, symbol: "shield", title: "核验回执",
          told: "在这台手机上重算，并到区块链上核对" }) : null,
        proven ? row({ to: `#/share/${id}`, symbol: "share", title: "分享给别人看",
          told: "加密链接，不含时间、地点和账户" }) : null,
        row({ to: `#/appeals/new?activity=${id}`, symbol: "chat", title: "对结果有疑问，申诉",
          told: "有人工复核，到期必有答复" }),
      ),
    ];
  },
};

function hero({ points, state, scenario, reduction_mg: mg }) {
  const [words, look] = STATES[state];
  return h("div", { class: `hero ${points ? "good" : ""}` },
    h("p", {}, scenarioName(scenario), " ", points ? tag(words, look) : null),
    h("div", { class: "sum", id: "points" }, points ? `+${number(points)} 分` : "未计分"),
    h("p", {}, mg === null ? "" : `减排 ${weight(mg)}二氧化碳当量`));
}

function why({ reason_text: reason, next_step: next, method_note: note, stands_instead: other }) {
  if (!reason && !note && !other) return h("p", { class: "muted" }, next);
  return h("div", { class: "why", id: "why" },
    reason ? h("p", {}, h("b", {}, "为什么："), reason) : null,
    h("p", {}, h("b", {}, "怎么办："), next),
    note ? h("p", { class: "small" }, note) : null,
    other ? h("p", {}, h("a", { href: `#/activity/${other.activity_id}` }, "看计入的那一次")) : null);
}

const award = ({ programme_id: by, points, class: name, cut_by: cut, state }, programmes) => row({
  symbol: "leaf", title: programmes.get(by) ?? by,
  told: cut ? `已达“${cut}”，超出部分不计` : className(name),
  end: [h("span", { class: "gain" }, `+${number(points)}`), tag(...STATES[state])],
});

function way(state) {
  const names = WAY.map(([name]) => name);
  const at = names.indexOf({ refused_by_chain: "confirmed", reversed: "posted" }[state] ?? state);
  return h("ol", { class: "way" }, WAY.map(([, words], n) =>
    h("li", { class: n < at ? "done" : n === at ? "done now" : "" }, words)));
}
