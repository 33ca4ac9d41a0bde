"""The chart of accounts: every account the ledger knows, spelled in one place.

    programme:<id>:issued     where a programme's points come from; its output is what it issued
    citizen:<uuid>:points     what a person can spend, equal to the sum of their open lots
    citizen:<uuid>:debt       what a person owes after a reversal of spent points; never above 0
    class:<class>:reversed    where reversed points end
    class:<class>:expired     where lapsed points end
    class:<class>:redeemed    where spent points end
    class:<class>:erased      where the points of an erased person end
    rail:<id>:payers          the payers' side of a payment rail: its output is what they paid in
    rail:<id>:frozen          paid and not yet divided, held by the rail; never below 0
    party:<id>:payable        a party's part that the next payout sends; never below 0
    party:<id>:paid           a party's part that it has
    party:<id>:debt           what a party owes after a refund of money it had

An asset is `POINT/<class>`: whole points of one class, which never mix with another class's,
or `CNY`: fen.
"""

import re
from dataclasses import dataclass
from typing import Literal, cast
from uuid import UUID

Kind = Literal["programme", "citizen", "class", "rail", "party"]

MONEY = "CNY"
"""The asset of money; its amounts are fen."""


_ENDS = {
    "programme": ("issued",),
    "citizen": ("points", "debt"),
    "class": ("reversed", "expired", "redeemed", "erased"),
    "rail": ("payers", "frozen"),
    "party": ("payable", "paid", "debt"),
}
_ID = re.compile(r"[a-z][a-z0-9.-]{0,31}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Account:
    """An account read from its spelling: what it belongs to, whose it is, and what it holds."""

    kind: Kind
    owner: str
    holds: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.owner}:{self.holds}"


def parse(text: str) -> Account:
    """The account a spelling names. Raises ValueError if it is not in the chart."""
    kind, _, rest = text.partition(":")
    owner, _, holds = rest.rpartition(":")
    if holds not in _ENDS.get(kind, ()):
        raise ValueError(f"{text!r} is not in the chart of accounts")
    if kind == "citizen":
        if _UUID.fullmatch(owner) is None:
            raise ValueError(f"{owner!r} is not a citizen's id")
    elif _ID.fullmatch(owner) is None:
        raise ValueError(f"{owner!r} is not an id")
    return Account(cast("Kind", kind), owner, holds)


def asset(points_class: str) -> str:
    """Whole points of one class."""
    return f"POINT/{points_class}"


def programme_issued(programme_id: str) -> str:
    """Where a programme's points come from."""
    return f"programme:{programme_id}:issued"


def citizen_points(citizen_id: UUID) -> str:
    """What a person can spend."""
    return f"citizen:{citizen_id}:points"


def citizen_debt(citizen_id: UUID) -> str:
    """What a person owes: output − input of this account."""
    return f"citizen:{citizen_id}:debt"


def class_reversed(points_class: str) -> str:
    """Where reversed points of a class end."""
    return f"class:{points_class}:reversed"


def class_redeemed(points_class: str) -> str:
    """Where spent points of a class end."""
    return f"class:{points_class}:redeemed"


def class_expired(points_class: str) -> str:
    """Where lapsed points of a class end."""
    return f"class:{points_class}:expired"


def class_erased(points_class: str) -> str:
    """Where the points of people who asked to be erased end."""
    return f"class:{points_class}:erased"


def rail_payers(rail_id: str) -> str:
    """The payers' side of a payment rail."""
    return f"rail:{rail_id}:payers"


def rail_frozen(rail_id: str) -> str:
    """What was paid over a rail and is not divided yet."""
    return f"rail:{rail_id}:frozen"


def party_payable(party_id: str) -> str:
    """A party's part that the next payout sends."""
    return f"party:{party_id}:payable"


def party_paid(party_id: str) -> str:
    """A party's part that it has."""
    return f"party:{party_id}:paid"


def party_debt(party_id: str) -> str:
    """What a party owes after a refund: output − input of this account."""
    return f"party:{party_id}:debt"
