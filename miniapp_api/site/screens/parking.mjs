// Shared parking: find a space for a time, hold it, see what a stay cost, pay.

import { h } from "/verify/dom.mjs";
import { get, nonce, write } from "../api.mjs";
import { act, card, complain, empty, field, paged, query, row, rows, sheet, tag, toast } from "../ui.mjs";
import { fen, moment, number } from "../words.mjs";

const CENTRE = "22.543000,114.057900"; // of the demo city; a phone that tells its place comes first
const PLATE = "tanhui-plate";
const RADIUS_M = 5_000;
const HALF_HOUR_MS = 1_800_000;

const RESERVATIONS = {
  held: ["待确认", "warn"], confirmed: ["已预约", "good"], used: ["已使用", ""],
  cancelled: ["已取消", ""], expired: ["已过期", ""], "no-show": ["未到场", "bad"],
};
const PAYMENTS = {
  inside: ["停放中", "stated"], due: ["待支付", "warn"], paid: ["已支付", "good"], free: ["免费", "good"],
  "being-checked": ["核对中", "stated"],
};
const CLASSES = { standard: "标准车位", large: "大车位", accessible: "无障碍车位", charging: "充电车位" };

const PARTS = [["", "找车位"], ["reservations", "预约"], ["stays", "停车与缴费"]];

export const parkingScreen = {
  title: "停车",
  async draw(at) {
    const [part = ""] = at.parts;
    const drawn = { "": find, reservations, stays }[part] ?? find;
    return [
      h("nav", { class: "segments", "aria-label": "停车" }, PARTS.map(([path, words]) =>
        h("a", { href: `#/parking${path && `/${path}`}`, "aria-current": path === part ? "page" : null },
          words))),
      await drawn(at),
    ];
  },
};

// ---- find and reserve

function whereabouts() {
  return new Promise((resolve) => {
    if (!navigator.geolocation || !window.isSecureContext) {
      resolve(CENTRE);
      return;
    }
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => resolve(`${coords.latitude.toFixed(6)},${coords.longitude.toFixed(6)}`),
      () => resolve(CENTRE), { timeout: 4_000, maximumAge: 300_000 });
  });
}

