"""The chain itself: py-evm's MiningChain (Prague) over the store, one writer.

`Writer` turns raw transactions into blocks; `Reader` answers calls against any block from a
connection of its own, so that reading never waits for a block being executed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth._utils.address import generate_contract_address
from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth.vm.spoof import SpoofTransaction
from eth_typing import Address
from eth_utils.exceptions import ValidationError

from backend.chain.node.answers import block_row, data, tx_answer
from backend.chain.node.store import BlockRow, Store

BLOCK_GAS_MAX = 120_000_000
"""Gas limit of every block: half of it, the EIP-1559 target, holds a full post of 2,040."""

BASE_FEE_WEI = 7
"""The genesis base fee: the floor at which EIP-1559 integer steps stop falling."""

FUNDS_WEI = 10**27
"""Given to each of the installation's own keys at genesis."""

POOL_TXS_MAX = 4_096
POOL_NONCE_AHEAD_MAX = 1_024


class NodeError(Exception):
    """A refusal with its JSON-RPC code, worded as go-ethereum words it."""

    def __init__(self, code: int, message: str, details: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one raw transaction: accepted (mined or waiting) or refused."""

    tx_hash: bytes
    error: NodeError | None = None


@dataclass(frozen=True, slots=True)
class CallRequest:
    """An eth_call: 20-byte addresses (`to` empty = creation), gas, wei, input."""

    sender: bytes
    to: bytes
    gas: int
    value: int
    data: bytes


@dataclass(frozen=True, slots=True)
class CallResult:
    """Output of a call, or the error and its revert data; gas as a receipt would show it."""

    output: bytes
    error: str | None
    gas_used: int


def open_store(folder: Path, chain_id: int, funded: Sequence[str]) -> Store:
    """Open the chain in `folder`, writing its genesis when there is none.

    The genesis parameters are stored; a later start with another chain id is refused
    (NodeError), other funded addresses are ignored.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder / "chain.sqlite")
    known = store.meta("genesis")
    if known is None:
        _write_genesis(store, chain_id, funded)
    elif known["chain_id"] != chain_id:
        raise NodeError(
            -32000,
            f"{folder} holds chain {known['chain_id']}, not {chain_id}: "
            "use that chain id or another folder",
        )
    return store


def _write_genesis(store: Store, chain_id: int, funded: Sequence[str]) -> None:
    alloc = {address.lower(): str(FUNDS_WEI) for address in sorted(funded)}
    timestamp = int(time.time())
    parameters: dict[str, Any] = {
        "chain_id": chain_id,
        "fork": "prague",
        "timestamp": timestamp,
        "gas_limit": BLOCK_GAS_MAX,
        "base_fee_wei": BASE_FEE_WEI,
        "alloc": alloc,
    }
    state = {
        bytes.fromhex(address[2:]): {
            "balance": int(wei),
            "nonce": 0,
            "code": b"",
            "storage": dict[int, int](),
        }
        for address, wei in alloc.items()
    }
    header: dict[str, Any] = {
        "difficulty": 0,
        "gas_limit": BLOCK_GAS_MAX,
        "timestamp": timestamp,
        "base_fee_per_gas": BASE_FEE_WEI,
        "extra_data": b"tanhui",
    }
    chain = _chain_class(chain_id).from_genesis(AtomicDB(store), header, state)
    block = chain.get_block_by_header(chain.get_canonical_head())
    store.commit(block_row(block, [], [], chain_id), {"genesis": parameters})


def _chain_class(chain_id: int) -> Any:
    return MiningChain.configure(
        __name__="TanhuiChain", vm_configuration=((0, PragueVM),), chain_id=chain_id
    )


class Reader:
    """Answers about any block from a read-only connection. Not thread-safe: one per thread."""

    def __init__(self, store: Store, chain_id: int) -> None:
        self.store = store
        self._chain_id = chain_id
        # Genesis stands, so constructing the chain reads and writes nothing new.
        self._chain = _chain_class(chain_id)(AtomicDB(store))

    def header(self, number: int) -> Any:
        """The header of a block by number. Raises NodeError when there is none."""
        answer = self.store.block_answer(number)
        if answer is None:
            raise NodeError(-32000, "header not found")
        return self._chain.chaindb.get_block_header_by_hash(bytes.fromhex(answer["hash"][2:]))

    def state(self, number: int) -> Any:
        """A throw-away state at the end of a block, free of gas prices."""
        header = self.header(number)
        vm = self._chain.get_vm(header)
        return vm.build_state(
            self._chain.chaindb.db,
            header.copy(base_fee_per_gas=0),
            vm.chain_context,
            vm.previous_hashes,
        )

    def call(self, request: CallRequest, number: int) -> CallResult:
        """Execute without keeping anything. Raises NodeError when it cannot even start."""
        try:
            return _execute(self.state(number), request)
        except ValidationError as error:
            raise NodeError(-32000, str(error)) from error
        finally:
            self.store.discard()

    def estimate_gas(self, request: CallRequest, number: int) -> int:
        """The least gas with which the call succeeds, within 1.5 %.

        Raises NodeError (code 3 with the revert data) when it fails with all of `request.gas`.
        """
        result = self.call(request, number)
        if result.error is not None:
            raise revert_error(result)
        if self.call(_with_gas(request, result.gas_used), number).error is None:
            return result.gas_used
        low, high = result.gas_used, request.gas
        likely = (result.gas_used + 2_300) * 64 // 63
        while low + 1 < high:
            middle = min(likely, high - 1) if likely > low else (low + high) // 2
            likely = 0
            if self.call(_with_gas(request, middle), number).error is None:
                high = middle
            else:
                low = middle
            if (high - low) * 1_000 < high * 15:
                break
        return high


