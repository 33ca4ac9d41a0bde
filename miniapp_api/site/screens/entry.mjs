// Signing in.

import { h } from "/verify/dom.mjs";
import { get, profile, signIn, write } from "../api.mjs";
import { act, field, sheet } from "../ui.mjs";

export const signInScreen = {
  title: "登录", bare: true, open: true,
  async draw() {
    if ((await profile()) === "production") return [welcome(h("p", { class: "card" },
      "请从微信或支付宝里的“碳惠”小程序进入；网页登录只用于演示。"), toVerify())];
    const name = h("input", { id: "name", maxlength: 40, autocomplete: "username", value: "",
      placeholder: "例如 demo-01", autocapitalize: "off" });
    const go = act("登录", async () => {
      const who = name.value.trim();
      if (who === "") {
        name.focus();
        return;
      }
      await signIn(who);
      await askAge();
      location.assign("#/");
    }, { id: "sign-in" });
    const form = h("form", { class: "sign-in", onsubmit: (event) => {
      event.preventDefault();
      go.click();
    } },
    welcome(),
    field("演示名字（体验登录，不需要手机号）", name),
    go,
    h("p", { class: "muted small" }, "正式环境由微信或支付宝登录。登录之后，未经您逐项授权，任何平台都不能上报您的行为。"),
    toVerify());
    return [form];
  },
};

/** Once for each person: who is under 14 may look, and needs a guardian to consent. */
async function askAge() {
  if ((await get("/me")).under_14 !== null) return;
  const grown = await sheet("请确认年龄", h("p", {}, "未满 14 周岁可以查看，授权须由监护人办理。"),
    { agree: "已满 14 周岁", refuse: "未满 14 周岁" });
  await write("PUT", "/me/age", { under_14: !grown });
}

const welcome = (...more) => h("div", {},
  h("img", { class: "mark", src: "/mark.svg", alt: "" }),
  h("h1", {}, "碳惠"),
  h("p", { class: "lead" }, "低碳出行与节电，每一分都能自己核验"),
  more);

const toVerify = () => h("p", { class: "small centre" },
  h("a", { href: "/verify" }, "只想核验一张回执？不用登录"));
