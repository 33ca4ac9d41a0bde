"""A party's statement, byte for byte: its lines, the root over them, and what is co-signed.

line       canonical JSON of the ten members below
leaf hash  SM3(0x00 ‖ line); the tree is the one of docs/formats.md §4, lines in the order of
`source`
text       tanhui-parking-statement-v1 LF lot LF day LF part LF party LF count LF total_fen LF
root (hex) LF
"""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from backend.kit.sm import sm3_after

_leaf = sm3_after(b"\x00")


@dataclass(frozen=True, slots=True)
class Line:
    """One party's part of a charge (`amount_fen` ≥ 0) or of a refund (≤ 0)."""

    order_id: UUID
    source_id: UUID
    contract_version: int
    share_bp: int
    charge_fen: int
    amount_fen: int

    @property
    def kind(self) -> str:
        """`share` of a charge or `refund`."""
        return "share" if self.source_id == self.order_id else "refund"

    def document(self, key: "StatementKey") -> dict[str, Any]:
        """The members of the line."""
        return {
            "amount_fen": self.amount_fen,
            "charge_fen": self.charge_fen,
            "contract": self.contract_version,
            "day": key.day.isoformat(),
            "kind": self.kind,
            "lot": key.lot_id,
            "order": str(self.order_id),
            "party": key.party_id,
            "share_bp": self.share_bp,
            "source": str(self.source_id),
        }


@dataclass(frozen=True, slots=True)
class StatementKey:
    """Whose statement of which day at which lot; `part` from 0 as late money comes in."""

    lot_id: str
    day: date
    part: int
    party_id: str


def leaf_hash(key: StatementKey, line: Line) -> bytes:
    """The leaf of a line.

    Written out instead of encoded: a day has a hundred thousand lines, and every value is an
    integer, an id, a day or a UUID, which are spelled in JSON as they are. A test holds it
    against the canonical encoder.
    """
    return _leaf(
        (
            f'{{"amount_fen":{line.amount_fen},"charge_fen":{line.charge_fen},'
            f'"contract":{line.contract_version},"day":"{key.day}","kind":"{line.kind}",'
            f'"lot":"{key.lot_id}","order":"{line.order_id}","party":"{key.party_id}",'
            f'"share_bp":{line.share_bp},"source":"{line.source_id}"}}'
        ).encode()
    )


def cosigned_text(key: StatementKey, count: int, total_fen: int, root: bytes) -> bytes:
    """What a party signs."""
    return (
        f"tanhui-parking-statement-v1\n{key.lot_id}\n{key.day}\n{key.part}\n{key.party_id}\n"
        f"{count}\n{total_fen}\n{root.hex()}\n"
    ).encode()
