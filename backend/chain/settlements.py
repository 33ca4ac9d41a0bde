"""`ParkingSettlement` as plain bytes: settlements, statements and disputes, and answers decoded.

A settlement is named by its head; the contract computes the id. The same head with the same records
again changes nothing, with other records it reverts. Nothing here talks to a node.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

from backend.chain.contracts import selector

PARTY_BYTES, RECORD_BYTES = 20, 64
PARTIES_MAX = 700
NET_FEN_MAX = 2**63 - 1
LINES_MAX = 2**32 - 1

NOT_DISPUTED, OPEN, REJECTED, UPHELD = 0, 1, 2, 3

_SETTLE_GAS, _PARTY_GAS = 200_000, 48_800

_HEAD_TYPE = "(bytes32,uint32,uint32,bytes32)"
_DOMAIN = b"tanhui-settlement-v1".ljust(32, b"\0")
_LINE_TYPES = ["bytes32", "bytes20", "uint32"]


@dataclass(frozen=True, slots=True)
class SettlementHead:
    """Whose charges of which day are split.

    `scope` 32 bytes, not zero (padded ASCII or a digest); `day` in days since 1970-01-01; `part`
    from 0, further parts and corrections of that day count on; `corrects` the id of the
    settlement that this one corrects, else zeros.
    """

    scope: bytes
    day: int
    part: int
    corrects: bytes = bytes(32)

    def words(self) -> tuple[Any, ...]:
        """The fields as the ABI wants them."""
        return (self.scope, self.day, self.part, self.corrects)


@dataclass(frozen=True, slots=True)
class PartyStatement:
    """What a settlement says of a party: account of 20 bytes, lines ≥ 1, net in fen, SM3 root.

    A positive net is received. The nets of a settlement sum to zero.
    """

    party: bytes
    line_count: int
    net_fen: int
    root: bytes


def settlement_id(chain_id: int, contract: str, head: SettlementHead) -> bytes:
    """The 32-byte id that ParkingSettlement at `contract` gives to a settlement with that head."""
    return keccak(
        encode(
            ["bytes32", "uint256", "address", _HEAD_TYPE],
            [_DOMAIN, chain_id, contract, head.words()],
        )
    )


def make_statements(statements: Sequence[PartyStatement]) -> bytes:
    """Records of a settlement, sorted by party here.

    Raises ValueError when the nets do not sum to zero, a party occurs twice or is zero, a
    statement has no line or no root, there are none or more than PARTIES_MAX.
    """
    if not 0 < len(statements) <= PARTIES_MAX:
        raise ValueError(f"a settlement has 1 to {PARTIES_MAX} parties, not {len(statements)}")
    if len({each.party for each in statements}) != len(statements):
        raise ValueError("a party occurs twice")
    if (total := sum(each.net_fen for each in statements)) != 0:
        raise ValueError(f"the parties' nets sum to {total} fen, not to zero")
    for each in statements:
        if len(each.party) != PARTY_BYTES or len(each.root) != 32:
            raise ValueError("a party has 20 bytes and a root 32")
        if not any(each.party) or not any(each.root) or not 0 < each.line_count <= LINES_MAX:
            raise ValueError(f"{each.party.hex()}: no account, no root or no lines")
    return b"".join(
        each.party
        + each.line_count.to_bytes(4, "big")
        + each.net_fen.to_bytes(8, "big", signed=True)
        + each.root
        for each in sorted(statements, key=lambda each: each.party)
    )


def read_statements(records: bytes) -> list[PartyStatement]:
    """The statements in records. Raises ValueError for another length."""
    if len(records) % RECORD_BYTES:
        raise ValueError("records are 64 bytes each")
    found: list[PartyStatement] = []
    for at in range(0, len(records), RECORD_BYTES):
        record = records[at : at + RECORD_BYTES]
        found.append(
            PartyStatement(
                party=record[:20],
                line_count=int.from_bytes(record[20:24], "big"),
                net_fen=int.from_bytes(record[24:32], "big", signed=True),
                root=record[32:],
            )
        )
    return found


def content_hash(records: bytes) -> bytes:
    """What the contract keeps of the records: their keccak256."""
    return keccak(records)


def settle_input(head: SettlementHead, records: bytes) -> bytes:
    """Input of `settle`, for a sender's key."""
    return selector(f"settle({_HEAD_TYPE},bytes)") + encode(
        [_HEAD_TYPE, "bytes"], [head.words(), records]
    )