const local = (at) => new Date(at - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

function find() {
  const soon = Math.ceil((Date.now() + 300_000) / HALF_HOUR_MS) * HALF_HOUR_MS;
  const begin = h("input", { type: "datetime-local", id: "begin", value: local(soon) });
  const hours = h("select", { id: "hours" }, [1, 2, 3, 4, 8].map((count) =>
    h("option", { value: count, selected: count === 2 }, `${count} 小时`)));
  const near = h("input", { type: "checkbox", id: "near" });
  const place = h("div", { id: "lots" });
  const search = act("查找空车位", async () => {
    const from = new Date(begin.value);
    const span = { from: from.toISOString(), to: new Date(+from + hours.value * 3_600_000).toISOString() };
    const spot = near.checked ? await whereabouts() : CENTRE;
    const { items } = await get(query("/parking/lots", { near: spot, radius_m: RADIUS_M, ...span }));
    place.replaceChildren(items.length === 0
      ? empty("parking", "这段时间附近没有空车位，换个时间试试")
      : rows(items.map((lot) => lotRow(lot, span))));
  }, { id: "search" });
  return [card(field("什么时候到", begin), field("停多久", hours),
    h("label", { class: "check" }, near, h("span", {}, "按我的位置查找（只用于这次查找，不保存）")), search),
  h("p", {}), place];
}

const lotRow = (lot, span) => row({
  symbol: "parking", title: lot.name, told: `${distance(lot.distance_m)} · 空 ${number(lot.free)} 个`,
  end: h("b", {}, lot.price_fen === null ? "到场计费" : fen(lot.price_fen)),
  onclick: () => choose(lot, span).catch(complain),
});

const distance = (m) => (m < 1000 ? `${m} 米` : `${(m / 1000).toFixed(1)} 公里`);

async function choose(lot, span) {
  const { items } = await get(query(`/parking/lots/${lot.lot_id}/spaces`, span));
  if (items.length === 0) {
    toast("刚刚被订完了，请换一个");
    return;
  }
  const space = h("select", {}, items.map(({ space_id: id, label, class: kind }) =>
    h("option", { value: id }, `${label} · ${CLASSES[kind]}`)));
  const plate = h("input", { id: "plate", maxlength: 10, value: localStorage.getItem(PLATE) ?? "",
    placeholder: "例如 粤B12345" });
  const key = nonce();
  const agreed = await sheet(lot.name, [
    h("p", {}, `${moment(span.from)} 至 ${moment(span.to)}`),
    field("车位", space), field("车牌号", plate),
    h("p", { class: "muted small" }, "车牌加密保存，只用于闸机识别。每人同时最多 3 项有效预约。"),
  ], { agree: "预约" });
  if (!agreed) return;
  await bind(plate.value.trim());
  await write("POST", "/parking/reservations", {
    space_id: space.value, plate: plate.value.trim(), starts_at: span.from, ends_at: span.to,
    confirm: true,
  }, key);
  toast("预约成功");
  location.assign("#/parking/reservations");
}

/** A space is reserved for a vehicle of one's own: bind it when it is used first. */
async function bind(plate) {
  if (localStorage.getItem(PLATE) === plate) return;
  await write("POST", "/parking/vehicles", { plate, class: "small", fuel: "petrol" });
  localStorage.setItem(PLATE, plate);
}

// ---- reservations

const reservations = ({ again }) => paged(
  (cursor) => get(query("/parking/reservations", { cursor, limit: 30 })),
  (items) => [rows(items.map((one) => reservationRow(one, again)))],
  empty("parking", "还没有预约", h("p", {}, h("a", { class: "button", href: "#/parking" }, "去找车位"))),
);

function reservationRow(one, again) {
  const { reservation_id: id, lot_id: lot, label, starts_at: from, ends_at: to, state } = one;
  const open = ["held", "confirmed"].includes(state);
  return row({
    symbol: "parking", title: `${lot} · ${label}`, told: `${moment(from)} 至 ${moment(to)}`,
    end: tag(...RESERVATIONS[state]),
    onclick: async () => {
      if (!open || !(await sheet("取消这项预约？", "临近开始取消可能按停车场的规定收费。",
        { bad: true, agree: "取消预约", refuse: "保留" }))) return;
      const gone = await write("DELETE", `/parking/reservations/${id}`);
      toast(gone.fee_fen > 0 ? `已取消，收费 ${fen(gone.fee_fen)}` : "已取消");
      again();
    },
  });
}

// ---- stays and money

async function stays({ again }) {
  const standing = await get("/parking/standing");
  return [
    card(h("b", {}, standing.trusted ? "先离场后付费 " : "请先付费再离场 ",
      tag(standing.trusted ? "信用停车" : "暂未开通", standing.trusted ? "good" : "warn")),
    h("p", { class: "small muted" }, standing.trusted
      ? `欠费不超过 ${fen(standing.limit_fen)} 时可直接离场，目前欠 ${fen(standing.owed_fen)}。`
      : standing.reasons.join("；")),
    standing.trusted ? null : h("p", { class: "small muted" }, standing.appeal)),
    h("p", {}),
    await paged(
      (cursor) => get(query("/parking/stays", { cursor, limit: 30 })),
      (items) => [rows(items.map((one) => stayRow(one, again)))],
      empty("clock", "还没有停车记录")),
  ];
}

function stayRow(one, again) {
  const { stay_id: id, lot_name: lot, entered_at: from, left_at: to, charge_fen: charge, payment } = one;
  return row({
    symbol: "clock", title: lot,
    told: `${moment(from)} 入场${to ? `，${moment(to)} 离场` : ""}` +
      (one.refunded_fen > 0 ? `，已退 ${fen(one.refunded_fen)}` : ""),
    end: [charge === null ? null : h("b", {}, fen(charge)), tag(...PAYMENTS[payment])],
    onclick: () => (payment === "due" ? pay(id, lot, charge, again).catch(complain) : null),
  });
}

async function pay(id, lot, charge, again) {
  const key = nonce();
  if (!(await sheet("支付停车费", h("div", { class: "hero" }, h("p", {}, lot),
    h("div", { class: "sum" }, fen(charge))), { agree: "支付（沙箱）" }))) return;
  const order = await write("POST", `/parking/stays/${id}/pay`, undefined, key);
  toast(order.state === "paid" ? "支付成功" : "已提交，等待支付渠道确认");
  again();
}
