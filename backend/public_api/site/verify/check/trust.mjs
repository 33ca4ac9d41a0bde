// trust.json, what is pinned before anything is believed: formats.md §12.

import { same } from "./bytes.mjs";
import { must } from "./breach.mjs";
import { readCanonical } from "./json.mjs";
import { KEY_NAME, keyId, readSignatureLine } from "./note.mjs";
import {
  ADDRESS, HEX32, ID, INTEGER_MAX, bytesOf, day, hash, integer, isObject, list, members, text,
} from "./shape.mjs";
import { sm2Holds } from "./sm2.mjs";
import { sm3 } from "./sm3.mjs";

const BYTES_MAX = 1 << 20;
const MEMBERS = "format version prev_digest issuer profile city_tz log root_keys " +
  "checkpoint_keys chain partner_keys";
const PROFILES = ["demo", "test", "production"];
const CONTRACT_NAME = /^[A-Za-z_$][A-Za-z0-9_$]{0,63}$/;
const ZONE = /^[A-Za-z0-9_+/-]{1,64}$/;

/** A trust file read strictly: its own members, public keys as bytes, and its bytes' `digest`. */
export function readTrust(bytes) {
  must(bytes.length <= BYTES_MAX, "信任文件过大");
  const top = members(readCanonical(bytes), MEMBERS, "信任文件");
  must(top.format === "tanhui-trust-v1", "不是 tanhui-trust-v1 信任文件");
  integer(top.version, 1, INTEGER_MAX, "版本");
  if (top.prev_digest !== null) text(top.prev_digest, HEX32, "prev_digest");
  must((top.version === 1) === (top.prev_digest === null), "只有第 1 版没有 prev_digest");
  members(top.issuer, "id name", "issuer");
  text(top.issuer.id, ID, "issuer.id");
  text(top.issuer.name, null, "issuer.name");
  must(PROFILES.includes(top.profile), "环境不是 demo、test、production 之一");
  const chain = readChain(top.chain);
  const origin = `tanhui/${top.profile}/${top.issuer.id}/${chain.chain_id}`;
  members(top.log, "origin hash", "log");
  must(top.log.origin === origin && top.log.hash === "sm3", "日志的首行或哈希不合规定");
  checkZone(top.city_tz);
  return {
    ...top,
    chain,
    root_keys: readRootKeys(top.root_keys),
    checkpoint_keys: readCheckpointKeys(top.checkpoint_keys),
    partner_keys: list(top.partner_keys, "partner_keys").map(readPartnerKey),
    digest: sm3(bytes),
  };
}

function checkZone(zone) {
  text(zone, ZONE, "city_tz");
  let known = true;
  try {
    new Intl.DateTimeFormat("en-CA", { timeZone: zone });
  } catch {
    known = false;
  }
  must(known, `不认识时区 ${zone}`);
}

function publicKey(value, where) {
  const key = bytesOf(value, where);
  must(key.length === 65 && key[0] === 4, `${where}不是 65 字节的公钥`);
  return key;
}

function readRootKeys(value) {
  const keys = list(value, "root_keys").map((item) => {
    members(item, "name public_key", "根密钥");
    return {
      name: text(item.name, KEY_NAME, "根密钥的名字"),
      public_key: publicKey(item.public_key, "根密钥"),
    };
  });
  const distinct = new Set(value.map(({ name, public_key: key }) => `${name} ${key}`));
  must(keys.length > 0 && distinct.size === keys.length, "root_keys 为空或有重复");
  return keys;
}

function readCheckpointKeys(value) {
  const keys = list(value, "checkpoint_keys").map((item) => {
    members(item, "name role public_key from_size to_size", "检查点密钥");
    must(["issuer", "witness"].includes(item.role), "检查点密钥的角色不对");
    integer(item.from_size, 0, INTEGER_MAX, "from_size");
    if (item.to_size !== null) integer(item.to_size, item.from_size + 1, INTEGER_MAX, "to_size");
    text(item.name, KEY_NAME, "检查点密钥的名字");
    return { ...item, public_key: publicKey(item.public_key, "检查点密钥") };
  });
  const issuers = keys.filter(({ role }) => role === "issuer");
  issuers.sort((a, b) => a.from_size - b.from_size);
  must(issuers.length > 0, "没有发行方的检查点密钥");
  issuers.slice(1).forEach((later, n) => {
    const end = issuers[n].to_size;
    must(end !== null && later.from_size >= end, "两把发行方密钥的范围重叠");
  });
  return keys;
}

function readChain(chain) {
  members(chain, "chain_id kind deployment contracts", "chain");
  integer(chain.chain_id, 1, INTEGER_MAX, "chain_id");
  must(["single-node", "validators"].includes(chain.kind), "chain.kind 不对");
  members(chain.deployment, "block hash", "deployment");
  integer(chain.deployment.block, 0, INTEGER_MAX, "deployment.block");
  hash(chain.deployment.hash, "deployment.hash");
  must(isObject(chain.contracts), "contracts 不是对象");
  Object.entries(chain.contracts).forEach(([name, contract]) => checkContract(name, contract));
  return chain;
}

function checkContract(name, contract) {
  text(name, CONTRACT_NAME, "合约名");
  members(contract, "address proxy_code_hash implementations", name);
  text(contract.address, ADDRESS, `${name}.address`);
  hash(contract.proxy_code_hash, `${name}.proxy_code_hash`);
  must(list(contract.implementations, `${name}.implementations`).length > 0, `${name} 没有列出实现`);
  for (const item of contract.implementations) {
    members(item, "code_hash from_block", "实现");
    hash(item.code_hash, "code_hash");
    integer(item.from_block, 0, INTEGER_MAX, "from_block");
  }
}

function readPartnerKey(item) {
  members(item, "partner purpose public_key from_day to_day", "合作平台密钥");
  text(item.partner, ID, "合作平台");
  text(item.purpose, ID, "用途");
  day(item.from_day, "from_day");
  must(item.to_day === null || day(item.to_day, "to_day") > item.from_day, "to_day 不在 from_day 之后");
  return { ...item, public_key: publicKey(item.public_key, "合作平台密钥") };
}

/**
 * The newer trust file, if the pinned one accepts it: a higher version of the same issuer, log and
 * zone, with a signature line by a root key of the PINNED file over the newer file's bytes.
 */
export function acceptsUpdate(pinned, newerBytes, signatureLine) {
  const newer = readTrust(newerBytes);
  must(newer.version > pinned.version, "新文件的版本不更高");
  if (newer.version === pinned.version + 1) {
    must(same(hash(newer.prev_digest, "prev_digest"), pinned.digest), "prev_digest 不是原文件的摘要");
  }
  const line = readSignatureLine(signatureLine.replace(/\n$/, ""));
  const key = pinned.root_keys.find((one) =>
    one.name === line.name && same(keyId(one.name, one.public_key), line.keyId));
  must(key !== undefined, "签名不是原文件的根密钥所作");
  must(sm2Holds(key.public_key, newerBytes, line.signature), "根密钥的签名不成立");
  must(["issuer.id", "log.origin", "city_tz"].every((path) => at(newer, path) === at(pinned, path)),
    "发行方、日志与时区不得改变");
  return newer;
}

const at = (value, path) => path.split(".").reduce((one, name) => one[name], value);
