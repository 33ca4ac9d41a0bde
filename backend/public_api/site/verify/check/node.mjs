// Reading one node's JSON-RPC. Silence, an error and nonsense are all a Breach.

import { unhex } from "./bytes.mjs";
import { Breach, must } from "./breach.mjs";

const TIMEOUT_MS = 15_000;
const ANSWER_BYTES_MAX = 1 << 20;
const BYTES = /^0x([0-9a-f]{2})*$/i;
const NUMBER = /^0x[0-9a-f]{1,64}$/i;

/** The body of an answer, given up once it grows beyond `max` bytes. */
export async function readBody(answer, max) {
  const parts = [];
  let length = 0;
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > max) {
      await reader.cancel();
      throw new Breach("回答过长");
    }
    parts.push(value);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

export class Node {
  #ids = 0;

  constructor(url) {
    this.url = url;
  }

  async #ask(method, params) {
    const body = JSON.stringify({ jsonrpc: "2.0", id: ++this.#ids, method, params });
    let answer;
    try {
      const response = await fetch(this.url, {
        method: "POST", body, headers: { "content-type": "application/json" },
        credentials: "omit", referrerPolicy: "no-referrer", signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      must(response.status < 500 && response.status !== 429, `节点答复 ${response.status}`);
      answer = JSON.parse(new TextDecoder().decode(await readBody(response, ANSWER_BYTES_MAX)));
    } catch (error) {
      throw error instanceof Breach ? error : new Breach("节点没有回答，或不允许网页跨站询问");
    }
    must(answer !== null && typeof answer === "object", "节点的回答没有意义");
    must((answer.error ?? null) === null, `节点拒绝 ${method}`);
    return answer.result ?? null;
  }

  async chainId() {
    return number(await this.#ask("eth_chainId", []));
  }

  /** The hash (0x…) of the canonical block of that number; null beyond the tip. */
  async blockHash(block) {
    const found = await this.#ask("eth_getBlockByNumber", [quantity(block), false]);
    return found === null ? null : data(found.hash, 32);
  }

  async code(address) {
    return unhex(data(await this.#ask("eth_getCode", [address, "latest"])).slice(2));
  }

  /** One word of storage as 64 hex digits. */
  async storage(address, slot) {
    const word = await this.#ask("eth_getStorageAt", [address, slot, "latest"]);
    must(typeof word === "string" && NUMBER.test(word), "节点的回答没有意义");
    return word.slice(2).toLowerCase().padStart(64, "0");
  }

  /** What a call returns, as hex digits. */
  async call(to, input) {
    return data(await this.#ask("eth_call", [{ to, data: `0x${input}` }, "latest"])).slice(2);
  }

  /** {to, input} of a transaction, input as bytes; null when unknown. */
  async transaction(hash) {
    const found = await this.#ask("eth_getTransactionByHash", [hash]);
    return found && { to: address(found.to), input: unhex(data(found.input).slice(2)) };
  }

  /** {held, to, block, blockHash} of a mined transaction; null when unknown. */
  async receipt(hash) {
    const found = await this.#ask("eth_getTransactionReceipt", [hash]);
    return found && {
      held: number(found.status) === 1n,
      to: address(found.to),
      block: number(found.blockNumber),
      blockHash: data(found.blockHash, 32),
    };
  }
}

const quantity = (value) => `0x${value.toString(16)}`;
const address = (value) => ((value ?? null) === null ? null : data(value, 20));

function number(value) {
  must(typeof value === "string" && NUMBER.test(value), "节点的回答没有意义");
  return BigInt(value);
}

function data(value, length = null) {
  must(typeof value === "string" && BYTES.test(value) &&
    (length === null || value.length === 2 + 2 * length), "节点的回答没有意义");
  return value.toLowerCase();
}
