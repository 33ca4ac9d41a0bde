"""A complete forged installation: the same software, the same name, other keys.

It runs its own database, node, contracts, log and officials under the genuine issuer's id and
chain id, awards points that never were, and issues a receipt that is sound in itself. Only what a
stranger pinned before tells it apart. That is the attack a receipt has to survive, so the demo
carries it out instead of describing it.
"""

import asyncio
import json
import secrets
import shutil
import socket
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from backend import methodology, partners
from backend.chain import ChainClient, open_access, open_keys, recorded_deployments
from backend.demo import city, founding
from backend.demo.installation import Installation, bring_up
from backend.flows.anchor_log import anchor_log
from backend.flows.award_points import award_once
from backend.flows.issue_receipt import issue_receipt
from backend.flows.post_points import post_points
from backend.flows.publish_trust import publish_trust
from backend.flows.record_events import Terms, record_events
from backend.flows.seal_log import seal_once
from backend.kit import pg
from backend.kit.clock import to_text
from backend.kit.services import Services
from backend.kit.settings import Settings
from backend.partners import SignedRequest

ROUNDS_MAX = 200
FORGE_S_MAX = 60


@dataclass(frozen=True, slots=True)
class Forgery:
    """What the forger hands out: a receipt, a trust file of their own, and a node that agrees."""

    receipt: bytes
    trust: bytes
    rpc_url: str


class Forger:
    """Forges in the background, because starting a whole installation takes seconds.

    Leaving the `with` block ends the forged installation; its files go too.
    """

    def __init__(self, genuine: Settings) -> None:
        self._settings = genuine.model_copy(
            update={
                "var": genuine.var / "forged",
                "port": _free_port(),
                "rpc_url": f"http://127.0.0.1:{_free_port()}",
                "database_url": "",
                "owner_database_url": None,
            }
        )
        self._installation: Installation | None = None
        self._forgery: Forgery | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="forger", daemon=True)

    def __enter__(self) -> Self:
        self._clear()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.join()
        if self._installation is not None:
            self._installation.stop()
        self._clear()

    def forgery(self) -> Forgery:
        """Wait for the forged receipt. Raises what went wrong while forging."""
        self._thread.join(FORGE_S_MAX)
        if self._forgery is None:
            raise RuntimeError(f"nothing was forged: {self._error!r}")
        return self._forgery

    def _clear(self) -> None:
        if self._settings.var.exists():
            pg.destroy(self._settings.var)
            shutil.rmtree(self._settings.var)

    def _run(self) -> None:
        try:
            self._installation = bring_up(self._settings, _silent, api=False)
            self._forgery = asyncio.run(self._forge(self._installation))
        except Exception as error:  # noqa: BLE001 — told to whoever asks for the forgery
            self._error = error

    async def _forge(self, installation: Installation) -> Forgery:
        papers = self._settings.var / "demo" / "city.json"
        holdings = city.load_or_draw(papers, city.FEWEST_OFFICES)
        await founding.deploy(installation, _silent)
        sign_ins = await founding.found(installation, holdings, _silent)
        async with founding.open_services(installation) as (services, client):
            await _record_a_trip_that_never_was(services, sign_ins[0])
            receipt = await _bring_to_the_chain(services, client)
            trust = await publish_trust(
                services.db, services.vault, services.settings, services.clock
            )
        return Forgery(receipt, trust.document, self._settings.chain_rpc_url)


async def _record_a_trip_that_never_was(services: Services, sign_in: dict[str, Any]) -> None:
    event = {
        "specversion": "1.0",
        "id": f"forged-{secrets.token_hex(8)}",
        "source": "/gates",
        "type": city.METRO,
        "time": to_text(services.clock.now()),
        "subject": sign_in["subjects"][0]["token"],
        "data": {"distance_m": 30_000},
    }
    body = json.dumps([event]).encode()
    async with services.db.transaction() as tx:
        partner = await partners.load_partner(tx, services.vault, sign_in["partner_id"])
    if partner is None:
        raise RuntimeError("the forged city has no partner")
    terms = Terms.of(methodology.scenarios(), city_tz=services.settings.city_tz, production=False)
    # Who owns the installation needs no partner's signature to write that there was one.
    vouched = SignedRequest(partner.partner_id, "forged-upload", "v1s2", sign_in["key_id"])
    await record_events(
        services.db, services.vault, services.clock, terms, partner, vouched, sent=body, data=body
    )


async def _bring_to_the_chain(services: Services, client: ChainClient) -> bytes:
    """Award, seal, anchor and post until the forged trip's receipt can be issued."""
    db, clock, settings = services.db, services.clock, services.settings
    async with db.transaction() as tx:
        deployments = await recorded_deployments(tx)
    access = await open_access(client, open_keys(settings.keys_dir), deployments)
    await award_once(db, services.vault, clock)
    await seal_once(db, services.vault, settings, clock)
    for _ in range(ROUNDS_MAX):
        await anchor_log(db, access, clock.now())
        await post_points(db, access, clock.now())
        async with db.transaction(readonly=True) as tx:
            transfer = await tx.fetchval(
                """SELECT l.ref FROM leaf l JOIN post_cut c
                       ON l.index >= c.leaf_from AND l.index < c.leaf_to
                   WHERE l.kind = 1 AND c.settled_at IS NOT NULL
                     AND l.index < (SELECT max(size) FROM anchor WHERE final_at IS NOT NULL)
                   LIMIT 1"""
            )
            if transfer is not None:
                return await issue_receipt(tx, settings, transfer)
        await asyncio.sleep(0.05)
    raise RuntimeError("the forged points did not reach the forged chain")


def _silent(_mark: str, _sentence: str) -> None:
    """The forger works quietly."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
