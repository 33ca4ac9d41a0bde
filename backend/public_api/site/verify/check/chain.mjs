// What a verifier asks the chain, in the order of formats.md §8. The node that answers is not
// believed: it must hold the chain of trust.json before any of its answers counts.

import { hex, utf8 } from "./bytes.mjs";
import { batchId, decodePost } from "./batch.mjs";
import { must } from "./breach.mjs";
import { keccak256 } from "./keccak.mjs";
import { dayNumber } from "./shape.mjs";

const CODE_BYTES_MAX = 65_536;
const BATCH_KIND = { award: 1, refund: 1, redeem: 2, expire: 3, reverse: 3, erase: 3 };

const keccakHex = (text) => hex(keccak256(utf8(text)));
const selector = (signature) => keccakHex(signature).slice(0, 8);
const word = (value) => BigInt(value).toString(16).padStart(64, "0");
const idWord = (id) => hex(utf8(id)).padEnd(64, "0");
/** ERC-1967: where a proxy keeps the address of the code behind it. */
const SLOT = `0x${word(BigInt(`0x${keccakHex("eip1967.proxy.implementation")}`) - 1n)}`;

/** The node holds the chain that the trust file names. */
export async function checkNode(node, { chain }) {
  const [id, deployment] = await Promise.all([
    node.chainId(), node.blockHash(chain.deployment.block),
  ]);
  must(id === BigInt(chain.chain_id), `节点的链号是 ${id}，信任文件写的是 ${chain.chain_id}`);
  must(deployment === `0x${chain.deployment.hash}`, "节点上的部署区块不是信任文件写的那一个");
  await Promise.all(Object.entries(chain.contracts).map((entry) => checkCode(node, ...entry)));
}

async function checkCode(node, name, contract) {
  must((await codeHash(node, contract.address)) === contract.proxy_code_hash,
    `${name} 地址上的代码不是受信任的代理`);
  const held = await node.storage(contract.address, SLOT);
  must(held.startsWith("0".repeat(24)), `${name} 的代理没有指向实现`);
  const behind = await codeHash(node, `0x${held.slice(24)}`);
  must(contract.implementations.some(({ code_hash: listed }) => listed === behind),
    `${name} 代理背后的代码不在信任文件里`);
}

async function codeHash(node, address) {
  const code = await node.code(address);
  must(code.length <= CODE_BYTES_MAX, "节点给出的代码过长");
  return hex(keccak256(code));
}

function contractOf(trust, name) {
  const contract = trust.chain.contracts[name];
  must(Object.hasOwn(trust.chain.contracts, name), `信任文件里没有 ${name}`);
  return contract.address;
}

/** What of the anchor can be judged without a node. */
export function checkAnchorTerms({ anchor }, trust) {
  must(anchor.chain_id === trust.chain.chain_id,
    `链号是 ${anchor.chain_id}，信任文件写的是 ${trust.chain.chain_id}`);
  must(anchor.contract === contractOf(trust, "EvidenceAnchor"), "不是受信任的存证合约");
}

/** The checkpoint stands on chain, written by that transaction. */
export async function checkAnchor(node, { anchor }, note) {
  const head = word(note.size) + hex(note.root);
  const [root, input] = await Promise.all([
    node.call(anchor.contract, selector("rootOf(uint64)") + word(note.size)),
    minedInput(node, anchor, `0x${anchor.block_hash}`),
  ]);
  must(root === hex(note.root), `链上规模 ${note.size} 的根不是检查点的根`);
  must(hex(input).startsWith(selector("anchor(uint64,bytes32,bytes32)") + head),
    "这笔交易没有写入这个检查点");
}

/** The input of a transaction that succeeded at the contract, in that canonical block. */
async function minedInput(node, { tx, contract, block }, blockHash) {
  const [mined, sent, canonical] = await Promise.all([
    node.receipt(tx), node.transaction(tx), node.blockHash(block),
  ]);
  must(mined !== null, "节点上没有这笔交易");
  must(mined.held, "这笔交易失败了");
  must(mined.to === contract, "这笔交易没有直接调用合约");
  must(mined.block === BigInt(block) && (blockHash === null || mined.blockHash === blockHash),
    "这笔交易在另一个区块里");
  must(canonical === mined.blockHash, "交易所在的区块不在主链上");
  must(sent !== null && sent.to === contract, "节点上没有发往合约的这笔交易");
  return sent.input;
}

/** What of `posted` can be judged without a node. */
export function checkPostedTerms({ posted }, trust) {
  must(posted.contract === contractOf(trust, "CarbonPoints"), "不是受信任的积分合约");
}

/** The batch carries at least this leaf's points to its account. */
export async function checkPosted(node, { posted, log }, values, trust) {
  const batch = decodePost(await minedInput(node, posted, null));
  must(batchId(batch.header, trust.chain.chain_id, posted.contract) === posted.batch_id,
    "批次编号与交易的头部不符");
  const { act, points, rule, occurrence, account } = values;
  const index = BigInt(log.index);
  must(batch.leafFrom <= index && index < batch.leafTo, "批次不包含这片叶子");
  must(batch.kind === BATCH_KIND[act.act] && batch.reason === act.reason, "批次的种类不符");
  must(batch.class === points.class, "批次是另一类积分");
  must(batch.programme === (rule?.programme ?? "") && batch.rule === (rule?.id ?? "") &&
    batch.ruleVersion === (rule?.version ?? 0), "批次属于另一个活动、规则或版本");
  const day = dayNumber(occurrence.city_day);
  if (batch.kind === 1) must(batch.dayFrom <= day && day < batch.dayTo, "批次的日期不包含行为日");
  else must(batch.dayFrom === 0 && batch.dayTo === 0, "批次写了不该写的日期");
  const held = batch.records.get(account) ?? 0;
  must(held >= points.amount, `批次给该账户 ${held} 分，少于这张回执`);
}

/** {digest, dayFrom, dayTo} that RuleRegistry holds for a version; what: 1 rule, 2 method. */
export async function enacted(node, trust, what, { id, version }) {
  const answer = await node.call(contractOf(trust, "RuleRegistry"),
    selector("enacted(uint8,bytes32,uint32)") + word(what) + idWord(id) + word(version));
  must(answer.length === 192 && !answer.startsWith("0".repeat(64)), `链上没有 ${id} 第 ${version} 版`);
  const [dayFrom, dayTo] = [64, 128].map((at) => BigInt(`0x${answer.slice(at, at + 64)}`));
  return { digest: answer.slice(0, 64), dayFrom, dayTo };
}
