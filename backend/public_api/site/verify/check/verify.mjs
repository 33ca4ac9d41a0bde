// receipt → ten verdicts: what anyone can redo, what is only stated, what does not hold.
//
// Needs a receipt, a trust file that came from elsewhere, and for two of the steps a node. It reads
// as formats.md §13; the Python program `tanhui verify` gives the same verdicts.

import { hex, unhex, utf8 } from "./bytes.mjs";
import { Breach, must } from "./breach.mjs";
import {
  checkAnchor, checkAnchorTerms, checkNode, checkPosted, checkPostedTerms, enacted,
} from "./chain.mjs";
import { capsOf, paidBy, readMethod, readRule, reductionOf } from "./documents.mjs";
import { canonical } from "./json.mjs";
import { hashOf, openFields } from "./leaf.mjs";
import { checkNote, readNote } from "./note.mjs";
import { issuerIn, readReceipt } from "./receipt.mjs";
import { dayNumber } from "./shape.mjs";
import { fromDer, sm2Holds } from "./sm2.mjs";
import { climb, leafHash, rootOf } from "./tree.mjs";
import { readTrust } from "./trust.mjs";

export const STEPS = [
  "issuer", "format", "leaf", "path", "checkpoint", "anchor", "posted", "method", "rule", "origin",
];

/**
 * {ok, steps: [{step, verdict, reason}], papers}: verdicts ok, failed, stated, not_checked, hidden.
 * `papers` are the trust file, and as far as they could be read receipt, leaf, note and climb.
 * Without a node the check is offline. Never throws for what is in the receipt, the trust file or
 * the node's answers.
 */
export async function verify(receiptBytes, trustBytes, node = null) {
  const check = new Check(receiptBytes, node);
  await check.run(trustBytes);
  const steps = STEPS.map((step) => ({ step, ...check.verdicts[step] }));
  const ok = steps[0].verdict === "ok" && steps.every(({ verdict }) => verdict !== "failed");
  return { ok, steps, papers: check.papers };
}

class Check {
  constructor(bytes, node) {
    this.bytes = bytes;
    this.node = node;
    this.nodeProblem = null;
    this.papers = {};
    this.verdicts = Object.fromEntries(STEPS.map((step) => [step, cutShort()]));
  }

  /** Judge one step: its action gives [verdict, reason] or throws a Breach. */
  async judge(step, action) {
    let [verdict, reason] = ["failed", ""];
    try {
      [verdict, reason] = await action();
    } catch (error) {
      if (!(error instanceof Breach)) throw error;
      reason = error.message;
    }
    this.verdicts[step] = { verdict, reason };
    return verdict !== "failed";
  }

  async run(trustBytes) {
    if (!(await this.open(trustBytes))) return;
    await this.meetNode();
    const leafHeld = await this.judge("leaf", () => this.leaf());
    // Each step is judged on its own, so that those which wait for the node wait together.
    await Promise.all([
      this.judge("path", () => this.path()),
      this.judge("checkpoint", () => this.checkpoint()),
      this.judge("anchor", () => this.anchor()),
      ...(leafHeld ? [
        this.judge("posted", () => this.posted()),
        this.judge("method", () => this.document("method")),
        this.judge("rule", () => this.document("rule")),
        this.judge("origin", () => this.origin()),
      ] : []),
    ]);
  }

  /** The steps issuer and format; true when the receipt is open and the issuer known. */
  async open(trustBytes) {
    const { papers } = this;
    const trusted = await this.judge("issuer", () => {
      papers.trust = readTrust(trustBytes);
      return ["ok", ""];
    });
    if (!trusted) return false;
    const readable = await this.judge("format", () => {
      papers.receipt = readReceipt(this.bytes);
      const form = papers.receipt.form === "full" ? "完整版" : "分享版";
      return ["ok", `${form}回执，写法唯一，没有夹带`];
    });
    const known = await this.judge("issuer", () => this.issuer());
    if (!known && readable) this.verdicts.format = cutShort();
    return known && readable;
  }

  issuer() {
    const { issuer, profile } = this.papers.trust;
    const named = this.papers.receipt?.issuer ?? issuerIn(this.bytes);
    must(named !== null, "读不出发行方");
    must(named === issuer.id, `回执的发行方是 ${named.slice(0, 60)}，信任文件只认 ${issuer.id}`);
    return ["ok", `${issuer.name}（${issuer.id}，${PROFILES[profile]}）`];
  }

  async meetNode() {
    if (this.node === null) return;
    try {
      await checkNode(this.node, this.papers.trust);
    } catch (error) {
      if (!(error instanceof Breach)) throw error;
      this.nodeProblem = error.message;
    }
  }

  /** The node to ask, null offline; a node that does not count is a Breach. */
  asked() {
    must(this.nodeProblem === null, this.nodeProblem);
    return this.node;
  }

  leaf() {
    const { receipt, trust } = this.papers;
    const open = openFields(receipt.kind, receipt.disclosures, trust.city_tz);
    this.papers.leaf = open;
    const count = Object.keys(open).length;
    const hidden = receipt.disclosures.length - count;
    return ["ok", hidden > 0 ? `打开 ${count} 个字段，另有 ${hidden} 个按分享版隐藏` : `${count} 个字段全部打开`];
  }

