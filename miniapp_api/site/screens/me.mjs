// One's own matters: large type, devices, data, and the end of it all.

import { h } from "/verify/dom.mjs";
import { bytesOf, get, keep, nonce, signOut, write } from "../api.mjs";
import { act, card, download, empty, icon, row, rows, sheet, tag, toast } from "../ui.mjs";
import { className, moment, number } from "../words.mjs";

export const meScreen = {
  title: "我的",
  async draw({ again, setType }) {
    const me = await get("/me");
    const large = document.documentElement.dataset.type === "large";
    return [
      card(h("div", { class: "reward" },
        h("span", { class: "picture" }, icon("person", 34)),
        h("div", { class: "what" }, h("b", {}, me.phone ?? "碳惠市民"),
          h("div", { class: "small muted" }, `${PROVIDERS[me.provider]} · ${moment(me.created_at)} 加入`)))),
      h("h2", {}, "显示与消息"),
      rows(
        toggle(large, () => {
          setType(!large);
          again();
        }),
        row({ to: "#/settings", symbol: "bell", title: "消息设置", told: "免打扰时段" })),
      h("h2", {}, "我的数据"),
      rows(
        row({ to: "#/consents", symbol: "shield", title: "授权", told: "谁可以上报我的什么行为" }),
        row({ to: "#/appeals", symbol: "chat", title: "申诉与更正", told: "有人工复核，到期必有答复" }),
        row({ to: "#/shares", symbol: "share", title: "我的分享", told: "查看或收回链接" }),
        row({ to: "#/accesses", symbol: "person", title: "谁看过我的数据" }),
        row({ to: "#/export", symbol: "down", title: "导出我的数据", told: "一份签名的文件" }),
        row({ to: "#/accounts", symbol: "key", title: "链上账户", told: "公开账本上只有它，没有名字" })),
      h("h2", {}, "账号"),
      rows(
        row({ to: "#/devices", symbol: "phone", title: "登录设备" }),
        row({ symbol: "back", title: "退出登录", onclick: async () => {
          await signOut();
          location.assign("#/sign-in");
        } }),
        row({ to: "#/erase", symbol: "trash", title: "注销账号", bad: true })),
      h("p", { class: "small muted" }, h("a", { href: "/verify" }, "核验页"), " · ",
        h("a", { href: "/rules" }, "规则"), " · ", h("a", { href: "/methods" }, "方法"), " · ",
        h("a", { href: "/notices" }, "公示")),
    ];
  },
};

const PROVIDERS = { sandbox: "演示登录", wechat: "微信登录", alipay: "支付宝登录" };

function toggle(large, flip) {
  const line = row({ symbol: "type", title: "大字模式", told: "字更大，按钮更大",
    end: h("span", { class: "switch" }), onclick: flip });
  line.setAttribute("aria-pressed", String(large));
  line.id = "large-type";
  return line;
}

export const accountsScreen = {
  title: "链上账户", tab: "me",
  async draw() {
    const { accounts } = await get("/me");
    return [
      h("p", { class: "muted" }, "账户由只属于您的随机数算出。公开账本上看不出它是谁的；注销时随机数被删除，从此再也对不上。"),
      accounts.length === 0 ? empty("key", "得到第一分时生成") : accounts.map((one) => card(
        h("b", {}, className(one.class)), h("p", {}, h("code", {}, `0x${one.account}`)))),
    ];
  },
};

export const devicesScreen = {
  title: "登录设备", tab: "me",
  async draw({ again }) {
    const { items } = await get("/devices");
    return [
      rows(items.map(({ device_id: id, device, last_seen_at: seen, current }) => row({
        symbol: "phone", title: device ?? "未命名的设备", told: `最近使用 ${moment(seen)}`,
        end: current ? tag("这台", "good") : tag("退出", "bad"),
        onclick: async () => {
          if (current || !(await sheet("让这台设备退出？", device ?? "", { bad: true }))) return;
          await write("DELETE", `/devices/${id}`);
          toast("已退出");
          again();
        },
      }))),
      h("p", {}),
      act("全部退出（含这台）", async () => {
        await write("DELETE", "/devices");
        await keep(null);
        location.assign("#/sign-in");
      }, { plain: true, bad: true }),
    ];
  },
};

export const exportScreen = {
  title: "导出我的数据", tab: "me",
  draw: () => [
    card(h("p", {}, "一份文件，包含我们保存的关于您的一切：授权、行为、积分、兑换、停车、消息、申诉和查看记录。"),
      h("p", { class: "muted small" }, "文件由平台签名，可以证明它来自这里、没有被改动。请妥善保管。"),
      act("生成并下载", async () => {
        download(await bytesOf("/export"), "tanhui-my-data.json");
        toast("已下载");
      }, { id: "export" })),
  ],
};

export const eraseScreen = {
  title: "注销账号", tab: "me",
  draw() {
    const key = nonce();
    const sure = h("input", { type: "checkbox", id: "sure" });
    return [
      card(h("p", {}, h("b", {}, "注销之后")), h("ul", {}, [
        "剩余积分作废，并在区块链上公开注销",
        "全部授权撤回，所有设备退出",
        "您的身份、密钥和上报内容被删除，公开日志只留无法还原的摘要",
        "您已下载的回执仍可核验",
      ].map((words) => h("li", {}, words)))),
      h("label", { class: "check" }, sure, h("span", {}, "我知道这不能撤销")),
      act("注销账号", async () => {
        if (!sure.checked) {
          toast("请先勾选");
          return;
        }
        if (!(await sheet("确定注销？", "这是最后一步。", { bad: true, agree: "注销" }))) return;
        const gone = await write("DELETE", "/me", undefined, key);
        await keep(null);
        sessionStorage.setItem("tanhui-erased", JSON.stringify(gone));
        location.assign("#/erased");
      }, { bad: true, id: "erase" }),
    ];
  },
};

export const erasedScreen = {
  title: "已注销", bare: true, open: true,
  draw() {
    const gone = JSON.parse(sessionStorage.getItem("tanhui-erased") ?? "null");
    if (gone === null) return [empty("trash", "没有可显示的内容")];
    return [
      h("div", { class: "hero" }, icon("leaf", 56), h("div", { class: "sum" }, "账号已注销")),
      card(h("p", { id: "erased" }, gone.text),
        gone.retired.map((one) => h("p", {}, `已作废 ${number(one.points)} ${className(one.class)}`)),
        h("p", { class: "muted" }, `${gone.backups_end} 之后，备份里也不再有您的数据。`)),
      h("p", {}, h("a", { class: "button wide", href: "#/sign-in" }, "完成")),
    ];
  },
};
