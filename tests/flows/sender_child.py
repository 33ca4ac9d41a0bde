"""Senders that can be killed: real processes that anchor and post as the worker does.

Started as a module this is the parent of such processes: it reads one JSON order a line, forks, and
prints how the child ended (a negative signal number, or its exit code). A fork costs no start, so
that a hundred kills take no longer than a hundred cuts. The product has no hooks for this: the
child stands between the flows and their database and node, and kills itself at the step ordered.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from backend.chain import ChainAccess, ChainClient, ChainTx, NodeAway, open_keys
from backend.flows import post_points as posting
from backend.flows.anchor_log import anchor_log
from backend.flows.deploy_chain import access_chain
from backend.flows.post_points import PostSettings, post_points
from backend.kit.db import Database, Tx

COMMITS = {
    "_store_cut": "cut",
    "_prepare_anchor": "anchor",
    "_note": "note",
    "_close": "settle",
    "_sign_again": "sign-again",
}
"""The transactions that write, by the function that opens them."""

STEPS = (
    *("cut.uncommitted", "cut.committed", "anchor.uncommitted", "anchor.committed"),
    *("send.unsent", "send.unanswered", "note.uncommitted", "note.committed"),
    *("settle.uncommitted", "settle.committed"),
)
"""Every durable step of the sender: just before it is durable, and just after."""

ROUNDS_MAX = 1_000
AWAY_S = 0.02


@dataclass(frozen=True, slots=True)
class Order:
    """Where to work, when (each round is a second later), and where to die.

    `step` of STEPS for the `occurrence`-th time; "" = never. `broken` names a planted fault.
    """

    database: str
    rpc: str
    keys: str
    now: str
    step: str = ""
    occurrence: int = 1
    broken: str = ""
    accounts_max: int = 10


class Reaper:
    """Kills its own process the ordered time that a step is reached."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._seen = Counter[str]()

    def at(self, step: str) -> None:
        self._seen[step] += 1
        if step == self._order.step and self._seen[step] == self._order.occurrence:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalDatabase(Database):
    """Dies just before or just after a commit."""

    reaper: Reaper

    def transaction(self, **options: Any) -> Any:
        name = COMMITS.get(sys._getframe(1).f_code.co_name, "")
        return self._mortal("" if options.get("readonly") else name, options)

    @asynccontextmanager
    async def _mortal(self, name: str, options: dict[str, Any]) -> AsyncIterator[Tx]:
        async with super().transaction(**options) as tx:
            yield tx
            self.reaper.at(f"{name}.uncommitted")
        self.reaper.at(f"{name}.committed")


class MortalClient(ChainClient):
    """Dies just before the bytes leave, or with the answer on its way."""

    reaper: Reaper

    async def send_raw(self, raw: bytes) -> str:
        self.reaper.at("send.unsent")
        answer = await super().send_raw(raw)
        self.reaper.at("send.unanswered")
        return answer


async def work(order: Order) -> None:
    """One sender's life, as ordered. Raises TimeoutError."""
    db = await MortalDatabase.open(order.database, size=4)
    assert isinstance(db, MortalDatabase)
    db.reaper = Reaper(order)
    async with MortalClient(order.rpc) as client:
        client.reaper = db.reaper
        if order.broken == "sends before it is durable":
            send_before_commit(client)
        access = await access_chain(db, client, open_keys(Path(order.keys)))
        settings = PostSettings(accounts_max=order.accounts_max)
        await finish(db, access, datetime.fromisoformat(order.now), settings)
    await db.close()


async def finish(
    db: Database, access: ChainAccess, now: datetime, settings: PostSettings
) -> datetime:
    """Anchor and post, a second a round, until every sealed leaf is on the chain.

    Returns the instant of the last round. Raises TimeoutError.
    """
    for second in range(ROUNDS_MAX):
        at = now + timedelta(seconds=second)
        try:
            await anchor_log(db, access, at)
            await post_points(db, access, at, settings)
        except NodeAway:
            await asyncio.sleep(AWAY_S)
            continue
        if await nothing_left(db):
            return at
    raise TimeoutError(f"something is left after {ROUNDS_MAX} rounds")


def send_before_commit(client: ChainClient) -> None:
    """Break the sender: the bytes leave while nothing of them is durable yet."""
    prepare = posting.prepare

    async def hasty(tx: Tx, *args: Any, **options: Any) -> ChainTx:
        stored = await prepare(tx, *args, **options)
        await client.send_raw(stored.raw)
        return stored

    posting.prepare = hasty


async def nothing_left(db: Database) -> bool:
    """Whether the log is anchored and posted to its end and no transaction is open."""
    async with db.transaction(readonly=True) as tx:
        row = await tx.fetchrow(
            """SELECT (SELECT coalesce(max(size), 0) FROM checkpoint) AS sealed,
                      (SELECT coalesce(max(size), 0) FROM anchor
                       WHERE final_at IS NOT NULL) AS anchored,
                      (SELECT coalesce(max(leaf_to), 0) FROM post_cut
                       WHERE settled_at IS NOT NULL) AS posted,
                      (SELECT count(*) FROM chain_tx WHERE settled_at IS NULL) AS open"""
        )
    assert row is not None
    return row["sealed"] == row["anchored"] == row["posted"] and not row["open"]


def main() -> None:
    """Fork a child for each order; print how it ended."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(work(Order(**json.loads(line))))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