  note() {
    this.papers.note ??= readNote(this.papers.receipt.checkpoint);
    return this.papers.note;
  }

  path() {
    const { log, kind, commitments } = this.papers.receipt;
    const note = this.note();
    must(log.size === note.size, `路径对应 ${log.size} 片叶子，检查点是 ${note.size} 片`);
    const leaf = hashOf(kind, commitments);
    const steps = climb(leaf, log.index, log.size, log.path);
    this.papers.climb = { leaf, steps };
    must(hex(rootOf(leaf, steps)) === hex(note.root), "从叶子走不到检查点的根");
    return ["ok", `第 ${log.index} 片叶子经 ${steps.length} 次哈希，到达 ${log.size} 片叶子的根`];
  }

  checkpoint() {
    const { trust } = this.papers;
    const note = this.note();
    const names = checkNote(note, trust.log.origin, trust.checkpoint_keys);
    return ["ok", `SM2 签名成立：${names.join("、")}`];
  }

  async anchor() {
    const { receipt, trust } = this.papers;
    checkAnchorTerms(receipt, trust);
    const node = this.asked();
    if (node === null) return ["not_checked", "还没有询问区块链"];
    const note = this.note();
    await checkAnchor(node, receipt, note);
    return ["ok", `根写在区块 ${receipt.anchor.block}（${CHAINS[trust.chain.kind]}）`];
  }

  async posted() {
    const { receipt, trust, leaf } = this.papers;
    if (receipt.posted !== null) checkPostedTerms(receipt, trust);
    const node = this.asked();
    if (node === null) return ["not_checked", "还没有询问区块链"];
    if (receipt.form === "share") return ["hidden", "分享版不写账户与批次"];
    if (receipt.posted === null) return ["not_checked", "回执还没有写入账批次"];
    await checkPosted(node, receipt, leaf, trust);
    return ["stated", `区块 ${receipt.posted.block} 给该账户记了至少 ${leaf.points.amount} 分；批次合计由发行方声明`];
  }

  /** The step method or rule. */
  async document(which) {
    const { receipt, leaf } = this.papers;
    if (receipt.kind === 2) return this.enactment(which);
    const document = receipt.documents[which];
    if ((leaf[which] ?? null) === null) {
      must(document === null, "叶子没有写这份文件，回执却附了一份");
      return ["stated", `这笔积分变动不涉及${DOCUMENTS[which]}`];
    }
    const method = readMethod(receipt.documents.method);
    const rule = readRule(receipt.documents.rule);
    const read = { method, rule }[which];
    const [verdict, words] = read === method ? redoMethod(method, leaf) : redoRule(rule, leaf);
    checkUnion([method, rule], leaf);
    const window = checkWindow(read, leaf);
    const chain = await this.sameOnChain(which, read, leaf.occurrence?.city_day ?? null);
    return [verdict, words + window + chain];
  }

  /** Kind 2: the document that was put in force, or stopped. */
  async enactment(which) {
    const { enactment } = this.papers.leaf;
    const document = this.papers.receipt.documents[which];
    if (document === null) {
      must(enactment.what !== which, `叶子颁布了${DOCUMENTS[which]}，回执却没有附上`);
      return ["stated", `这次颁布不涉及${DOCUMENTS[which]}`];
    }
    must([which, "stop"].includes(enactment.what), `附上的${DOCUMENTS[which]}不是所颁布的`);
    const read = which === "method" ? readMethod(document) : readRule(document);
    sameAs(read, enactment, ["digest", "id", "version", "day_from"]);
    const end = dayNumber(enactment.day_to);
    must(end <= dayNumber(read.day_to), "颁布的有效期晚于文件");
    const chain = await this.sameOnChain(which, read, null, end);
    const verb = enactment.what === "stop" ? "停用" : "颁布";
    return ["ok", `${read.id} 第 ${read.version} 版已${verb}${chain}`];
  }

  /** Compare with RuleRegistry, where a node can be asked; a remark for the reason. */
  async sameOnChain(which, document, day, endMax = null) {
    if (this.node === null || this.nodeProblem !== null) return "";
    const held = await enacted(this.node, this.papers.trust, which === "rule" ? 1 : 2, document);
    must(held.digest === document.digest, "链上登记的是另一份文件");
    must(held.dayFrom === BigInt(dayNumber(document.day_from)), "链上登记的起始日不同");
    // A stop lowers the end on chain; nothing ever raises it.
    const ends = [dayNumber(document.day_to), endMax ?? Infinity].map(Number);
    must(Number(held.dayTo) <= Math.min(...ends), "链上登记的截止日更晚");
    if (day !== null) {
      const number = BigInt(dayNumber(day));
      must(held.dayFrom <= number && number < held.dayTo, "行为日不在链上登记的有效期内");
    }
    return "；与链上登记一致";
  }

