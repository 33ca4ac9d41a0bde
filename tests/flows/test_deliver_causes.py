"""Goal: partners are told of refusals, confirmations, reversals and withdrawals, once and thinly.

Method: the award flow, the log with planted anchors, the citizens' door; the deliveries as stored.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from backend import methodology
from backend.flows import notice_awards
from backend.flows.notice_awards import tell_confirmed
from backend.flows.reverse_points import reverse_points
from backend.kit.db import Database
from backend.kit.services import Services
from backend.kit.sm import sm3
from tests.doors.door_world import City, open_city, trip
from tests.evidence.builders import a_town
from tests.flows.notice_world import Office, an_office

URL = "http://127.0.0.1:9000/"


@pytest.fixture
def services(db, vault, clock, settings) -> Services:
    return Services(db=db, clock=clock, settings=settings, vault=vault)


@pytest.fixture
async def city(services: Services):
    async with open_city(services) as city:
        yield city


@pytest.fixture
def office(db: Database, vault) -> Office:
    return an_office(db, vault)


async def told(office: Office) -> list[tuple[str, dict[str, Any]]]:
    """Type and data of everything told, oldest first, after checking that it names nobody."""
    made = []
    for row in await office.told():
        document = msgspec.json.decode(row["body"])
        assert len(row["body"]) <= 20_000
        assert document["type"] == row["type"]
        made.append((row["type"], document["data"]))
    people = await office.rows("SELECT citizen_id::text AS id FROM citizen")
    text = repr(made)
    assert not any(each["id"] in text for each in people)
    return made


async def named(office: Office, evidence_id: UUID) -> dict[str, Any]:
    (row,) = await office.rows(
        "SELECT event_id, source FROM evidence WHERE evidence_id = $1", evidence_id
    )
    return {**row, "evidence_id": str(evidence_id)}


class TestRefusals:
    async def test_refused_events_are_told_by_upload_with_their_reasons(
        self, city: City, office: Office
    ) -> None:
        await office.endpoint(URL)
        first = await city.world.record(trip(distance_m=999_000), trip(minute=30))
        second = await city.world.record(trip(1, distance_m=999_000, minute=50))
        await city.trips()
        refused = dict(await self._decided(office))
        made = await told(office)
        assert [kind for kind, _ in made] == ["event.refused"] * 2
        by_upload = {data["upload_id"]: data["events"] for _, data in made}
        for ids in (first, second):
            (row,) = await office.rows(
                "SELECT upload_id::text AS id FROM evidence WHERE evidence_id = $1", ids[0]
            )
            expected = {**await named(office, ids[0]), "reason": refused[ids[0]]}
            assert by_upload[row["id"]] == [expected]
        assert first[1] not in refused

    async def test_nobody_listens_nothing_is_stored(self, city: City, office: Office) -> None:
        await office.endpoint(URL, types=("award.confirmed",))
        await city.trips(trip(distance_m=999_000))
        assert await told(office) == []

    async def test_an_upload_delivered_twice_tells_once(self, city: City, office: Office) -> None:
        await office.endpoint(URL)
        await city.trips(trip(distance_m=999_000))
        (row,) = await office.rows("SELECT upload_id, event_count FROM upload")
        async with office.db.transaction() as tx:
            await city.world.deliver(tx, row["upload_id"], row["event_count"])
        await city.trips()
        assert len(await told(office)) == 1

    async def test_an_event_that_poisons_its_batch_is_told_too(
        self, city: City, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        quantify = methodology.quantify

        def poisoned(method: Any, data: Any, *rest: Any) -> Any:
            if data["distance_m"] == 7_777:
                raise ArithmeticError
            return quantify(method, data, *rest)

        monkeypatch.setattr(methodology, "quantify", poisoned)
        await office.endpoint(URL)
        ids = await city.trips(trip(distance_m=7_777), trip(minute=30))
        ((_, data),) = await told(office)
        assert data["events"] == [{**await named(office, ids[0]), "reason": "rule-error"}]

    async def _decided(self, office: Office) -> list[tuple[UUID, str]]:
        rows = await office.rows("SELECT evidence_id, reason FROM decision WHERE state = 'refused'")
        return [(row["evidence_id"], row["reason"]) for row in rows]


class TestConfirmations:
    async def test_told_when_anchored_once_with_points_and_leaf(
        self, city: City, office: Office
    ) -> None:
        await office.endpoint(URL)
        ids = await city.trips(trip(), trip(1, minute=40))
        await city.seal()
        assert await tell_confirmed(office.db) == 0
        await city.anchored(2)
        assert await tell_confirmed(office.db) == 2
        assert await tell_confirmed(office.db) == 0
        ((kind, data),) = await told(office)
        assert kind == "award.confirmed"
        assert data["checkpoint_size"] == 2
        leaves = await office.rows(
            """SELECT l.index, a.evidence_id, a.amount, a.programme_id, a.class
               FROM leaf AS l JOIN award AS a ON a.transfer_id = l.ref ORDER BY l.index"""
        )
        assert {row["evidence_id"] for row in leaves} == set(ids)
        assert data["events"] == [
            {
                **await named(office, row["evidence_id"]),
                "programme": row["programme_id"],
                "class": row["class"],
                "points": row["amount"],
                "leaf_index": row["index"],
            }
            for row in leaves
        ]

    async def test_a_long_backlog_is_told_in_pieces(
        self, city: City, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(notice_awards, "LEAVES_MAX", 2)
        await office.endpoint(URL)
        await city.trips(*(trip(n % 2, distance_m=3_000, hour=n) for n in range(5)))
        await city.seal()
        await city.anchored(5)
        assert [await tell_confirmed(office.db) for _ in range(4)] == [2, 2, 1, 0]
        listed = [e["leaf_index"] for _, data in await told(office) for e in data["events"]]
        assert listed == [0, 1, 2, 3, 4]

    async def test_what_was_confirmed_before_anybody_listened_is_not_told(
        self, city: City, office: Office
    ) -> None:
        await city.trips(trip())
        await city.seal()
        await city.anchored(1)
        assert await tell_confirmed(office.db) == 1
        await office.endpoint(URL)
        assert await tell_confirmed(office.db) == 0
        assert await told(office) == []

    async def test_two_at_once_tell_once(self, city: City, office: Office) -> None:
        await office.endpoint(URL)
        await city.trips(trip())
        await city.seal()
        await city.anchored(1)
        async with office.db.transaction() as tx:
            await tx.execute("SELECT 1 FROM notice_bookmark FOR UPDATE")
            assert await tell_confirmed(office.db) == 0
        assert await tell_confirmed(office.db) == 1
        assert len(await told(office)) == 1


class TestReversals:
    async def test_told_in_the_same_commit_and_once(self, city: City, office: Office) -> None:
        await office.endpoint(URL)
        (evidence_id,) = await city.trips(trip())
        (award,) = await office.rows("SELECT transfer_id, amount, programme_id, class FROM award")
        for _ in range(2):
            await reverse_points(
                office.db,
                city.services.clock,
                of_transfer=award["transfer_id"],
                note="重复上报",
                city_tz="Asia/Shanghai",
            )
        ((kind, data),) = await told(office)
        assert (kind, data["reason"]) == ("award.reversed", "official-correction")
        assert data["events"] == [
            {
                **await named(office, evidence_id),
                "programme": award["programme_id"],
                "class": award["class"],
                "points": award["amount"],
            }
        ]


class TestWithdrawals:
    async def test_the_partner_knows_the_subject_by_its_own_token(
        self, city: City, office: Office
    ) -> None:
        async with office.db.transaction() as tx:
            town = await a_town(tx, city.services.vault, city.services.clock, names=("an",))
        await office.endpoint(URL)
        phone = await city.sign_in("an")
        (consent,) = (await phone.get("/consents"))["items"]
        for _ in range(2):
            answer = await phone.call("DELETE", f"/consents/{consent['consent_id']}")
            assert answer.status_code == 200, answer.text
        ((kind, data),) = await told(office)
        assert kind == "consent.withdrawn"
        assert data == {
            "consent_id": consent["consent_id"],
            "scenario": consent["scenario"],
            "withdrawn_at": data["withdrawn_at"],
            "subjects_sm3": [sm3(town.subjects["an"].encode()).hex()],
        }
        assert datetime.fromisoformat(data["withdrawn_at"]).tzinfo == UTC
        assert town.subjects["an"] not in repr(data)

    async def test_another_persons_consent_tells_nothing(self, city: City, office: Office) -> None:
        await office.endpoint(URL)
        (consent,) = await office.rows("SELECT consent_id FROM consent LIMIT 1")
        stranger = await city.sign_in("stranger")
        answer = await stranger.call("DELETE", f"/consents/{consent['consent_id']}")
        assert answer.status_code == 404
        assert await told(office) == []