def _with_gas(request: CallRequest, gas: int) -> CallRequest:
    return CallRequest(request.sender, request.to, gas, request.value, request.data)


def _execute(state: Any, request: CallRequest) -> CallResult:
    unsigned = PragueTransactionBuilder.create_unsigned_transaction(
        nonce=state.get_nonce(request.sender),
        gas_price=0,
        gas=request.gas,
        to=Address(request.to),
        value=request.value,
        data=request.data,
    )
    tx: Any = SpoofTransaction(unsigned, from_=request.sender)
    if unsigned.intrinsic_gas > request.gas:
        return CallResult(b"", "intrinsic gas too low", unsigned.intrinsic_gas)
    state.lock_changes()
    computation = state.apply_transaction(tx)
    used = PragueVM.finalize_gas_used(tx, computation)
    if computation.is_error:
        kind = type(computation.error).__name__
        words = "out of gas" if kind == "OutOfGas" else "execution reverted"
        return CallResult(computation.output, words, used)
    return CallResult(computation.output, None, used)


def revert_error(result: CallResult) -> NodeError:
    """The JSON-RPC error of a failed call: code 3 with data for a revert, as geth answers."""
    words = result.error or "execution reverted"
    if words != "execution reverted":
        return NodeError(-32000, words)
    reason = _revert_string(result.output)
    return NodeError(3, f"{words}: {reason}" if reason else words, data(result.output))


def _revert_string(output: bytes) -> str | None:
    # Error(string): selector 08c379a0, offset, length, text.
    if output[:4] != bytes.fromhex("08c379a0") or len(output) < 68:
        return None
    length = int.from_bytes(output[36:68], "big")
    return output[68 : 68 + length].decode("utf-8", errors="replace")


