"""Can the rail execute this contract? If not, why, and which one could it execute instead."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from backend.payments.rail import RailLimits


class Part(NamedTuple):
    """A share of a contract: `via` keep (the merchant of record), split, or payout (T+1)."""

    party_id: str
    share_bp: int
    via: str


@dataclass(frozen=True, slots=True)
class Flaw:
    """What the rail cannot do: `name` is the kebab-case reason, `detail` is for people."""

    name: str
    detail: str


def lint(
    parts: Sequence[Part], merchant_id: str, merchants: Collection[str], limits: RailLimits
) -> list[Flaw]:
    """What in a contract the rail cannot execute; empty if it can.

    `merchants` are the parties with a merchant account at the rail.
    """
    flaws: list[Flaw] = []
    split = [part for part in parts if part.via == "split"]
    split_bp = sum(part.share_bp for part in split)
    if merchant_id not in merchants:
        flaws.append(
            Flaw("merchant-has-no-account", f"收款商户 {merchant_id} 在支付渠道没有商户号")
        )
    if split_bp > limits.split_bp_max:
        flaws.append(
            Flaw(
                "split-too-large",
                f"分账合计 {_percent(split_bp)},支付渠道上限 {_percent(limits.split_bp_max)}",
            )
        )
    if len(split) > limits.receivers_max:
        flaws.append(
            Flaw("too-many-receivers", f"分账接收方 {len(split)} 个,上限 {limits.receivers_max} 个")
        )
    flaws += [
        Flaw(
            "split-not-returnable",
            f"{part.party_id} 不是商户,退款时支付渠道无法从其账户回退分账,须改为次日付款",
        )
        for part in split
        if part.party_id not in merchants
    ]
    return flaws


def propose(
    parts: Sequence[Part], merchant_id: str, merchants: Collection[str], limits: RailLimits
) -> tuple[str, list[Part]] | None:
    """(merchant of record, parts) that keep everybody's share and that the rail can execute.

    A merchant of record without an account gives way to the party with the largest share that
    has one; whoever the rail cannot split to is paid on the next banking day, and then the
    largest shares, until what is left fits. None if no party has a merchant account.
    """
    able = [part for part in parts if part.party_id in merchants]
    if not able:
        return None
    chosen = merchant_id
    if chosen not in merchants:
        chosen = max(able, key=lambda part: part.share_bp).party_id
    made: list[Part] = []
    for part in parts:
        if part.party_id == chosen:
            via = "keep"
        elif part.via == "split" and part.party_id in merchants:
            via = "split"
        else:
            via = "payout"
        made.append(Part(part.party_id, part.share_bp, via))
    while lint(made, chosen, merchants, limits):
        largest = max(
            (n for n, part in enumerate(made) if part.via == "split"),
            key=lambda n: made[n].share_bp,
        )
        made[largest] = made[largest]._replace(via="payout")
    return chosen, made


def _percent(share_bp: int) -> str:
    return f"{share_bp // 100}.{share_bp % 100:02d} %"
