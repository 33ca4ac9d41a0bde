// Who may report what: one consent for each partner and scenario, each to a text.

import { h } from "/verify/dom.mjs";
import { get, nonce, publicly, write } from "../api.mjs";
import { SCENARIO_ICONS, act, card, copy, empty, row, rows, sheet, tag, toast } from "../ui.mjs";
import { moment, scenarioName } from "../words.mjs";

export const consentsScreen = {
  title: "授权", tab: "me",
  async draw({ again }) {
    const { items } = await get("/consents?limit=100");
    const standing = items.filter(({ withdrawn_at: gone }) => gone === null);
    const past = items.filter(({ withdrawn_at: gone }) => gone !== null);
    return [
      h("p", { class: "muted" }, "没有您的授权，任何平台都不能上报您的行为。随时可以撤回，已得的积分不变。"),
      standing.length === 0 ? empty("shield", "还没有授权")
        : rows(standing.map((one) => consentRow(one, again))),
      h("p", {}, h("a", { class: "button wide", href: "#/consents/new" }, "新增授权")),
      past.length === 0 ? null : [h("h2", {}, "已撤回"), rows(past.map((one) => consentRow(one, again)))],
    ];
  },
};

function consentRow(one, again) {
  const { partner_name: partner, partner_id: id, scenario, given_at: given, withdrawn_at: gone } = one;
  return row({
    symbol: SCENARIO_ICONS[scenario] ?? "shield", title: `${partner ?? id} · ${scenarioName(scenario)}`,
    told: gone === null ? `${moment(given)} 授权` : `${moment(gone)} 撤回`,
    end: gone === null ? tag("管理", "good") : tag("已撤回"),
    onclick: () => manage(one, again),
  });
}

async function manage(one, again) {
  const kept = await get(`/consents/${one.consent_id}/receipt`);
  const standing = one.withdrawn_at === null;
  const withdraw = await sheet("授权书", [
    h("p", { class: "muted small" }, `版本 ${kept.text_version}，${moment(kept.given_at)} 同意`),
    h("div", { class: "letter" }, kept.text),
  ], standing ? { agree: "撤回授权", bad: true, refuse: "关闭" } : { agree: "好的", refuse: "关闭" });
  if (!withdraw || !standing) return;
  await write("DELETE", `/consents/${one.consent_id}`);
  toast("已撤回，合作平台会收到通知");
  again();
}

export const newConsentScreen = {
  title: "新增授权", tab: "me",
  async draw() {
    const [{ items: partners }, { items: held }] = await Promise.all([
      publicly("/partners"), get("/consents?limit=100"),
    ]);
    const standing = new Set(held.filter(({ withdrawn_at: gone }) => gone === null)
      .map(({ partner_id: id, scenario }) => `${id} ${scenario}`));
    return partners.map(({ partner_id: id, name, scenarios }) => [
      h("h2", {}, name),
      rows(scenarios.map((scenario) => row({
        symbol: SCENARIO_ICONS[scenario] ?? "leaf", title: scenarioName(scenario),
        end: standing.has(`${id} ${scenario}`) ? tag("已授权", "good") : null,
        to: `#/consents/give?partner=${id}&scenario=${scenario}`,
      }))),
    ]);
  },
};

export const giveConsentScreen = {
  title: "授权书", tab: "me",
  async draw({ named }) {
    const [partner, scenario] = [named.get("partner"), named.get("scenario")];
    const text = await get(`/consents/text?partner_id=${encodeURIComponent(partner)}` +
      `&scenario=${encodeURIComponent(scenario)}`);
    const key = nonce();
    const read = h("input", { type: "checkbox", id: "agreed" });
    const place = h("div", { id: "given" });
    const give = act("同意并授权", async () => {
      if (!read.checked) {
        toast("请先阅读并勾选");
        return;
      }
      const given = await write("POST", "/consents", {
        partner_id: partner, scenario, text_version: text.text_version,
      }, key);
      place.replaceChildren(handOver(given));
      give.remove();
    }, { id: "give" });
    return [
      text.sensitive ? h("p", {}, tag("敏感个人信息，单独授权", "warn")) : null,
      card(h("div", { class: "letter" }, text.text)),
      h("label", { class: "check" }, read, h("span", {}, "我已阅读并同意这份授权书")),
      give, place,
    ];
  },
};

const handOver = ({ binding_code: code, binding_code_expires_at: until }) => card(
  h("p", {}, "授权成功。请在合作平台的 App 里输入绑定码，让它认得您："),
  h("p", { class: "code", id: "binding-code" }, code),
  act("复制绑定码", () => copy(code)),
  h("p", { class: "muted small" }, `只能用一次，${moment(until)} 前有效。合作平台拿到的是专用标识，不是您的账号。`),
  h("a", { class: "button plain wide", href: "#/consents" }, "完成"));
