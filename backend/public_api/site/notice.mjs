// Filing an objection to a version on public notice.

import { byId, h } from "/verify/dom.mjs";

const form = byId("objection");

async function file() {
  const [text, contact] = [byId("words").value.trim(), byId("contact").value.trim()];
  const answer = await fetch(`/public/v1/notices/${form.dataset.notice}/objections`, {
    method: "POST", headers: { "content-type": "application/json" },
    body: JSON.stringify(contact ? { text, contact } : { text }),
  });
  const told = await answer.json();
  if (answer.status === 201) {
    form.reset();
    return h("p", { class: "tag good" }, `已收到，编号 ${told.objection_id}`);
  }
  return h("p", { class: "problem" }, told.detail ?? "没有提交成功，请稍后再试。");
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  const place = byId("told");
  try {
    place.replaceChildren(await file());
  } catch {
    place.replaceChildren(h("p", { class: "problem" }, "没有提交成功：网络不通。"));
  } finally {
    button.disabled = false;
  }
});
