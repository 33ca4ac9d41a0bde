// The citizens' client: which screen is shown, the bar above it, the tabs below.

import { byId, h } from "/verify/dom.mjs";
import { Refused, get, keep, profile, tokens } from "./api.mjs";
import { SCREENS } from "./screens.mjs";
import { complain, icon } from "./ui.mjs";

const TABS = [
  ["", "home", "首页"],
  ["activities", "list", "行为"],
  ["rewards", "gift", "兑换"],
  ["parking", "parking", "停车"],
  ["me", "person", "我的"],
];
const TYPE = "tanhui-type";

/** The screen of an address such as `activity/1234?share=1`, with its parts and named values. */
function screenAt(hash) {
  const [path, named = ""] = hash.replace(/^#\/?/, "").split("?");
  const [name, ...parts] = path.split("/").map(decodeURIComponent);
  return { name, parts, named: new URLSearchParams(named), screen: SCREENS[name] ?? null };
}

export function setType(large) {
  document.documentElement.dataset.type = large ? "large" : "usual";
  localStorage.setItem(TYPE, large ? "large" : "usual");
}

let shown = 0;

async function show() {
  const mine = ++shown;
  const { hash } = location;
  const at = screenAt(hash);
  if (!at.screen?.open && (await tokens()) === null) {
    location.replace("#/sign-in");
    return;
  }
  if (mine !== shown) return;
  const { screen } = at;
  drawBar(screen, at);
  const place = byId("screen");
  delete place.dataset.at;
  place.replaceChildren(...skeleton());
  let drawn;
  try {
    if (screen === null) throw new Refused(404, "not-found", "没有这个页面。");
    drawn = await screen.draw({ ...at, again: show, setType });
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      await keep(null);
      location.replace("#/sign-in");
      return;
    }
    drawn = [failure(error)];
  }
  if (mine !== shown) return;
  place.replaceChildren(...drawn.flat(Infinity).filter((one) => one !== null));
  place.dataset.at = hash;
  place.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

const skeleton = () => [1, 2, 3].map(() => h("div", { class: "skeleton" }));

function failure(error) {
  if (error.status === undefined) console.error(error);
  const words = error.status === undefined ? "页面出错了，请重试。" : error.message;
  return h("div", { class: "empty", role: "alert" }, icon("chat", 44), h("p", {}, words),
    h("p", {}, h("button", { type: "button", onclick: show }, "重试")));
}

function drawBar(screen, { name }) {
  document.title = `${screen?.title ?? "碳惠"} · 碳惠`;
  const tab = TABS.some(([path]) => path === name);
  const back = h("button", { type: "button", "aria-label": "返回",
    onclick: () => (history.length > 1 ? history.back() : location.assign("#/")) }, icon("back"));
  byId("bar").replaceChildren(...(screen?.bare ? [] : [
    tab ? null : back,
    h("h1", {}, screen?.title ?? "碳惠"),
    tab ? h("a", { href: "#/notices", "aria-label": "消息", id: "bell" }, icon("bell")) : null,
  ].filter((one) => one !== null)));
  byId("tabs").replaceChildren(...(screen?.bare ? [] : TABS.map(([path, symbol, words]) =>
    h("a", { href: `#/${path}`, "aria-current": path === (screen?.tab ?? name) ? "page" : null },
      icon(symbol), words))));
  if (tab) countNotices();
}

async function countNotices() {
  try {
    const { unread } = await get("/notices?limit=1");
    if (unread > 0) byId("bell")?.append(h("span", { class: "count" }, String(unread)));
  } catch (error) {
    if (!(error instanceof Refused)) complain(error);
  }
}

async function tellProfile() {
  const words = { demo: "演示环境 · 数据是虚构的，积分不是真的", test: "测试环境 · 积分不是真的" };
  const place = byId("profile");
  place.textContent = words[await profile()] ?? "";
  place.hidden = place.textContent === "";
}

document.documentElement.dataset.type = localStorage.getItem(TYPE) ?? "usual";
window.addEventListener("hashchange", show);
show();
tellProfile();
