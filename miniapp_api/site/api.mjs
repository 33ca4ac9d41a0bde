// The citizens' API from a phone: tokens that rotate, problems as sentences, writes that count once.

import { read, replace } from "./store.mjs";

const LOCK = "tanhui-login";
const TIMEOUT_MS = 20_000;

/** What the server refused, or that it could not be reached: `name` as in api.md, `message` to show. */
export class Refused extends Error {
  constructor(status, name, message, problem = {}) {
    super(message);
    Object.assign(this, { status, name, problem });
  }
}

// ---- tokens

/** The pair of tokens of this device, null when nobody is signed in. */
export const tokens = read;

export const keep = replace;

let refreshing = null;

/**
 * Exchange the refresh token once, whoever asks: a token used twice ends the whole sign-in, so tabs
 * take turns and look first whether another one was quicker.
 */
function refresh(used) {
  const turn = async () => {
    const held = await tokens();
    if (held === null || held.access_token !== used) return;
    const answer = await send("POST", "/miniapp/v1/token/refresh", {
      body: { refresh_token: held.refresh_token },
    });
    await keep(answer.ok ? await answer.json() : null);
  };
  const locked = () => navigator.locks ? navigator.locks.request(LOCK, turn) : turn();
  refreshing ??= locked().finally(() => {
    refreshing = null;
  });
  return refreshing;
}

// ---- requests

async function send(method, path, { body, key, token } = {}) {
  const headers = { "accept-language": "zh-CN" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (token) headers.authorization = `Bearer ${token}`;
  if (key) headers["idempotency-key"] = key;
  try {
    return await fetch(path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS), credentials: "omit",
    });
  } catch {
    throw new Refused(0, "offline", "网络不通，请检查后重试。");
  }
}

async function answered(method, path, options = {}) {
  const used = (await tokens())?.access_token;
  let answer = await send(method, path, { ...options, token: used });
  if (answer.status === 401 && used) {
    await refresh(used);
    const fresh = (await tokens())?.access_token;
    if (fresh) answer = await send(method, path, { ...options, token: fresh });
    else throw new Refused(401, "not-signed-in", "登录已失效，请重新登录。");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const name = String(problem.type ?? "").split("/").at(-1);
  const wait = answer.headers.get("retry-after");
  const later = answer.status === 429 && wait ? `（请 ${wait} 秒后再试）` : "";
  throw new Refused(answer.status, name, (problem.detail ?? "没有成功，请稍后再试。") + later, problem);
}

async function json(method, path, options) {
  const answer = await answered(method, `/miniapp/v1${path}`, options);
  return answer.status === 204 ? null : answer.json();
}

/** Digits nobody guesses; works without a secure context too. */
export const nonce = () => Array.from(crypto.getRandomValues(new Uint8Array(16)),
  (byte) => byte.toString(16).padStart(2, "0")).join("");

export const get = (path) => json("GET", path);

/** A write; the same `key` for the same wish makes a double tap one. */
export const write = (method, path, body, key = nonce()) => json(method, path, { body, key });

export const bytesOf = async (path) =>
  new Uint8Array(await (await answered("GET", `/miniapp/v1${path}`)).arrayBuffer());

/** Something of the public door: no sign-in, given as parsed JSON. */
export const publicly = async (path) =>
  (await answered("GET", `/public/v1${path}`)).json();

let programmes = null;

/** What people call each programme, by id. */
export async function programmeNames() {
  programmes ??= (await publicly("/budgets")).items;
  return new Map(programmes.map(({ programme_id: id, name }) => [id, name]));
}

let known = null;

/** demo, test or production; null while the server cannot tell. */
export async function profile() {
  try {
    known ??= (await (await send("GET", "/ready")).json()).profile;
  } catch {
    return null;
  }
  return known;
}

export async function trustFile() {
  const answer = await answered("GET", "/public/v1/trust");
  return new Uint8Array(await answer.arrayBuffer());
}

export async function signIn(name) {
  const code = `${name}-${nonce().slice(0, 12)}`;
  await keep(null);
  await keep(await json("POST", "/login", { body: { provider: "sandbox", code, device: "手机网页" } }));
}

export async function signOut() {
  try {
    await json("POST", "/logout");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
  await keep(null);
}