  origin() {
    const { receipt, leaf } = this.papers;
    const { origin, form } = receipt;
    if (origin.kind === "statement") return ["ok", this.statement()];
    const expected = leaf.method ? leaf.method.origin : "issuer";
    must(origin.kind === expected, "上报方式与叶子不符");
    return form === "share" ? ["hidden", "分享版不写是哪一次上报"] : ["stated", ORIGIN_WORDS[origin.kind]];
  }

  /** A path to the statement that the partner itself co-signed for the day. */
  statement() {
    const { receipt: { origin }, leaf: { event }, trust } = this.papers;
    must((event ?? null) !== null, "这片叶子没有上报事件，谈不上日报");
    const start = leafHash(unhex(event.digest));
    const root = hex(rootOf(start, climb(start, origin.index, origin.count, origin.path)));
    const message = utf8(
      `tanhui-statement-v1\n${event.partner}\n${origin.day}\n${origin.count}\n${root}\n`);
    const signature = fromDer(origin.signature);
    const keys = trust.partner_keys.filter((key) =>
      key.partner === event.partner && key.purpose === "statement" && key.from_day <= origin.day &&
      (key.to_day === null || origin.day < key.to_day));
    must(signature !== null && keys.some((key) => sm2Holds(key.public_key, message, signature)),
      "没有合作平台在那一天有效的签名");
    return `${event.partner} 亲自签署了 ${origin.day} 的日报，其中有这次上报`;
  }
}

const cutShort = () => ({ verdict: "not_checked", reason: "前面的步骤不成立，没有再查" });
const PROFILES = { demo: "演示环境", test: "测试环境", production: "正式环境" };
const CHAINS = { "single-node": "单节点链", validators: "多机构共同维护的链" };
const DOCUMENTS = { method: "减排方法", rule: "激励规则" };
const ORIGIN_WORDS = {
  "signed-upload": "合作平台签名上报，由发行方核对过；此处无法再证明",
  "shared-secret": "双方共用密钥上报，发行方自己也能造出来",
  issuer: "发行方自己的行为",
};

function sameAs(document, field, names) {
  for (const name of names) must(document[name] === field[name], `文件的 ${name} 与叶子不符`);
}

function redoMethod(method, leaf) {
  const field = leaf.method;
  sameAs(method, field, ["digest", "id", "version", "status"]);
  must(method.scenarios.includes(field.scenario), `方法不适用于 ${field.scenario}`);
  const found = reductionOf(method, leaf);
  must(found === field.reduction_mg, `重算得 ${found} 毫克，叶子写的是 ${field.reduction_mg}`);
  const words = `${method.id} 第 ${method.version} 版重算得 ${grams(found)}`;
  return restsOnStated(method.needs) ? ["stated", `${words}，其中用到发行方声明的历史数值`] : ["ok", words];
}

function redoRule(rule, leaf) {
  const { rule: field, points, stated } = leaf;
  sameAs(rule, field, ["digest", "id", "version", "programme"]);
  must(rule.class === points.class, "规则发的是另一类积分");
  const paid = paidBy(rule, leaf);
  must(canonical(paid.rows) === canonical(field.row), "命中的不是叶子写的那些行");
  must(paid.points === field.points_before_caps,
    `重算得 ${paid.points} 分，叶子写的是 ${field.points_before_caps}`);
  const named = ({ name, limit }) => [name, limit];
  const caps = capsOf(rule, leaf.method, paid.rows);
  must(canonical(stated.caps.map(named)) === canonical(caps.map(named)),
    "声明的上限不是规则的上限");
  const amount = Math.min(paid.points, ...stated.caps.map((cap) => cap.limit - cap.used_before));
  must(amount === points.amount, `扣除上限后应为 ${amount} 分，叶子写的是 ${points.amount}`);
  const words = `${rule.id} 第 ${rule.version} 版重算得 ${points.amount} 分`;
  const trusting = restsOnStated(rule.needs) || rule.caps.length > 0;
  return trusting ? ["stated", `${words}，此前已用的额度由发行方声明`] : ["ok", words];
}

const restsOnStated = ({ history, counters }) =>
  Object.keys(history).length + Object.keys(counters).length > 0;

function checkWindow(document, { occurrence }) {
  if (!occurrence) return "；分享版不写日期，没有查有效期";
  const { city_day: day } = occurrence;
  must(document.day_from <= day && (document.day_to === null || day < document.day_to),
    "行为日不在文件的有效期内");
  return "";
}

/** The leaf states what the two documents need, and nothing beyond. */
function checkUnion(documents, { inputs, stated }) {
  const given = { event: inputs, history: stated.history, counters: stated.counters };
  for (const [section, values] of Object.entries(given)) {
    const needed = new Set(documents.flatMap(({ needs }) => Object.keys(needs[section])));
    const names = Object.keys(values);
    must(names.length === needed.size && names.every((name) => needed.has(name)),
      "叶子里的数值不恰好是两份文件所需要的");
  }
}

/** Milligrams as grams in words. */
export function grams(mg) {
  const whole = Math.floor(mg / 1000);
  const rest = String(mg % 1000).padStart(3, "0").replace(/0+$/, "");
  return `${whole.toLocaleString("zh-CN")}${rest ? `.${rest}` : ""} 克`;
}
