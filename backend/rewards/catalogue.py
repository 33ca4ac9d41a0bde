"""What points buy: rewards with price and stock, who may buy, and the codes kept to hand out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from backend.kit.db import Row, Tx
from backend.kit.ids import new_ids
from backend.kit.vault import Vault

Kind = Literal["coupon", "transit", "ecny", "tree"]
OWN_CODES = "codes"
"""The supplier's name of rewards whose codes lie in our own stock."""


@dataclass(frozen=True, slots=True)
class Reward:
    """One entry of the catalogue; `face_fen` is what it is worth in money, if anything."""

    reward_id: str
    name: str
    kind: Kind
    supplier: str
    points_class: str
    price_points: int
    face_fen: int | None
    stock: int
    per_person: int | None
    valid_days: int | None
    terms: str
    day_from: date
    day_to: date | None
    refundable: bool

    def on_offer(self, day: date) -> bool:
        """Whether it may be bought on a city day, stock aside."""
        return self.day_from <= day and (self.day_to is None or day < self.day_to)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the law of a place lets happen to points of a class."""

    points_class: str
    jurisdiction: str
    debit: Literal["holder", "nobody"]
    cash_out: bool


_COLUMNS = (
    "reward_id, name, kind, supplier, class AS points_class, price_points, face_fen, stock,"
    " per_person, valid_days, terms, day_from, day_to, refundable"
)


def code_context(code_id: UUID) -> bytes:
    """What a sealed code of our stock is bound to."""
    return f"reward-code/{code_id}".encode()


async def offer(tx: Tx, reward: Reward, at: datetime) -> None:
    """Enter a reward, or change everything but its stock."""
    await tx.execute(
        """INSERT INTO reward (reward_id, name, kind, supplier, class, price_points, face_fen,
               stock, per_person, valid_days, terms, day_from, day_to, refundable, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
           ON CONFLICT (reward_id) DO UPDATE
           SET name = $2, kind = $3, supplier = $4, class = $5, price_points = $6, face_fen = $7,
               per_person = $9, valid_days = $10, terms = $11, day_from = $12, day_to = $13,
               refundable = $14""",
        reward.reward_id,
        reward.name,
        reward.kind,
        reward.supplier,
        reward.points_class,
        reward.price_points,
        reward.face_fen,
        reward.stock,
        reward.per_person,
        reward.valid_days,
        reward.terms,
        reward.day_from,
        reward.day_to,
        reward.refundable,
        at,
    )


async def rewards_on_offer(
    tx: Tx, day: date, *, after: str | None = None, limit: int = 200
) -> list[Reward]:
    """The catalogue of a city day in the order of ids, sold-out rewards included."""
    rows = await tx.fetch(
        f"""SELECT {_COLUMNS} FROM reward
            WHERE day_from <= $1 AND (day_to IS NULL OR day_to > $1)
              AND ($2::text IS NULL OR reward_id > $2)
            ORDER BY reward_id LIMIT $3""",  # noqa: S608 - constants only
        day,
        after,
        limit,
    )
    return [_reward(row) for row in rows]


async def all_rewards(tx: Tx) -> list[Reward]:
    """Every reward in the order of ids, also those not on offer."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM reward ORDER BY reward_id"  # noqa: S608 - constants only
    )
    return [_reward(row) for row in rows]


async def reward_of(tx: Tx, reward_id: str) -> Reward | None:
    """A reward by its id, or None."""
    row = await tx.fetchrow(
        f"SELECT {_COLUMNS} FROM reward WHERE reward_id = $1",  # noqa: S608 - constants only
        reward_id,
    )
    return None if row is None else _reward(row)


async def take_from_stock(tx: Tx, reward_id: str) -> bool:
    """Promise one; False when none is left. The last write before a commit: the row is shared."""
    tag = await tx.execute(
        "UPDATE reward SET stock = stock - 1 WHERE reward_id = $1 AND stock > 0", reward_id
    )
    return tag == "UPDATE 1"


async def give_to_stock(tx: Tx, reward_id: str, count: int = 1) -> None:
    """`count` more may be promised."""
    await tx.execute("UPDATE reward SET stock = stock + $2 WHERE reward_id = $1", reward_id, count)


async def load_codes(
    tx: Tx, vault: Vault, reward_id: str, codes: Sequence[str], at: datetime
) -> None:
    """Put codes into our own stock, sealed; the reward's stock grows by as many."""
    ids = new_ids(len(codes))
    await tx.copy(
        "reward_code",
        ("code_id", "reward_id", "code_sealed", "loaded_at"),
        [
            (code_id, reward_id, vault.seal(code.encode(), code_context(code_id)), at)
            for code_id, code in zip(ids, codes, strict=True)
        ],
    )
    await give_to_stock(tx, reward_id, len(codes))


async def draw_code(tx: Tx, vault: Vault, reward_id: str, redemption_id: UUID) -> str | None:
    """The code of our stock that this redemption gets, the same one if asked again; None if out.

    Two redemptions at once never draw the same one and never wait for each other.
    """
    row = await tx.fetchrow(
        "SELECT code_id, code_sealed FROM reward_code WHERE redemption_id = $1", redemption_id
    )
    if row is None:
        row = await tx.fetchrow(
            """UPDATE reward_code SET redemption_id = $2
               WHERE code_id = (SELECT code_id FROM reward_code
                                WHERE reward_id = $1 AND redemption_id IS NULL
                                ORDER BY code_id LIMIT 1 FOR UPDATE SKIP LOCKED)
               RETURNING code_id, code_sealed""",
            reward_id,
            redemption_id,
        )
    if row is None:
        return None
    return vault.open_sealed(row["code_sealed"], code_context(row["code_id"])).decode()


async def set_policy(tx: Tx, policy: Policy, at: datetime) -> None:
    """Say what may happen to points of a class."""
    await tx.execute(
        """INSERT INTO points_policy (class, jurisdiction, debit, cash_out, set_at)
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (class) DO UPDATE
           SET jurisdiction = $2, debit = $3, cash_out = $4, set_at = $5""",
        policy.points_class,
        policy.jurisdiction,
        policy.debit,
        policy.cash_out,
        at,
    )


async def policies(tx: Tx) -> dict[str, Policy]:
    """The policies that were set, by class."""
    rows = await tx.fetch(
        "SELECT class AS points_class, jurisdiction, debit, cash_out FROM points_policy"
    )
    return {row["points_class"]: Policy(**row) for row in rows}


def refusal_of(reward: Reward, policy: Policy | None) -> str | None:
    """Why points of the reward's class may not buy it, or None.

    A class nobody has set a policy for may be spent by its holder and not turned into money.
    """
    if policy is not None and policy.debit == "nobody":
        return "class-not-redeemable"
    if reward.kind == "ecny" and (policy is None or not policy.cash_out):
        return "no-cash-out"
    return None


def _reward(row: Row) -> Reward:
    return Reward(**row)