def settle_gas(party_count: int) -> int:
    """Gas to allow for a settlement of that many parties; measured 47,500 a party (gas.json)."""
    return _SETTLE_GAS + _PARTY_GAS * party_count


def parties_at_once(tx_gas_max: int) -> int:
    """How many parties a settlement may have where a transaction may use that much gas."""
    return min(PARTIES_MAX, (tx_gas_max - _SETTLE_GAS) // _PARTY_GAS)


def open_dispute_input(settlement: bytes, party: bytes, line: int, claim: bytes) -> bytes:
    """Input of `openDispute`, for a sender's key; `claim`: digest of what the party signed."""
    return selector("openDispute(bytes32,bytes20,uint32,bytes32)") + encode(
        [*_LINE_TYPES, "bytes32"], [settlement, party, line, claim]
    )


def resolve_dispute_input(
    settlement: bytes,
    party: bytes,
    line: int,
    *,
    upheld: bool,
    decision: bytes,
    correction: bytes = bytes(32),
) -> bytes:
    """Input of `resolveDispute`, for the government's key.

    `decision` is the digest of the decision; an upheld dispute names the settlement that
    corrects the disputed one.
    """
    return selector("resolveDispute(bytes32,bytes20,uint32,bool,bytes32,bytes32)") + encode(
        [*_LINE_TYPES, "bool", "bytes32", "bytes32"],
        [settlement, party, line, upheld, decision, correction],
    )


DISPUTE_GAS = 250_000
"""Gas to allow for opening or resolving one dispute."""


def set_window_input(window_s: int) -> bytes:
    """Input of `setDisputeWindow`, for the government's key."""
    return selector("setDisputeWindow(uint32)") + encode(["uint32"], [window_s])


@dataclass(frozen=True, slots=True)
class Settled:
    """What the contract knows of a settlement; times in seconds of block time, volume in fen."""

    content: bytes
    party_count: int
    settled_at: int
    disputable_until: int
    block: int
    disputes_open: int
    volume_fen: int
    corrects: bytes


def settlement_call(settlement: bytes) -> bytes:
    """Input of `settlement(bytes32)`."""
    return selector("settlement(bytes32)") + encode(["bytes32"], [settlement])


def read_settlement(output: bytes) -> Settled | None:
    """Decode `settlement`; None when there is none with that id."""
    words = decode(
        ["bytes32", "uint16", "uint40", "uint40", "uint32", "uint32", "uint96", "bytes32"], output
    )
    return Settled(*words) if words[1] else None


def statement_call(settlement: bytes, party: bytes) -> bytes:
    """Input of `statementOf(bytes32,bytes20)`."""
    return selector("statementOf(bytes32,bytes20)") + encode(
        ["bytes32", "bytes20"], [settlement, party]
    )


def read_statement(output: bytes, party: bytes) -> tuple[PartyStatement, int] | None:
    """Decode `statementOf`: the statement and its open disputes; None when there is none."""
    root, net_fen, line_count, disputes_open = decode(
        ["bytes32", "int64", "uint32", "uint32"], output
    )
    if not line_count:
        return None
    return PartyStatement(party, line_count, net_fen, root), disputes_open


@dataclass(frozen=True, slots=True)
class Dispute:
    """A disputed line: digests, times in seconds of block time, state OPEN, REJECTED or UPHELD."""

    claim: bytes
    decision: bytes
    correction: bytes
    opened_at: int
    resolved_at: int
    state: int


def dispute_call(settlement: bytes, party: bytes, line: int) -> bytes:
    """Input of `disputeOf(bytes32,bytes20,uint32)`."""
    return selector("disputeOf(bytes32,bytes20,uint32)") + encode(
        _LINE_TYPES, [settlement, party, line]
    )


def read_dispute(output: bytes) -> Dispute | None:
    """Decode `disputeOf`; None for a line that was never disputed."""
    words = decode(["bytes32", "bytes32", "bytes32", "uint40", "uint40", "uint8"], output)
    return None if words[5] == NOT_DISPUTED else Dispute(*words)


def is_final_call(settlement: bytes) -> bytes:
    """Input of `isFinal(bytes32)`: the window is over and no dispute open; one word, 0 or 1."""
    return selector("isFinal(bytes32)") + encode(["bytes32"], [settlement])
