// The few pieces every screen is made of.

import { byId, h, s } from "/verify/dom.mjs";
import { modules } from "./qr.mjs";

const PATHS = {
  home: "M4 11.5 12 5l8 6.5V20h-5.5v-5h-5v5H4z",
  list: "M8 7h12M8 12h12M8 17h12M4 7h.01M4 12h.01M4 17h.01",
  gift: "M4 11h16v9H4zM3 7.5h18V11H3zM12 7.5V20M12 7.5c-5 0-5-4.5-2.5-4.5 2 0 2.5 2.5 2.5 4.5 0-2 .5-4.5 2.5-4.5 2.5 0 2.5 4.5-2.5 4.5",
  parking: "M5 4h14v16H5zM10 17V8h3a2.7 2.7 0 0 1 0 5.4h-3",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20a7.5 7.5 0 0 1 15 0",
  back: "M15 5l-7 7 7 7",
  next: "M9 6l6 6-6 6",
  metro: "M7 4h10a2 2 0 0 1 2 2v9a3 3 0 0 1-3 3H8a3 3 0 0 1-3-3V6a2 2 0 0 1 2-2zM5 11h14M8.5 14.5h.01M15.5 14.5h.01M8 18l-2 3M16 18l2 3",
  bike: "M6 19a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM18 19a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM6 15.5 9.5 9h6l2.5 6.5M9.5 9 12.5 15.5 15.5 9M9 6.5h2",
  bolt: "M13 3 5.5 13.5H11L10 21l8.5-11H13z",
  leaf: "M5 19c0-9 6-14 15-14 0 10-5 14-11 14-1.5 0-3-.5-4-1.5 2.5-5 6-8 10-10",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 20.5h4",
  shield: "M12 3l7.5 3v5.5c0 4.5-3 7.5-7.5 9.5-4.5-2-7.5-5-7.5-9.5V6zM8.5 12l2.5 2.5 4.5-5",
  share: "M12 4v11M8 7.5 12 4l4 3.5M5 13v6.5h14V13",
  key: "M14.5 9.5a4 4 0 1 0-3.800 4l1.300 1.300h2v2h2v2h3v-3l-4.800-4.800c.2-.5.3-1 .3-1.5zM8.5 9h.01",
  clock: "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM12 7.5V12l3 2",
  chat: "M4 5h16v11H10l-4 3.5V16H4z",
  down: "M12 4v11M7.5 11 12 15.5 16.5 11M5 20h14",
  type: "M4 18 9 6l5 12M5.5 14.5h7M15.5 18l2.700-6.5L21 18M16.5 16h3.400",
  chart: "M5 19V11M10 19V6M15 19v-6M20 19V9",
  phone: "M8 3h8a1 1 0 0 1 1 1v16a1 1 0 0 1-1 1H8a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1zM11 18h2",
  trash: "M5 7h14M10 4h4M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5",
};

/** A line icon, decoration only. */
export const icon = (name, size = 24) => s("svg", { viewBox: "0 0 24 24", width: size, height: size,
  "aria-hidden": "true", class: "icon" },
  s("path", { d: PATHS[name], fill: "none", stroke: "currentColor", "stroke-width": 1.8,
    "stroke-linecap": "round", "stroke-linejoin": "round" }));

export const SCENARIO_ICONS = {
  "transit.metro.trip": "metro",
  "transit.bus.trip": "metro",
  "bike.shared.ride": "bike",
  "bike.electric.ride": "bike",
  "energy.home.month": "bolt",
  "ev.charge.session": "bolt",
  "parking.shared.stay": "parking",
};

export const card = (...children) => h("section", { class: "card" }, children);

export const tag = (words, look = "") => h("span", { class: `tag ${look}` }, words);

/** A line that leads somewhere. */
export const row = ({ to, symbol, title, told, end, onclick, bad }) => h(to ? "a" : "button", {
  class: `row${bad ? " bad" : ""}`, href: to, type: to ? null : "button", onclick: onclick ?? (() => {}),
},
symbol ? h("span", { class: "symbol" }, icon(symbol, 22)) : null,
h("span", { class: "what" }, h("b", {}, title), told ? h("small", {}, told) : null),
end ? h("span", { class: "end" }, end) : icon("next", 18));

export const rows = (...children) => h("div", { class: "card rows" }, children);

export const empty = (symbol, words, ...more) =>
  h("div", { class: "empty" }, icon(symbol, 44), h("p", {}, words), more);

/** A button that waits for its action and tells what went wrong. */
export function act(words, action, { plain = false, wide = true, bad = false, id = null } = {}) {
  const button = h("button", {
    type: "button", id, class: `${plain ? "plain" : ""}${wide ? " wide" : ""}${bad ? " bad" : ""}`,
  }, words);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await action();
    } catch (error) {
      complain(error);
    } finally {
      button.disabled = false;
    }
  });
  return button;
}

let toastTimer = null;

export function toast(words) {
  const place = byId("toast");
  place.textContent = words;
  place.className = "shown";
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    place.className = "";
  }, 3_500);
}

/** Tell of a refusal in a person's words; what nobody foresaw is for the console as well. */
export function complain(error) {
  if (error.name === undefined || error.status === undefined) console.warn(error);
  toast(error.status === undefined ? "页面出错了，请刷新重试。" : error.message);
}

/** Ask before something that cannot be undone; resolves to whether the person agreed. */
export function sheet(title, content, { agree = "确定", bad = false, refuse = "取消" } = {}) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "sheet", "aria-label": title });
    const close = (answer) => {
      dialog.close();
      dialog.remove();
      resolve(answer);
    };
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      close(false);
    });
    dialog.append(h("h2", {}, title), h("div", {}, content), h("div", { class: "choices" },
      h("button", { type: "button", class: "plain", onclick: () => close(false) }, refuse),
      h("button", { type: "button", class: bad ? "bad" : "", id: "agree", onclick: () => close(true) },
        agree)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A text as a QR code, or null when it is too long for one. */
export function qrCode(text, words) {
  const grid = modules(text);
  if (grid === null) return null;
  const path = grid.flatMap((line, y) => line.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : "")));
  return s("svg", { class: "qr", viewBox: `0 0 ${grid.length} ${grid.length}`, role: "img",
    "aria-label": words, "shape-rendering": "crispEdges" },
  s("path", { d: path.join(""), fill: "#000" }));
}

export const field = (words, input) => h("label", { class: "field" }, h("span", {}, words), input);

/** Offer bytes as a file. */
export function download(bytes, name, type = "application/json") {
  const link = h("a", { href: URL.createObjectURL(new Blob([bytes], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("已复制");
  } catch {
    toast("没有复制成功，请长按选择文字");
  }
}

/** Pages of a list, a next one at a tap. */
export async function paged(load, draw, none) {
  const place = h("div", { class: "pages" });
  const more = h("div", {});
  async function next(cursor) {
    const { items, next_cursor: after } = await load(cursor);
    if (cursor === null && items.length === 0) place.append(none);
    if (items.length > 0) place.append(...draw(items));
    more.replaceChildren(...(after ? [act("更早的", () => next(after), { plain: true })] : []));
  }
  await next(null);
  return [place, more];
}

export const query = (path, named) => {
  const given = Object.entries(named).filter(([, value]) => value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return text ? `${path}?${text}` : path;
};
