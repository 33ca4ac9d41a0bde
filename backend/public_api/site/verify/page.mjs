// The verify page: a receipt comes in by file, text or link; nothing is asked before a click.

import { base64, hex, utf8 } from "./check/bytes.mjs";
import { Breach } from "./check/breach.mjs";
import { looseJson } from "./check/json.mjs";
import { Node } from "./check/node.mjs";
import { acceptsUpdate, readTrust } from "./check/trust.mjs";
import { verify } from "./check/verify.mjs";
import { byId, facts, h } from "./dom.mjs";
import { result } from "./result.mjs";
import { fetchShared, linkIn } from "./shared.mjs";

const READ_BYTES_MAX = 1 << 22;
const OWN_PROXY = "/public/v1/chain/rpc";
const PINNED = "tanhui-trust";
const PROFILES = { demo: "演示环境", test: "测试环境", production: "正式环境" };

const state = { receipt: null, trust: new Uint8Array(), trustFrom: "carried", nodeUrl: null };

// ---- the trust file

const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";

function remembered() {
  try {
    return base64(localStorage.getItem(PINNED) ?? "");
  } catch {
    return null;
  }
}

function remember(text) {
  try {
    localStorage.setItem(PINNED, text);
  } catch {
    // A browser that keeps nothing meets the issuer for the first time, every time.
  }
}

/** How the carried file stands to the one this browser met before, in words; bad when unrelated. */
function acquaintance(carried) {
  const text = meta("tanhui-trust");
  if (carried.profile === "demo") return ["演示环境的信任文件，不作长期留存", ""];
  const known = remembered();
  if (known === null || known.length === 0) {
    remember(text);
    return ["这台设备第一次见到它，已记下", ""];
  }
  const pinned = readTrust(known);
  if (hex(pinned.digest) === hex(carried.digest)) return ["与这台设备上次见到的相同", "good"];
  try {
    acceptsUpdate(pinned, state.trust, atobText(meta("tanhui-trust-signature")));
  } catch (error) {
    if (!(error instanceof Breach)) throw error;
    return [`与这台设备上次见到的不同，且没有得到原根密钥的认可（${error.message}）。请另行求证！`, "bad"];
  }
  remember(text);
  return ["是上次那份的新版本，由原根密钥签名认可", "good"];
}

const atobText = (text) => new TextDecoder().decode(base64(text) ?? new Uint8Array());

function showTrust() {
  const place = byId("trust");
  try {
    const trust = readTrust(state.trust);
    const [words, look] = state.trustFrom === "own" ? ["你自己保存的文件", "good"] : acquaintance(trust);
    place.replaceChildren(facts([
      ["发行方", `${trust.issuer.name}（${trust.issuer.id}）`],
      ["环境", h("span", { class: `tag ${trust.profile === "production" ? "good" : "warn"}` },
        PROFILES[trust.profile])],
      ["信任文件", `第 ${trust.version} 版，指纹 ${hex(trust.digest).slice(0, 16)}`],
      ["来历", look ? h("span", { class: `tag ${look}` }, words) : words],
      ["区块链", `链号 ${trust.chain.chain_id}，${trust.chain.kind === "single-node"
        ? "单节点链（由一家机构运行）" : "多机构共同维护"}`],
    ]));
  } catch (error) {
    if (!(error instanceof Breach)) throw error;
    place.replaceChildren(h("p", {}, state.trust.length === 0
      ? "发行方还没有公布信任文件，请稍后再来，或用你自己保存的一份。"
      : `信任文件读不出来：${error.message}`));
  }
}

// ---- what comes in

function complain(words) {
  byId("problem").replaceChildren(...(words ? [h("p", { class: "problem" }, words)] : []));
}

/** The bytes of a chosen file, or null after saying why not: nothing larger is even read. */
async function read(file) {
  if (file.size <= READ_BYTES_MAX) return new Uint8Array(await file.arrayBuffer());
  complain(`这个文件有 ${Math.ceil(file.size / 1048576)} MB，回执最大 256 KB：没有读取它。`);
  return null;
}

function looksLikeTrust(bytes) {
  try {
    return looseJson(bytes)?.format === "tanhui-trust-v1";
  } catch {
    return false;
  }
}

async function take(bytes) {
  if (bytes === null) return;
  complain("");
  if (looksLikeTrust(bytes)) {
    complain("这是一份信任文件，不是回执。要以它为准，请用下方“换成我保存的信任文件”。");
    return;
  }
  Object.assign(state, { receipt: bytes, nodeUrl: null });
  await check();
}

async function takeText(text) {
  const link = linkIn(text);
  if (link === null) {
    await take(utf8(text.trim()));
    return;
  }
  if (URL.canParse(text) && new URL(text).origin !== location.origin) {
    complain(`这条分享链接属于 ${new URL(text).host}，请在那里打开；或让对方把回执文件发给你。`);
    return;
  }
  await takeLink(link);
}

