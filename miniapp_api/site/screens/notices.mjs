// What one was told, when not to be disturbed, and who looked at one's data.

import { h } from "/verify/dom.mjs";
import { get, write } from "../api.mjs";
import { act, card, empty, field, paged, query, row, rows, toast } from "../ui.mjs";
import { moment } from "../words.mjs";

/** Where a notice leads, by the first word of its topic. */
const LEADS = { redemption: "redemption", appeal: "appeals", case: "appeals" };

export const noticesScreen = {
  title: "消息", tab: "",
  draw: async () => [
    await paged(
      async (cursor) => {
        const page = await get(query("/notices", { cursor, limit: 30 }));
        const [newest] = page.items;
        if (cursor === null && newest && page.unread > 0) {
          await write("POST", "/notices/read", { up_to: newest.notice_id });
        }
        return page;
      },
      (items) => [rows(items.map(notice))],
      empty("bell", "没有消息")),
    h("p", {}, h("a", { class: "button plain wide", href: "#/settings" }, "消息设置")),
  ],
};

function notice({ topic, title, text, about, created_at: at, read_at: read }) {
  const screen = LEADS[topic.split(".")[0]];
  return row({
    to: about && screen ? `#/${screen}/${about}` : null, symbol: "bell", title, told: text,
    end: [h("small", {}, moment(at)), read === null ? h("span", { class: "dot", "aria-label": "未读" }) : null],
  });
}

export const settingsScreen = {
  title: "消息设置", tab: "me",
  async draw() {
    const known = await get("/settings");
    const from = h("input", { type: "time", value: known.quiet_from, id: "quiet-from" });
    const to = h("input", { type: "time", value: known.quiet_to, id: "quiet-to" });
    const push = h("input", { type: "checkbox", checked: known.push, id: "push" });
    return [
      card(h("label", { class: "check" }, push, h("span", {}, "允许推送（应用内消息不受影响）")),
        field("免打扰开始", from), field("免打扰结束", to),
        h("p", { class: "muted small" }, "起止相同表示不设免打扰。"),
        act("保存", async () => {
          await write("PUT", "/settings", {
            ...known, quiet_from: from.value, quiet_to: to.value, push: push.checked,
          });
          toast("已保存");
        }, { id: "save" })),
    ];
  },
};

export const accessesScreen = {
  title: "谁看过我的数据", tab: "me",
  draw: async () => [
    h("p", { class: "muted" }, "工作人员每次查看您的数据都有记录，写明岗位和理由。"),
    await paged(
      (cursor) => get(query("/accesses", { cursor, limit: 30 })),
      (items) => [rows(items.map(({ who, what, why, at }) =>
        row({ symbol: "person", title: `${who} · ${what}`, told: why, end: h("small", {}, moment(at)) })))],
      empty("shield", "没有人看过")),
  ],
};
