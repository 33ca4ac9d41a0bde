"""FISCO BCOS's web3 door in front of another node: its limits and its quirks, nothing forgiven.

Each rule is read in its source of 2026-03 (docs/chain.md names them). What FISCO BCOS answers with
an error is answered with one here; what it does silently (a truncated log, an ignored block tag) is
done silently; what it lets through to be regretted later is noted in `violations`.
"""

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from eth_hash.auto import keccak

from backend.chain.encoding import rlp_encode, rlp_list
from backend.chain.keys import recover, transaction_hash

BODY_BYTES_MAX = 10_240_000
BATCH_CALLS_MAX = 8
INPUT_BYTES_MAX = 49_152
LOGS_BLOCKS_MAX = 10
NONCES_AHEAD_MAX = 600_000

METHODS = {
    *("eth_chainId", "eth_blockNumber", "eth_getBalance", "eth_getStorageAt", "eth_getCode"),
    *("eth_getTransactionCount", "eth_sendRawTransaction", "eth_call", "eth_estimateGas"),
    *("eth_getBlockByHash", "eth_getBlockByNumber", "eth_getTransactionByHash", "eth_gasPrice"),
    *("eth_getTransactionByBlockHashAndIndex", "eth_getTransactionByBlockNumberAndIndex"),
    *("eth_getTransactionReceipt", "eth_getLogs", "eth_maxPriorityFeePerGas", "eth_syncing"),
    *("net_version", "net_peerCount", "net_listening", "web3_clientVersion", "web3_sha3"),
}
TAG_AT = {"eth_getBalance": 1, "eth_getStorageAt": 2, "eth_getCode": 1, "eth_call": 1}


class Refused(Exception):
    """An error answer: code and words."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


@dataclass
class StrictFisco:
    """Serves `target` as FISCO BCOS would; `violations` are what a good client never does.

    While `stalled`, transactions wait in the pool, where they are forgotten after `pool_s`
    (FISCO BCOS: ten minutes).
    """

    target: str
    pool_s: float = 600
    stalled: bool = False
    violations: list[str] = field(default_factory=list)
    sent: int = 0
    forgotten: int = 0
    largest_input: int = 0
    _pool: dict[str, tuple[float, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._http = httpx.Client(timeout=30, trust_env=False)
        strict = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                answer = strict.answer(self.rfile.read(size))
                self.send_response(200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._http.close()

    def answer(self, body: bytes) -> bytes:
        if len(body) > BODY_BYTES_MAX:
            return _error(None, -32600, "body too large")
        asked = json.loads(body)
        with self._lock:
            if not isinstance(asked, list):
                return json.dumps(self._one(asked)).encode()
            if len(asked) > BATCH_CALLS_MAX:
                self.violations.append(f"a batch of {len(asked)} calls")
                return _error(None, -32600, "batch request size limit exceeded")
            return json.dumps([self._one(call) for call in asked]).encode()

    def _one(self, call: dict[str, Any]) -> dict[str, Any]:
        try:
            result = self._do(call["method"], list(call.get("params", [])))
        except Refused as refused:
            fault = {"code": refused.code, "message": str(refused)}
            return {"jsonrpc": "2.0", "id": call["id"], "error": fault}
        return {**result, "id": call["id"]}

    def _do(self, method: str, params: list[Any]) -> dict[str, Any]:
        if method not in METHODS:
            self.violations.append(f"{method} does not exist")
            raise Refused(-32601, "Method not found")
        if method == "eth_sendRawTransaction":
            return self._take(params[0])
        if method in TAG_AT:
            params[TAG_AT[method] :] = ["latest"]  # Its source says that this is unfinished.
        if method == "eth_getTransactionCount" and params[1] != "pending":
            params[1] = "latest"
        if method == "eth_getLogs":
            first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
            last = min(last, first + LOGS_BLOCKS_MAX - 1)
            params[0] = {**params[0], "toBlock": hex(last)}
        answer = self._ask(method, *params)
        if method.startswith("eth_getBlockBy") and answer.get("result"):
            answer["result"].pop("baseFeePerGas", None)
        return answer

    def _take(self, raw: str) -> dict[str, Any]:
        """The pool's checks, in its order."""
        data = bytes.fromhex(raw[2:])
        if data[:1] in (b"\x01", b"\x02"):
            self.violations.append("a typed transaction")
            raise Refused(-32000, "Unsupported transaction type")
        fields = rlp_list(data)
        nonce, content = fields[0], fields[5]
        self.sent += 1
        self.largest_input = max(self.largest_input, len(content))
        if len(content) > INPUT_BYTES_MAX:
            raise Refused(-32000, "MaxInitCodeSizeExceeded")
        tx_hash = "0x" + transaction_hash(data).hex()
        sender = _sender(fields)
        if self._ask("eth_getBalance", sender, "latest")["result"] == "0x0":
            raise Refused(-32000, "InsufficientFunds")
        ledger = int(self._ask("eth_getTransactionCount", sender, "latest")["result"], 16)
        number = int.from_bytes(nonce, "big")
        if not ledger <= number < ledger + NONCES_AHEAD_MAX:
            raise Refused(-32000, "NonceCheckFail")
        if number > ledger:
            # Taken and mined out of turn: whoever counts nonces is misled.
            self.violations.append(f"nonce {number} was sent before {ledger} was mined")
        self._forget()
        if tx_hash in self._pool:
            raise Refused(-32000, "AlreadyInTxPool")
        self._pool[tx_hash] = (time.monotonic() + self.pool_s, raw)
        if not self.stalled:
            self.flush()
        return {"jsonrpc": "2.0", "result": tx_hash}

    def flush(self) -> None:
        """Hand everything that still waits to the node."""
        with self._lock:
            self._forget()
            for _, raw in self._pool.values():
                self._ask("eth_sendRawTransaction", raw)
            self._pool.clear()

    def _forget(self) -> None:
        now = time.monotonic()
        late = [tx_hash for tx_hash, (until, _) in self._pool.items() if until <= now]
        for tx_hash in late:
            del self._pool[tx_hash]
        self.forgotten += len(late)

    def _ask(self, method: str, *params: Any) -> dict[str, Any]:
        call = {"jsonrpc": "2.0", "id": 0, "method": method, "params": params}
        return self._http.post(self.target, json=call).json()


def _sender(fields: list[bytes]) -> str:
    """Whose key signed a legacy transaction that names its chain (EIP-155)."""
    chain_id, odd = divmod(int.from_bytes(fields[6], "big") - 35, 2)
    digest = keccak(rlp_encode([*fields[:6], chain_id, 0, 0]))
    signature = fields[7].rjust(32, b"\0") + fields[8].rjust(32, b"\0") + bytes([27 + odd])
    return recover(digest, signature)


def _error(ident: Any, code: int, words: str) -> bytes:
    fault = {"code": code, "message": words}
    return json.dumps({"jsonrpc": "2.0", "id": ident, "error": fault}).encode()
