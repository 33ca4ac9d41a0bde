"""Who gets how much of a charge: contracts as data, and the division that loses no fen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, NamedTuple

from backend.kit import canonical, needs
from backend.kit.needs import DocumentError
from backend.kit.sm import sm3

FORMAT = "tanhui-split-v1"
WHOLE_BP = 10_000
"""Shares are in basis points: 10,000 are the whole."""

SPACE_OWNER = "space-owner"
"""In a contract, the party that owns the space in which the car stood."""

Via = Literal["keep", "split", "payout"]
"""How a share reaches its party: it stays with the merchant of record, is split by the rail, or
is paid out by transfer on the next banking day."""


class Share(NamedTuple):
    """One party's part, in basis points of the charge."""

    party_id: str
    share_bp: int
    via: Via


@dataclass(frozen=True, slots=True)
class SplitContract:
    """A version of who gets what at a lot; `merchant_id` is the merchant of record."""

    lot: str
    version: int
    day_from: date
    day_to: date | None
    rail: str
    merchant_id: str
    without_space: str
    shares: tuple[Share, ...]
    document: bytes
    digest: bytes


def read_contract(document: bytes | Mapping[str, Any]) -> SplitContract:
    """Check a contract.

    Raises DocumentError: `not-json`, `bad-contract`, `bad-window`, `shares-not-whole`,
    `party-twice`, `merchant-keeps-nothing`.
    """
    if isinstance(document, bytes):
        try:
            content: Any = canonical.parse_event_json(document)
        except (canonical.NotJson, canonical.NotCanonical) as error:
            raise DocumentError("not-json", str(error)) from error
    else:
        content = document
    names = ("format", "lot", "version", "day_from", "day_to", "rail", "merchant")
    names += ("without_space", "shares")
    found = needs.members(content, names, "bad-contract")
    if found["format"] != FORMAT:
        raise DocumentError("bad-contract", f"the format is {FORMAT}")
    day_from, day_to = needs.window(found)
    merchant_id = needs.identifier(found["merchant"], "bad-contract")
    shares = tuple(_share(each) for each in needs.items(found["shares"], "bad-contract"))
    whole_bp = sum(share.share_bp for share in shares)
    if whole_bp != WHOLE_BP:
        raise DocumentError(
            "shares-not-whole", f"各方份额合计须为 10000 个基点(100%),现为 {whole_bp}"
        )
    if len({share.party_id for share in shares}) != len(shares):
        raise DocumentError("party-twice", "同一方在合同中出现了两次")
    kept = [share.party_id for share in shares if share.via == "keep"]
    if kept != [merchant_id]:
        raise DocumentError("merchant-keeps-nothing", "只有收款商户自己的份额写作 keep,且必须有")
    spelled = canonical.dumps(content)
    return SplitContract(
        lot=needs.identifier(found["lot"], "bad-contract"),
        version=needs.whole(found["version"], "bad-contract", least=1, most=2**31 - 1),
        day_from=day_from,
        day_to=day_to,
        rail=needs.identifier(found["rail"], "bad-contract"),
        merchant_id=merchant_id,
        without_space=needs.identifier(found["without_space"], "bad-contract"),
        shares=shares,
        document=spelled,
        digest=sm3(spelled),
    )


def _share(document: Any) -> Share:
    found = needs.members(document, ("party", "share_bp", "via"), "bad-contract")
    if found["via"] not in ("keep", "split", "payout"):
        raise DocumentError("bad-contract", "via is keep, split or payout")
    return Share(
        needs.identifier(found["party"], "bad-contract"),
        needs.whole(found["share_bp"], "bad-contract", least=1, most=WHOLE_BP),
        found["via"],
    )


def shares_for(contract: SplitContract, owner_id: str | None) -> tuple[Share, ...]:
    """The shares with the space's owner in their place; who has two gets them as one."""
    merged: dict[str, Share] = {}
    for share in contract.shares:
        party_id = share.party_id
        if party_id == SPACE_OWNER:
            party_id = owner_id or contract.without_space
        other = merged.get(party_id)
        if other is None:
            merged[party_id] = Share(party_id, share.share_bp, share.via)
        else:
            via = "keep" if "keep" in (other.via, share.via) else other.via
            merged[party_id] = Share(party_id, other.share_bp + share.share_bp, via)
    return tuple(merged.values())


def split_fen(amount_fen: int, shares: Sequence[Share], merchant_id: str) -> dict[str, int]:
    """Each party's part of a charge, by largest remainder; the parts add up to the charge.

    Everybody gets the floor of their share. The fen that are left go to the largest remainders,
    at equal remainders first to the merchant of record, then in the contract's order.
    """
    weights = [share.share_bp for share in shares]
    first = [share.party_id == merchant_id for share in shares]
    parts = _apportion(amount_fen, weights, first)
    return {share.party_id: part for share, part in zip(shares, parts, strict=True)}


def take_back_fen(amount_fen: int, held: Mapping[str, int], merchant_id: str) -> dict[str, int]:
    """How a refund falls on the parties, in proportion to what each still has of the charge.

    Nobody gives back more than they have, and a whole refund takes everything. Raises ValueError
    when more is asked for than all have together.
    """
    whole_fen = sum(held.values())
    if not 0 <= amount_fen <= whole_fen:
        raise ValueError(f"{amount_fen} fen of {whole_fen} cannot be given back")
    if amount_fen == 0:
        return dict.fromkeys(held, 0)
    parties = list(held)
    parts = _apportion(amount_fen, [held[p] for p in parties], [p == merchant_id for p in parties])
    return dict(zip(parties, parts, strict=True))


def _apportion(amount_fen: int, weights: Sequence[int], first: Sequence[bool]) -> list[int]:
    whole = sum(weights)
    parts = [amount_fen * weight // whole for weight in weights]
    rests = [amount_fen * weight % whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda n: (-rests[n], not first[n], n))
    for n in order[: amount_fen - sum(parts)]:
        parts[n] += 1
    return parts
