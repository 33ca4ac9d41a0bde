// Appeals: asked from where a thing is shown, answered by a day.

import { h } from "/verify/dom.mjs";
import { get, nonce, write } from "../api.mjs";
import { act, card, empty, field, paged, query, row, rows, sheet, tag, toast } from "../ui.mjs";
import { moment } from "../words.mjs";

const OUTCOMES = { upheld: ["成立", "good"], rejected: ["不成立", "bad"] };
const LOOKS = { open: ["处理中", "stated"], withdrawn: ["已撤回", ""] };
const ABOUT = { activity: "一次行为", redemption: "一笔兑换", movement: "一笔积分变动", data: "我的数据" };
const STEPS = { opened: "提交", withdrawn: "撤回", decided: "答复" };

export const appealsScreen = {
  title: "申诉", tab: "me",
  draw: async () => [
    await paged(
      (cursor) => get(query("/appeals", { cursor, limit: 30 })),
      (items) => [rows(items.map((one) => row({
        to: `#/appeals/${one.appeal_id}`, symbol: "chat", title: `关于${ABOUT[one.about_kind] ?? "其他"}`,
        told: one.state === "open" ? `最迟 ${one.deadline} 答复` : moment(one.opened_at),
        end: tag(...(OUTCOMES[one.outcome] ?? LOOKS[one.state])),
      })))],
      empty("chat", "没有申诉。对任何一次行为的结果有疑问，都可以在那一页申诉。")),
    h("p", {}, h("a", { class: "button plain wide", href: "#/appeals/new" }, "更正我的数据")),
  ],
};

export const newAppealScreen = {
  title: "申诉", tab: "me",
  draw({ named }) {
    const activity = named.get("activity");
    const key = nonce();
    const words = h("textarea", { id: "words", rows: 6, maxlength: 1000,
      placeholder: "例如：我从 A 站坐到 B 站，距离应是 12 公里" });
    return [
      card(h("p", {}, activity ? "对这次行为的结果有疑问？" : "想更正我们保存的您的数据？"),
        field("请写明情况", words),
        act("提交", async () => {
          if (words.value.trim() === "") {
            toast("请写明情况");
            return;
          }
          const made = await write("POST", "/appeals", {
            kind: activity ? "appeal" : "correction", about_kind: activity ? "activity" : "data",
            about: activity, words: words.value.trim(),
          }, key);
          location.replace(`#/appeals/${made.appeal_id}`);
        }, { id: "file" })),
      h("p", { class: "muted small" }, "由工作人员复核，期限内必有书面答复；积分的更正会写进公开日志，原记录不改。"),
    ];
  },
};

export const appealScreen = {
  title: "申诉详情", tab: "me",
  async draw({ parts: [id], again }) {
    const one = await get(`/appeals/${id}`);
    return [
      h("div", { class: "hero" }, h("p", {}, tag(...(OUTCOMES[one.outcome] ?? LOOKS[one.state]))),
        h("p", { id: "appeal-state" }, one.state_text),
        one.state === "open" ? h("p", { class: "small" }, `最迟 ${one.deadline} 答复`) : null),
      one.words ? card(h("b", {}, "您的说明"), h("p", { class: "plain-card" }, one.words)) : null,
      one.reason ? card(h("b", {}, "答复"), h("p", { class: "plain-card" }, one.reason),
        one.remedy_text ? h("p", {}, one.remedy_text) : null) : null,
      h("h2", {}, "经过"),
      card(h("ol", { class: "way" }, one.steps.map(({ at, act: done, by, words }) =>
        h("li", { class: "done" }, `${STEPS[done] ?? done} · ${by === "citizen" ? "本人" : "工作人员"}`,
          h("div", { class: "small muted" }, moment(at)), words ? h("div", {}, words) : null)))),
      h("p", {}),
      one.about && one.about_kind === "activity"
        ? h("a", { class: "button plain wide", href: `#/activity/${one.about}` }, "看这次行为") : null,
      one.state === "open" ? act("撤回申诉", async () => {
        if (!(await sheet("撤回这件申诉？", "撤回之后可以再次提交。"))) return;
        await write("DELETE", `/appeals/${id}`);
        again();
      }, { plain: true, bad: true }) : null,
    ];
  },
};
