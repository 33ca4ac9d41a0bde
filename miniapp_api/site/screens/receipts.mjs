// A receipt checked on this phone, and shared without time, place and account.

import { Node } from "/verify/check/node.mjs";
import { verify } from "/verify/check/verify.mjs";
import { h } from "/verify/dom.mjs";
import { result } from "/verify/result.mjs";
import { bytesOf, get, trustFile, write } from "../api.mjs";
import {
  act, card, copy, download, empty, qrCode, row, rows, sheet, tag, toast,
} from "../ui.mjs";
import { moment } from "../words.mjs";

const RPC = "/public/v1/chain/rpc";

async function checked(receipt) {
  const started = performance.now();
  const answer = await verify(receipt, await trustFile(), new Node(RPC));
  const took = Math.round(performance.now() - started);
  return [
    result(answer, null),
    h("p", { class: "muted small" }, `在这台手机上完成，用时 ${took} 毫秒。想换一个程序复核，`,
      h("a", { href: "/verify" }, "打开独立的核验页"), "。"),
  ];
}

export const receiptScreen = {
  title: "核验回执", tab: "activities",
  async draw({ parts: [id] }) {
    const receipt = await bytesOf(`/activities/${id}/receipt`);
    return [
      await checked(receipt),
      act("下载完整回执", () => download(receipt, `receipt-${id.slice(0, 8)}.json`), { id: "download" }),
      h("a", { class: "button plain wide", href: `#/share/${id}` }, "分享这张回执"),
      h("p", { class: "muted small" }, "完整回执写有时间与账户，请自己留存；发给别人请用分享。"),
    ];
  },
};

export const redemptionReceiptScreen = {
  title: "兑换回执", tab: "rewards",
  async draw({ parts: [id] }) {
    const receipt = await bytesOf(`/redemptions/${id}/receipt`);
    return [
      await checked(receipt),
      act("下载回执", () => download(receipt, `redemption-${id.slice(0, 8)}.json`)),
    ];
  },
};

export const shareScreen = {
  title: "分享回执", tab: "activities",
  draw({ parts: [id] }) {
    const days = h("select", { id: "days" }, [[7, "7 天"], [30, "30 天"], [365, "一年"]].map(
      ([value, words]) => h("option", { value, selected: value === 30 }, words)));
    const place = h("div", { id: "shared-link" });
    return [
      card(h("p", {}, "对方能看到：做了什么、减排多少、得了多少分，并能自己核验。"),
        h("p", {}, "对方看不到：时间、地点、合作平台和您的账户。"),
        h("label", { class: "field" }, h("span", {}, "链接有效期"), days),
        act("生成链接", async () => {
          const made = await write("POST", `/activities/${id}/share`, { days: Number(days.value) });
          place.replaceChildren(link(made));
        }, { id: "make-link" })),
      place,
      h("p", {}, h("a", { href: "#/shares" }, "我分享过的链接")),
    ];
  },
};

function link({ link: address, expires_at: until }) {
  return card(
    qrCode(address, "分享链接的二维码"),
    h("p", { class: "small" }, h("code", { id: "link" }, address)),
    act("复制链接", () => copy(address)),
    h("p", { class: "muted small" }, `有效到 ${moment(until)}。钥匙只在链接里，我们没有留存：现在不保存，以后就要重新生成。`),
    h("a", { class: "button plain wide", href: address, target: "_blank", rel: "noopener" }, "像对方那样打开"));
}

export const sharesScreen = {
  title: "我的分享", tab: "me",
  async draw({ again }) {
    const { items } = await get("/shares");
    if (items.length === 0) return [empty("share", "没有分享过回执")];
    return [rows(items.map((one) => shareRow(one, again)))];
  },
};

function shareRow({ share_id: id, created_at: made, expires_at: until, revoked_at: revoked }, again) {
  const over = revoked !== null || new Date(until) < new Date();
  return row({
    symbol: "share", title: `${moment(made)} 分享`,
    told: revoked ? `${moment(revoked)} 收回` : `${over ? "已于" : "有效到"} ${moment(until)}${over ? " 过期" : ""}`,
    end: over ? tag("已失效") : tag("收回", "bad"),
    onclick: async () => {
      if (over || !(await sheet("收回这个链接？", "收回之后，任何人都打不开它。", { bad: true }))) return;
      await write("DELETE", `/shares/${id}`);
      toast("已收回");
      again();
    },
  });
}

