// Signing in.

import { h } from "/verify/dom.mjs";
import { signIn, write } from "../api.mjs";
import { act, field } from "../ui.mjs";

export const signInScreen = {
  title: "登录", bare: true, open: true,
  draw() {
    const name = h("input", { id: "name", maxlength: 40, autocomplete: "username", value: "",
      placeholder: "例如 demo-01", autocapitalize: "off" });
    const old = h("input", { type: "checkbox", id: "of-age" });
    const go = act("登录", async () => {
      const who = name.value.trim();
      if (who === "") {
        name.focus();
        return;
      }
      await signIn(who);
      if (old.checked) await write("PUT", "/me/age", { under_14: false });
      location.assign("#/");
    }, { id: "sign-in" });
    const form = h("form", { class: "sign-in", onsubmit: (event) => {
      event.preventDefault();
      go.click();
    } },
    h("img", { class: "mark", src: "/mark.svg", alt: "" }),
    h("h1", {}, "碳惠"),
    h("p", { class: "lead" }, "低碳出行与节电，每一分都能自己核验"),
    field("演示名字（体验登录，不需要手机号）", name),
    h("label", { class: "check" }, old, h("span", {}, "我已满 14 周岁。未满 14 周岁须由监护人操作。")),
    go,
    h("p", { class: "muted small" }, "正式环境由微信或支付宝登录。登录之后，未经您逐项授权，任何平台都不能上报您的行为。"),
    h("p", { class: "small" }, h("a", { href: "/verify" }, "只想核验一张回执？不用登录")));
    return [form];
  },
};