class Writer:
    """The one place where blocks are made. All methods run on one thread."""

    def __init__(self, store: Store, chain_id: int) -> None:
        self._store = store
        self._chain_id = chain_id
        self._chain = _chain_class(chain_id)(AtomicDB(store))
        self._head = self._chain.get_canonical_head()
        self._pool: dict[bytes, dict[int, Any]] = {}

    @property
    def head_number(self) -> int:
        """Number of the newest block."""
        return self._head.block_number

    def accept(self, raws: Sequence[bytes]) -> list[Outcome]:
        """Admit raw transactions, then mine blocks until none in the pool is ready.

        A transaction whose nonce lies ahead waits in the pool (in memory only).
        """
        outcomes = [self._admit(raw) for raw in raws]
        dropped: dict[bytes, NodeError] = {}
        while ready := self._ready():
            self._mine(ready, dropped)
        return [
            Outcome(o.tx_hash, dropped[o.tx_hash]) if o.tx_hash in dropped else o for o in outcomes
        ]

    def pending_nonce(self, address: bytes) -> int:
        """The next nonce after the head and the gapless part of the pool."""
        nonce = self._state().get_nonce(address)
        waiting = self._pool.get(address, {})
        while nonce in waiting:
            nonce += 1
        return nonce

    def pooled(self, tx_hash: bytes) -> dict[str, Any] | None:
        """A waiting transaction as a JSON-RPC object with a null place."""
        for waiting in self._pool.values():
            for tx in waiting.values():
                if tx.hash == tx_hash:
                    place = {"blockHash": None, "blockNumber": None, "transactionIndex": None}
                    return {**tx_answer(tx, self._chain_id, None), **place}
        return None

    def _state(self) -> Any:
        return self._chain.get_vm(self._head).state

    def _admit(self, raw: bytes) -> Outcome:
        try:
            tx = _decode(raw, self._chain_id)
        except NodeError as error:
            return Outcome(b"", error)
        try:
            self._check(tx)
        except NodeError as error:
            return Outcome(tx.hash, error)
        self._pool.setdefault(tx.sender, {})[tx.nonce] = tx
        return Outcome(tx.hash)

    def _check(self, tx: Any) -> None:
        state = self._state()
        nonce, balance = state.get_nonce(tx.sender), state.get_balance(tx.sender)
        waiting = self._pool.get(tx.sender, {})
        cost = tx.value + tx.gas * tx.max_fee_per_gas
        if tx.nonce < nonce:
            raise NodeError(-32000, f"nonce too low: next nonce {nonce}, tx nonce {tx.nonce}")
        if tx.nonce in waiting:
            same = waiting[tx.nonce].hash == tx.hash
            words = "already known" if same else "replacement transaction underpriced"
            raise NodeError(-32000, words)
        if tx.gas > BLOCK_GAS_MAX:
            raise NodeError(-32000, "exceeds block gas limit")
        if tx.gas < tx.intrinsic_gas:
            raise NodeError(
                -32000, f"intrinsic gas too low: gas {tx.gas}, minimum needed {tx.intrinsic_gas}"
            )
        if tx.max_fee_per_gas < self._next_header().base_fee_per_gas:
            raise NodeError(-32000, "max fee per gas less than block base fee")
        if balance < cost:
            raise NodeError(
                -32000,
                f"insufficient funds for gas * price + value: balance {balance}, tx cost {cost}",
            )
        full = sum(map(len, self._pool.values())) >= POOL_TXS_MAX
        if full or tx.nonce > nonce + POOL_NONCE_AHEAD_MAX:
            raise NodeError(-32000, "txpool is full")

    def _ready(self) -> list[Any]:
        state = self._state()
        ready: list[Any] = []
        for sender, waiting in self._pool.items():
            nonce = state.get_nonce(sender)
            while nonce in waiting:
                ready.append(waiting[nonce])
                nonce += 1
        return ready

    def _forget(self, tx: Any) -> None:
        waiting = self._pool[tx.sender]
        del waiting[tx.nonce]
        if not waiting:
            del self._pool[tx.sender]

    def _next_header(self) -> Any:
        # Headers must increment strictly (Ethereum's rule), the wall clock may stand or jump.
        timestamp = max(self._head.timestamp + 1, int(time.time()))
        return self._chain.create_header_from_parent(
            self._head, gas_limit=BLOCK_GAS_MAX, timestamp=timestamp
        )

    def _mine(self, ready: Sequence[Any], dropped: dict[bytes, NodeError]) -> None:
        """Execute what fits into one block and commit it; what does not fit stays pooled."""
        header = self._next_header()
        vm = self._chain.get_vm(header)
        done: list[Any] = []
        receipts: list[Any] = []
        contracts: list[bytes | None] = []
        skipped: set[bytes] = set()
        for tx in ready:
            if tx.sender in skipped:
                continue
            if header.gas_used + tx.gas > header.gas_limit:
                skipped.add(tx.sender)
                continue
            snapshot = vm.state.snapshot()
            try:
                receipt, _ = vm.apply_transaction(header, tx)
            except ValidationError as error:
                vm.state.revert(snapshot)
                dropped[tx.hash] = NodeError(-32000, str(error))
                skipped.add(tx.sender)
                self._forget(tx)
                continue
            header = vm.add_receipt_to_header(header, receipt)
            done.append(tx)
            receipts.append(receipt)
            contracts.append(generate_contract_address(tx.sender, tx.nonce) if not tx.to else None)
        if done:
            self._seal(vm, header, done, receipts, contracts)
        self._store.discard()

    def _seal(
        self,
        vm: Any,
        header: Any,
        txs: Sequence[Any],
        receipts: Sequence[Any],
        contracts: Sequence[bytes | None],
    ) -> BlockRow:
        filled = vm.set_block_transactions_and_withdrawals(
            vm.get_block(), header, tuple(txs), tuple(receipts)
        )
        block = vm.mine_block(filled).block
        self._chain.validate_block(block)
        self._chain.chaindb.persist_block(block)
        row = block_row(block, receipts, contracts, self._chain_id)
        self._store.commit(row)
        self._head = block.header
        for tx in txs:
            self._forget(tx)
        return row


def _decode(raw: bytes, chain_id: int) -> Any:
    """A signed transaction of type 0, 1 or 2 for this chain. Raises NodeError."""
    if raw[:1] in (b"\x03", b"\x04"):
        raise NodeError(-32000, "transaction type not supported")
    try:
        tx = PragueTransactionBuilder.decode(raw)
        tx.validate()
        sender = tx.sender
    except Exception as error:
        # py-evm and rlp raise a dozen unrelated classes for bytes that are no transaction.
        raise NodeError(-32000, f"invalid transaction: {error}") from error
    given = tx.chain_id
    if given is None:
        raise NodeError(-32000, "only replay-protected (EIP-155) transactions allowed over RPC")
    if given != chain_id:
        raise NodeError(
            -32000, f"invalid sender: invalid chain id for signer: have {given} want {chain_id}"
        )
    if len(sender) != 20:
        raise NodeError(-32000, "invalid sender")
    return tx
