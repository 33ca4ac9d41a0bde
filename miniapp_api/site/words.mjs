// Words of the citizens' screens.

export { ACTS, SCENARIOS, scenarioName } from "/verify/words.mjs";

export const CLASSES = { carbon: "碳积分", congestion: "畅行积分" };
export const className = (name) => CLASSES[name] ?? name;

export const STATES = {
  recorded: ["核算中", ""],
  refused: ["未计分", "warn"],
  awarded: ["已发放", "stated"],
  logged: ["已记日志", "stated"],
  confirmed: ["已上链", "good"],
  posted: ["已入账", "good"],
  refused_by_chain: ["处理中", "warn"],
  reversed: ["已冲正", "bad"],
};

/** The way an activity goes, in order. */
export const WAY = [
  ["recorded", "收到上报"],
  ["awarded", "核算并发放"],
  ["logged", "记入公开日志"],
  ["confirmed", "上链存证"],
  ["posted", "记入链上账户"],
];

export const REDEMPTIONS = {
  held: ["处理中", "stated"],
  unknown: ["查询中", "warn"],
  posted: ["兑换成功", "good"],
  voided: ["未成功", "bad"],
  refunded: ["已退回", ""],
};

export const KINDS = { coupon: "优惠券", transit: "乘车票", ecny: "数字人民币", tree: "种树" };


export const number = (value) => value.toLocaleString("zh-CN");

/** Milligrams as grams or kilograms, one decimal. */
export function weight(mg) {
  if (mg === null || mg === undefined) return "—";
  const tenths = Math.round(mg / 100);
  if (tenths < 10_000) return `${(tenths / 10).toLocaleString("zh-CN")} 克`;
  return `${(Math.round(mg / 100_000) / 10).toLocaleString("zh-CN")} 千克`;
}

export const fen = (amount) =>
  `¥${Math.trunc(amount / 100)}.${String(Math.abs(amount) % 100).padStart(2, "0")}`;

const DAY = new Intl.DateTimeFormat("zh-CN", { month: "long", day: "numeric", weekday: "short" });
const OTHER_YEAR = new Intl.DateTimeFormat("zh-CN", { dateStyle: "long" });

/** A city day `YYYY-MM-DD` as 今天, 昨天 or a date. */
export function dayName(day) {
  const today = new Date();
  const at = new Date(`${day}T00:00:00`);
  const apart = Math.round((new Date(today.toDateString()) - at) / 86_400_000);
  if (apart === 0 || apart === 1) return ["今天", "昨天"][apart];
  return (at.getFullYear() === today.getFullYear() ? DAY : OTHER_YEAR).format(at);
}

/** An instant to the minute, with its year where that is not this one. */
export function moment(instant) {
  const at = new Date(instant);
  const year = at.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  return at.toLocaleString("zh-CN", {
    ...year, month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit",
  });
}

export const clock = (text) => text.slice(11, 16);