async function takeLink(link) {
  complain("");
  try {
    state.receipt = await fetchShared(link);
  } catch (error) {
    if (!(error instanceof Breach)) throw error;
    complain(error.message);
    return;
  }
  state.nodeUrl = OWN_PROXY;
  await check();
}

// ---- checking and showing

async function check() {
  const place = byId("result");
  place.hidden = false;
  document.body.classList.add("has-result");
  place.setAttribute("aria-busy", "true");
  const started = performance.now();
  const node = state.nodeUrl === null ? null : new Node(state.nodeUrl);
  const answer = await verify(state.receipt, state.trust, node);
  const took = Math.round(performance.now() - started);
  place.replaceChildren(...result(answer, askBox(answer)), closing(took));
  place.dataset.took = String(took);
  place.removeAttribute("aria-busy");
  warnOfDemo(answer.papers);
  byId("headline").scrollIntoView({ block: "nearest" });
}

function warnOfDemo({ trust, note, receipt }) {
  const origin = note?.origin ?? "";
  const profile = origin.split("/")[1] ?? trust?.profile;
  const real = profile === "production";
  byId("demo").replaceChildren(...(receipt && !real ? [h("p", { class: "demo" },
    h("b", {}, `这是${PROFILES[profile] ?? "非正式环境"}的回执，不是真实的积分`),
    `检查点首行写着 ${origin || "（读不出）"}。演示数据只用来说明系统如何工作。`)] : []));
}

function askBox({ steps, papers }) {
  const anchor = steps.find(({ step }) => step === "anchor");
  if (!papers.receipt || steps[0].verdict !== "ok") return null;
  if (state.nodeUrl !== null) {
    const own = new URL(state.nodeUrl, location.href).origin === location.origin;
    return h("p", { class: "card wide", id: "answered" },
      "回答的节点：", h("code", {}, new URL(state.nodeUrl, location.href).href),
      own ? "（发行方提供）" : "（你指定的）",
      anchor.verdict === "ok" ? "。链号、部署区块和合约代码都与信任文件一致。" : "。",
      " ", h("button", { type: "button", class: "plain small no-print", onclick: () => ask(null) },
        "换一个节点"));
  }
  const url = h("input", { type: "url", id: "node-url", placeholder: "https://…",
    "aria-label": "你自己的节点地址" });
  return h("div", { class: "card wide no-print ask" },
    h("button", { type: "button", id: "ask", onclick: () => ask(OWN_PROXY) }, "到区块链上核对"),
    h("details", {}, h("summary", {}, "用我自己的节点"),
      h("p", { class: "muted small" }, "节点也不必相信：链号、部署区块和合约代码须与信任文件一致，否则不算。"),
      h("div", { class: "own-node" }, url,
        h("button", { type: "button", class: "plain", id: "ask-own", onclick: () => askOwn(url.value) },
          "询问"))));
}

async function ask(url) {
  state.nodeUrl = url;
  byId("ask")?.setAttribute("disabled", "");
  await check();
}

async function askOwn(text) {
  complain("");
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol)) {
    complain("请写完整的节点地址，以 https:// 或 http:// 开头。");
    return;
  }
  await ask(url.href);
}

const closing = (took) => h("p", { class: "muted small" },
  `本机用时 ${took} 毫秒 · ${new Date().toLocaleString("zh-CN")} `,
  h("button", { type: "button", class: "plain small no-print", onclick: () => window.print() }, "打印"));

// ---- start

function listen() {
  const drop = byId("drop");
  byId("file").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) await take(await read(file));
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
    });
  }
  document.addEventListener("drop", async ({ dataTransfer }) => {
    const [file] = dataTransfer.files;
    if (file) await take(await read(file));
  });
  byId("paste").addEventListener("click", () => takeText(byId("pasted").value));
  byId("trust-file").addEventListener("change", async ({ target }) => {
    const bytes = target.files[0] ? await read(target.files[0]) : null;
    target.value = "";
    if (bytes === null) return;
    Object.assign(state, { trust: bytes, trustFrom: "own" });
    showTrust();
    if (state.receipt !== null) await check();
  });
  byId("open-shared").addEventListener("click", async () => {
    await takeLink(linkIn(location.hash));
  });
  window.addEventListener("hashchange", showShared);
}

function showShared() {
  byId("shared").hidden = linkIn(location.hash) === null;
  if (location.hash.length > 1 && linkIn(location.hash) === null) {
    complain("链接不完整：# 之后应是分享编号和钥匙。");
  }
}

state.trust = base64(meta("tanhui-trust")) ?? new Uint8Array();
showTrust();
listen();
showShared();
document.documentElement.dataset.ready = "true";
