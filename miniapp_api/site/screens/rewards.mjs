// What points buy, and what was bought.

import { h } from "/verify/dom.mjs";
import { get, nonce, write } from "../api.mjs";
import { act, card, copy, empty, icon, paged, query, row, rows, sheet, tag, toast } from "../ui.mjs";
import { KINDS, REDEMPTIONS, className, fen, moment, number } from "../words.mjs";

const SYMBOLS = { coupon: "gift", transit: "metro", ecny: "key", tree: "leaf" };

export const rewardsScreen = {
  title: "兑换",
  async draw() {
    const [{ items: held }, { items }] = await Promise.all([get("/points"), get("/rewards")]);
    const purse = Object.fromEntries(held.map((one) => [one.class, one.available]));
    return [
      h("p", { class: "day" }, h("span", {}, `可用 ${number(purse.carbon ?? 0)} 分`),
        h("a", { href: "#/redemptions" }, "我的兑换")),
      items.length === 0 ? empty("gift", "现在没有可兑换的商品")
        : h("div", { class: "rewards" }, items.map((one) => offer(one, purse[one.class] ?? 0))),
    ];
  },
};

function offer(one, available) {
  const short = available < one.price_points;
  const stopped = one.stock < 1 || one.refused !== null || short;
  const words = one.stock < 1 ? "已兑完" : one.refused ? "不可兑换" : short ? "积分不足" : "兑换";
  const button = act(words, () => redeem(one, available), { wide: false });
  button.disabled = stopped;
  button.dataset.reward = one.reward_id;
  return h("section", { class: "card reward" },
    h("span", { class: "picture" }, icon(SYMBOLS[one.kind], 34)),
    h("div", { class: "what" }, h("b", {}, one.name),
      h("div", { class: "small muted" }, [KINDS[one.kind], one.face_fen ? `面值 ${fen(one.face_fen)}` : null,
        `余 ${number(one.stock)}`].filter(Boolean).join(" · ")),
      h("span", { class: "price" }, `${number(one.price_points)} 分`)),
    button);
}

async function redeem(one, available) {
  const key = nonce();
  const agreed = await sheet(one.name, [
    h("dl", { class: "facts" }, [
      ["需要", `${number(one.price_points)} ${className(one.class)}`],
      ["兑换后剩余", `${number(available - one.price_points)} 分`],
      ["有效期", one.valid_days === null ? "长期" : `兑换后 ${one.valid_days} 天`],
      ["每人限兑", one.per_person === null ? "不限" : `${one.per_person} 份`],
      ["退回", one.refundable ? "未使用可退" : "兑换后不可退"],
    ].map(([term, told]) => [h("dt", {}, term), h("dd", {}, told)])),
    h("p", { class: "muted small" }, one.terms),
  ], { agree: `用 ${number(one.price_points)} 分兑换` });
  if (!agreed) return;
  const made = await write("POST", "/redemptions", { reward_id: one.reward_id }, key);
  location.assign(`#/redemption/${made.redemption_id}`);
}

export const redemptionsScreen = {
  title: "我的兑换", tab: "rewards",
  draw: async () => paged(
    (cursor) => get(query("/redemptions", { cursor, limit: 30 })),
    (items) => [rows(items.map((one) => row({
      to: `#/redemption/${one.redemption_id}`, symbol: "gift", title: one.reward_id,
      told: moment(one.created_at),
      end: [h("span", {}, `−${number(one.price_points)}`), tag(...REDEMPTIONS[one.state])],
    })))],
    empty("gift", "还没有兑换过", h("p", {}, h("a", { class: "button", href: "#/rewards" }, "去看看"))),
  ),
};

export const redemptionScreen = {
  title: "兑换结果", tab: "rewards",
  async draw({ parts: [id], again }) {
    const [one, { items: offers }] = await Promise.all([get(`/redemptions/${id}`), get("/rewards")]);
    const offered = offers.find(({ reward_id: name }) => name === one.reward_id);
    if (["held", "unknown"].includes(one.state)) setTimeout(again, 2_000);
    return [
      h("div", { class: `hero ${one.state === "posted" ? "good" : ""}` },
        h("p", {}, tag(...REDEMPTIONS[one.state])),
        h("div", { class: "sum", id: "redeemed" }, offered?.name ?? one.reward_id),
        h("p", {}, one.state_text)),
      one.code ? card(h("div", { class: "card ticket" }, h("p", { class: "muted small" }, "兑换码"),
        h("code", { id: "code" }, one.code)), h("p", {}), act("复制兑换码", () => copy(one.code))) : null,
      card(h("dl", { class: "facts" }, [
        ["积分", `${number(one.price_points)} ${className(one.class)}`],
        ["时间", moment(one.created_at)],
        ["有效到", one.valid_to ?? "长期"],
        ...(one.reason ? [["原因", one.reason]] : []),
      ].map(([term, told]) => [h("dt", {}, term), h("dd", {}, told)]))),
      h("p", {}),
      rows(
        row({ to: `#/redemption-receipt/${id}`, symbol: "shield", title: "兑换回执",
          told: "这笔积分的去向也写进公开日志" }),
        one.state === "posted" && offered?.refundable ? row({ symbol: "back", title: "退回未使用的兑换",
          told: "积分回到原来的到期月份", onclick: () => refund(id, again) }) : null),
    ];
  },
};

async function refund(id, again) {
  if (!(await sheet("退回这笔兑换？", "兑换码随即作废，积分返还。", { bad: true, agree: "退回" }))) return;
  await write("POST", `/redemptions/${id}/refund`);
  toast("已退回");
  again();
}
