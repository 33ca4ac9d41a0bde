"""A party's own check of a parking statement: every line, their sum and the root, worked out anew.

Nothing here trusts the platform's figures or uses its code for them: the canonical lines, the tree
(SM3, shape of RFC 9162), the division by largest remainder and the text that is signed are made
from the file alone.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from backend.kit import canonical
from backend.kit.sm import Sm2PrivateKey
from backend.partner_client.statement import statement_root

_MEMBERS: set[str] = {
    *("format", "lot", "day", "part", "party", "account", "count", "total_fen", "root"),
    *("lines", "contracts", "tx", "cosignature"),
}
_LINE: set[str] = {
    *("amount_fen", "charge_fen", "contract", "day", "kind", "lot", "order", "party"),
    *("share_bp", "source"),
}


@dataclass(frozen=True, slots=True)
class ParkingCheck:
    """What came of checking a statement; `faults` name what is wrong, line by line."""

    lot: str
    day: str
    part: int
    party: str
    account: bytes
    count: int
    total_fen: int
    root: bytes
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether everything follows from the lines."""
        return not self.faults

    @property
    def text(self) -> bytes:
        """What is signed: made from our own count, sum and root."""
        return (
            f"tanhui-parking-statement-v1\n{self.lot}\n{self.day}\n{self.part}\n{self.party}\n"
            f"{self.count}\n{self.total_fen}\n{self.root.hex()}\n"
        ).encode()


def check_parking_statement(data: bytes) -> ParkingCheck:
    """Check a statement file. Raises ValueError when it is not one."""
    read: object = json.loads(data)
    if not isinstance(read, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - a wrong file, not a wrong call
    file = cast("dict[str, Any]", read)
    if set(file) != _MEMBERS:
        raise ValueError("not a tanhui-parking-statement-v1 file")
    faults: list[str] = []
    lines: list[dict[str, Any]] = file["lines"]
    contracts = {each["version"]: each for each in file["contracts"]}
    for n, line in enumerate(lines):
        faults += [f"第 {n} 行:{fault}" for fault in _line_faults(line, file, contracts)]
    if [line["source"] for line in lines] != sorted({line["source"] for line in lines}):
        faults.append("各行未按 source 升序排列或有重复")
    root = statement_root([canonical.dumps(line) for line in lines])
    total_fen = sum(int(line["amount_fen"]) for line in lines)
    stated = (file["count"], file["total_fen"], file["root"])
    if stated != (len(lines), total_fen, root.hex()):
        ours = (len(lines), total_fen, root.hex())
        faults.append(f"合计或根哈希不符:所列 {stated},由各行算得 {ours}")
    return ParkingCheck(
        lot=str(file["lot"]),
        day=str(file["day"]),
        part=int(file["part"]),
        party=str(file["party"]),
        account=bytes.fromhex(file["account"]),
        count=len(lines),
        total_fen=total_fen,
        root=root,
        faults=tuple(faults),
    )


def sign_parking_statement(check: ParkingCheck, key: Sm2PrivateKey) -> str:
    """The co-signature, base64 of DER. Raises ValueError for a statement that does not hold."""
    if not check.holds:
        raise ValueError("a statement that does not hold is not signed")
    return base64.b64encode(key.sign_der(check.text)).decode("ascii")


def _line_faults(
    line: dict[str, Any], file: dict[str, Any], contracts: Mapping[int, dict[str, Any]]
) -> list[str]:
    if set(line) != _LINE:
        return ["成员不全或有多余"]
    faults = [
        f"{name} 与对账单不同" for name in ("lot", "day", "party") if line[name] != file[name]
    ]
    contract = contracts.get(line["contract"])
    if contract is None:
        return [*faults, f"没有附合同第 {line['contract']} 版"]
    if line["kind"] == "refund":
        if line["amount_fen"] > 0:
            faults.append("退款行的金额应不大于 0")
    elif (wanted := _share_fen(line, contract)) is not None and wanted != line["amount_fen"]:
        faults.append(f"按份额应为 {wanted} 分,所列 {line['amount_fen']} 分")
    return faults


def _share_fen(line: dict[str, Any], contract: dict[str, Any]) -> int | None:
    """This party's part of the charge by the contract; None where a fen may go either way.

    A line's share is the contract's for this party, alone or together with the space owner's;
    whoever else stands in for the owner has the owner's alone. The fen of the remainder depends on
    who has two shares in one, so a line may lie one fen above the floor.
    """
    shares = {share["party"]: share["share_bp"] for share in contract["shares"]}
    owners_bp = shares.pop("space-owner", 0)
    own_bp = shares.get(line["party"], 0)
    floor_fen = line["charge_fen"] * line["share_bp"] // 10_000
    if line["share_bp"] not in {own_bp, own_bp + owners_bp} - {0}:
        return floor_fen if line["amount_fen"] != floor_fen else -1
    return None if line["amount_fen"] in (floor_fen, floor_fen + 1) else floor_fen
