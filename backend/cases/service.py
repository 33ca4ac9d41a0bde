"""Cases in the database: opened, taken, decided once, with every step kept."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from backend.kit.db import Row, Tx
from backend.kit.ids import new_id
from backend.kit.vault import Vault

Kind = Literal["appeal", "correction", "clawback"]
AboutKind = Literal["activity", "redemption", "movement", "data"]
Outcome = Literal["upheld", "rejected"]
Remedy = Literal["none", "partner", "refund", "reverse"]

CITIZEN = "citizen"
"""The actor of a step that the citizen took."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case; `words` are the citizen's, None once erased and in an official's clawback."""

    case_id: UUID
    kind: Kind
    citizen_id: UUID
    about_kind: AboutKind
    about: UUID | None
    words: str | None
    state: Literal["open", "decided", "withdrawn"]
    officer: str | None
    deadline: date
    opened_at: datetime
    outcome: Outcome | None
    reason: str | None
    remedy: Remedy | None
    counter_transfer: UUID | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class Step:
    """What happened to a case: `act` is opened, taken, proposed, decided or withdrawn."""

    at: datetime
    actor: str
    act: str
    words: str | None


_COLUMNS = (
    "case_id, kind, citizen_id, about_kind, about, words_sealed, state, officer, deadline,"
    " opened_at, outcome, reason, remedy, counter_transfer, decided_at"
)


def _context(case_id: UUID) -> bytes:
    return f"case-words/{case_id}".encode()


async def open_case(
    tx: Tx,
    vault: Vault,
    *,
    kind: Kind,
    citizen_id: UUID,
    about_kind: AboutKind,
    about: UUID | None,
    words: str | None,
    deadline: date,
    at: datetime,
) -> UUID | None:
    """Open a case; None where one of that kind about the same thing is open already."""
    case_id = new_id()
    sealed = None if words is None else vault.seal(words.encode(), _context(case_id))
    return await tx.fetchval(
        """INSERT INTO case_file (case_id, kind, citizen_id, about_kind, about, words_sealed,
               state, deadline, opened_at)
           VALUES ($1, $2, $3, $4, $5, $6, 'open', $7, $8)
           ON CONFLICT (kind, about) WHERE state = 'open' AND about IS NOT NULL DO NOTHING
           RETURNING case_id""",
        case_id,
        kind,
        citizen_id,
        about_kind,
        about,
        sealed,
        deadline,
        at,
    )


async def add_step(
    tx: Tx, case_id: UUID, actor: str, act: str, words: str | None, at: datetime
) -> None:
    """Keep what happened. The caller holds the case's row or has just made it."""
    await tx.execute(
        """INSERT INTO case_step (case_id, n, at, actor, act, words)
           SELECT $1, count(*), $2, $3, $4, $5 FROM case_step WHERE case_id = $1""",
        case_id,
        at,
        actor,
        act,
        words,
    )


async def case_of(
    tx: Tx, vault: Vault, case_id: UUID, *, citizen_id: UUID | None = None, lock: bool = False
) -> Case | None:
    """A case, of that citizen if one is named; `lock` holds its row until `tx` ends."""
    row = await tx.fetchrow(
        f"""SELECT {_COLUMNS} FROM case_file
            WHERE case_id = $1 AND ($2::uuid IS NULL OR citizen_id = $2)
            {"FOR UPDATE" if lock else ""}""",  # noqa: S608 - constants only
        case_id,
        citizen_id,
    )
    return None if row is None else _case(row, vault)


async def cases_of(
    tx: Tx, vault: Vault, citizen_id: UUID, *, before: UUID | None, limit: int
) -> list[Case]:
    """A citizen's cases, newest first, opened before the case `before`."""
    rows = await tx.fetch(
        f"""SELECT {_COLUMNS} FROM case_file
            WHERE citizen_id = $1 AND ($2::uuid IS NULL OR case_id < $2)
            ORDER BY case_id DESC LIMIT $3""",  # noqa: S608 - constants only
        citizen_id,
        before,
        limit,
    )
    return [_case(row, vault) for row in rows]


async def cases_by_state(
    tx: Tx, vault: Vault, state: str, *, before: UUID | None, limit: int
) -> list[Case]:
    """Every case in a state, newest first, opened before the case `before`."""
    rows = await tx.fetch(
        f"""SELECT {_COLUMNS} FROM case_file
            WHERE state = $1 AND ($2::uuid IS NULL OR case_id < $2)
            ORDER BY case_id DESC LIMIT $3""",  # noqa: S608 - constants only
        state,
        before,
        limit,
    )
    return [_case(row, vault) for row in rows]


async def steps_of(tx: Tx, case_id: UUID) -> list[Step]:
    """The steps of a case, in order."""
    rows = await tx.fetch(
        "SELECT at, actor, act, words FROM case_step WHERE case_id = $1 ORDER BY n", case_id
    )
    return [Step(**row) for row in rows]


async def count_open(tx: Tx, citizen_id: UUID) -> int:
    """How many cases of a citizen are open."""
    return int(
        await tx.fetchval(
            "SELECT count(*) FROM case_file WHERE citizen_id = $1 AND state = 'open'", citizen_id
        )
    )


async def assign(tx: Tx, case_id: UUID, officer: str) -> None:
    """Who works on a case."""
    await tx.execute("UPDATE case_file SET officer = $2 WHERE case_id = $1", case_id, officer)


async def end(
    tx: Tx,
    case_id: UUID,
    *,
    outcome: Outcome | None,
    reason: str | None,
    remedy: Remedy | None,
    counter_transfer: UUID | None,
    at: datetime,
) -> None:
    """The case is decided, or withdrawn where there is no outcome."""
    await tx.execute(
        """UPDATE case_file
           SET state = CASE WHEN $2::text IS NULL THEN 'withdrawn' ELSE 'decided' END,
               outcome = $2, reason = $3, remedy = $4, counter_transfer = $5, decided_at = $6
           WHERE case_id = $1""",
        case_id,
        outcome,
        reason,
        remedy,
        counter_transfer,
        at,
    )


def _case(row: Row, vault: Vault) -> Case:
    values = dict(row)
    sealed = values.pop("words_sealed")
    words = None
    if sealed is not None:
        words = vault.open_sealed(sealed, _context(values["case_id"])).decode()
    return Case(words=words, **values)
