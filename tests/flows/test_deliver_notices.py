"""Goal: what partners were told arrives, signed, under one id, or is given up where all can see.

Method: real PostgreSQL, a real HTTP receiver, the off-the-shelf library as the judge of
signatures, a clock that the test moves, a process killed for real. Two controls break what is
claimed: marking before sending loses a message, and a policy that judges nothing is fooled.
"""

import asyncio
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from backend import notices
from backend.flows.deliver_notices import Deliverer
from backend.jobs import Job, Worker
from backend.kit.db import Database
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from backend.notices import SCHEDULE_S, Caller, Outcome, Policy
from tests.flows.notice_world import Office, a_deliverer, an_office
from tests.notices.certificates import sides_of
from tests.notices.receiver import Answer, a_receiver, on_loopback

pytestmark = pytest.mark.sockets


@pytest.fixture
def office(db: Database, vault: Vault) -> Office:
    return an_office(db, vault)


class TestArriving:
    async def test_the_library_of_the_standard_verifies_it(self, office: Office) -> None:
        async with a_receiver() as receiver, a_deliverer(office) as deliverer:
            secret = await office.endpoint(receiver.url)
            await office.tell(reason="测试")
            assert await office.send(deliverer) == 1
        (got,) = receiver.got
        assert got.line == "POST /hooks?of=tanhui HTTP/1.1"
        document = got.verified_by(secret)
        assert document["specversion"] == "1.0"
        assert document["id"] == got.id
        assert document["source"] == "/partner/v1/metro"
        assert document["type"] == "consent.withdrawn"
        assert document["data"] == {"n": 0, "reason": "测试"}
        with pytest.raises(WebhookVerificationError):
            Webhook("whsec_" + "A" * 43 + "=").verify(got.body, got.headers)
        (row,) = await office.told()
        assert (row["state"], row["tries"], row["last_status"]) == ("delivered", 1, 204)
        (attempt,) = await office.rows("SELECT * FROM delivery_attempt")
        assert (attempt["n"], attempt["status"], attempt["error"]) == (1, 204, None)
        assert 0 <= attempt["duration_ms"] < 10_000

    async def test_nothing_is_stored_for_who_does_not_listen(self, office: Office) -> None:
        await office.endpoint("http://127.0.0.1:9000/", types=("event.refused",))
        await office.tell()
        await office.tell(partner_id="nobody")
        assert await office.told() == []

    async def test_told_and_undone_is_never_sent(self, office: Office) -> None:
        async with a_receiver() as receiver, a_deliverer(office) as deliverer:
            await office.endpoint(receiver.url)

            async def told_and_undone() -> None:
                async with office.db.transaction() as tx:
                    await notices.tell(tx, "metro", "consent.withdrawn", {})
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await told_and_undone()
            assert await office.send(deliverer) == 0
        assert receiver.got == []

    async def test_after_a_rotation_both_secrets_sign_until_the_overlap_is_over(
        self, office: Office
    ) -> None:
        async with a_receiver() as receiver, a_deliverer(office) as deliverer:
            old = await office.endpoint(receiver.url)
            new = await office.endpoint(receiver.url)
            assert old != new
            await office.tell()
            await office.send(deliverer)
            got = receiver.got[-1]
            assert len(got.headers["webhook-signature"].split(" ")) == 2
            got.verified_by(old)
            got.verified_by(new)
            office.wait(24 * 3600 + 1)
            await office.tell()
            await office.send(deliverer)
        got = receiver.got[-1]
        # The library holds its own clock against the header: judged at the present instead.
        signature = Webhook(new).sign(got.id, office.clock.now(), got.body.decode())
        assert got.headers["webhook-signature"] == signature

    async def test_a_changed_endpoint_without_rotation_keeps_its_secret(
        self, office: Office
    ) -> None:
        async with a_receiver() as first, a_receiver() as second, a_deliverer(office) as deliverer:
            secret = await office.endpoint(first.url)
            await office.endpoint(second.url, rotate=False)
            await office.tell()
            await office.send(deliverer)
            assert first.got == []
            (got,) = second.got
            got.verified_by(secret)
        assert office.secrets["metro"] == [secret]

    async def test_secrets_are_sealed(self, office: Office) -> None:
        secret = await office.endpoint("http://127.0.0.1:9000/")
        (row,) = await office.rows("SELECT secret_sealed FROM webhook_secret")
        assert Webhook(secret)._whsecret not in row["secret_sealed"]


class TestTrouble:
    async def test_ten_attempts_on_the_schedule_then_a_dead_letter(self, office: Office) -> None:
        async with (
            a_receiver(Answer(500)) as receiver,
            a_deliverer(office) as deliverer,
        ):
            await office.endpoint(receiver.url)
            await office.tell()
            for n, wait_s in enumerate(SCHEDULE_S):
                assert len(receiver.got) == n
                if wait_s:
                    office.wait(wait_s - 1)
                    assert await office.send(deliverer) == 0
                    office.wait(1)
                assert await office.send(deliverer) == 1
            office.wait(10 * 86_400)
            assert await office.send(deliverer) == 0
        assert SCHEDULE_S == (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
        assert len(set(receiver.ids())) == 1
        assert len({got.body for got in receiver.got}) == 1
        assert len({got.headers["webhook-timestamp"] for got in receiver.got}) == 10
        (row,) = await office.told()
        assert (row["state"], row["tries"], row["last_error"]) == ("dead", 10, "status-500")
        attempts = await office.rows("SELECT n, status FROM delivery_attempt ORDER BY n")
        assert attempts == [{"n": n, "status": 500} for n in range(1, 11)]

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (Answer(301, (("location", "/elsewhere"),)), "status-301"),
            (Answer(304), "status-304"),
            (Answer(404), "status-404"),
            (Answer(fault="reset"), "connection-lost"),
            (Answer(fault="close"), "answer-malformed"),
            (Answer(fault="half"), "answer-malformed"),
            (Answer(fault="garbage"), "answer-malformed"),
            (Answer(fault="endless"), "answer-malformed"),
            (Answer(fault="stall"), "timeout"),
        ],
        ids=lambda each: each if isinstance(each, str) else (each.fault or str(each.status)),
    )
    async def test_a_failure_is_written_down_and_the_next_attempt_succeeds(
        self, office: Office, answer: Answer, error: str
    ) -> None:
        async with (
            a_receiver(answer, Answer()) as receiver,
            a_deliverer(office, timeout_s=1) as deliverer,
        ):
            await office.endpoint(receiver.url)
            await office.tell()
            await office.send(deliverer)
            (row,) = await office.told()
            assert (row["state"], row["last_error"]) == ("waiting", error)
            office.wait(5)
            await office.send(deliverer)
        (row,) = await office.told()
        assert (row["state"], row["tries"]) == ("delivered", 2)
        assert len(receiver.got) == 2
        assert len(set(receiver.ids())) == 1

    async def test_an_endless_body_is_not_read(self, office: Office) -> None:
        async with (
            a_receiver(Answer(fault="endless-body")) as receiver,
            a_deliverer(office, timeout_s=5) as deliverer,
        ):
            await office.endpoint(receiver.url)
            await office.tell()
            start_s = time.monotonic()
            await office.send(deliverer)
            assert time.monotonic() - start_s < 3
        assert (await office.told())[0]["state"] == "delivered"

    async def test_nobody_listening_at_the_port(self, office: Office) -> None:
        async with a_receiver() as receiver:
            pass
        async with a_deliverer(office) as deliverer:
            await office.endpoint(receiver.url)
            await office.tell()
            await office.send(deliverer)
        assert (await office.told())[0]["last_error"] == "connect-failed"

    async def test_410_stops_the_endpoint_and_what_waits_for_it(self, office: Office) -> None:
        async with (
            a_receiver(Answer(500), Answer(410)) as receiver,
            a_deliverer(office) as deliverer,
        ):
            await office.endpoint(receiver.url)
            await office.tell()
            await office.send(deliverer)
            office.wait(1)
            await office.tell()
            await office.send(deliverer)
            states = [(row["state"], row["last_error"]) for row in await office.told()]
            assert states == [("dead", "endpoint-stopped"), ("dead", "status-410")]
            await office.tell()
            office.wait(86_400)
            assert await office.send(deliverer) == 0
            assert len(await office.told()) == 2
            async with office.db.transaction() as tx:
                endpoint = await notices.read_endpoint(tx, "metro", office.clock.now())
            assert endpoint is not None
            assert endpoint.state == "stopped"
            receiver.will(Answer())
            await office.endpoint(receiver.url)
            await office.tell()
            assert await office.send(deliverer) == 1

    async def test_410_of_an_address_given_up_stops_nothing(self, office: Office) -> None:
        async with (
            a_receiver(Answer(410)) as old,
            a_receiver() as new,
            a_deliverer(office) as deliverer,
        ):
            await office.endpoint(old.url)
            await office.tell()
            assert await deliverer.deliver() == 1
            await office.endpoint(new.url)
            await deliverer.drain()
            await office.tell()
            await office.send(deliverer)
        assert len(new.got) == 1

    @pytest.mark.parametrize("as_date", [False, True])
    async def test_retry_after_is_kept_for_the_whole_endpoint(
        self, office: Office, as_date: bool
    ) -> None:
        until = office.clock.now() + timedelta(seconds=120)
        asked = until.strftime("%a, %d %b %Y %H:%M:%S GMT") if as_date else "120"
        async with (
            a_receiver(Answer(503, (("retry-after", asked),)), Answer()) as receiver,
            a_deliverer(office) as deliverer,
        ):
            await office.endpoint(receiver.url)
            await office.tell()
            await office.send(deliverer)
            await office.tell()
            office.wait(117)
            assert await office.send(deliverer) == 0
            office.wait(4)
            assert await office.send(deliverer) == 2
        assert len(receiver.got) == 3

    async def test_a_ping_that_is_answered_verifies_the_endpoint(self, office: Office) -> None:
        async with a_receiver(Answer(401), Answer()) as receiver, a_deliverer(office) as deliverer:
            secret = await office.endpoint(receiver.url, ping=True)
            for verified in (False, True):
                await office.send(deliverer)
                async with office.db.transaction() as tx:
                    endpoint = await notices.read_endpoint(tx, "metro", office.clock.now())
                assert endpoint is not None
                assert (endpoint.verified_at is not None) == verified
                office.wait(5)
        assert [got.json["type"] for got in receiver.got] == ["endpoint.ping"] * 2
        receiver.got[-1].verified_by(secret)


class TestSideBySide:
    async def test_a_slow_endpoint_holds_nobody_up(self, office: Office) -> None:
        async with (
            a_receiver(Answer(fault="stall")) as slow,
            a_receiver() as quick,
            a_deliverer(office) as deliverer,
        ):
            await office.endpoint(slow.url, "slow")
            await office.endpoint(quick.url, "quick")
            await office.tell(300, "slow")
            await office.tell(40, "quick")
            start_s = time.monotonic()
            while len(quick.got) < 40:
                await deliverer.deliver()
                await asyncio.sleep(0.01)
            assert time.monotonic() - start_s < 10
            assert slow.open_most <= 4
            assert quick.open_most <= 4

    async def test_two_workers_send_each_once(self, office: Office) -> None:
        async with (
            a_receiver() as receiver,
            a_deliverer(office) as one,
            a_deliverer(office) as other,
        ):
            await office.endpoint(receiver.url)
            await office.tell(100)
            async with asyncio.TaskGroup() as group:
                group.create_task(office.send(one))
                group.create_task(office.send(other))
        assert len(receiver.got) == len(set(receiver.ids())) == 100

    async def test_a_worker_delivers_beside_its_other_work(self, office: Office) -> None:
        async with a_receiver() as receiver:
            await office.endpoint(receiver.url)
            deliverer = Deliverer(
                office.db, office.vault, office.clock, Caller(Policy(loopback=True))
            )
            stream = Job("deliver", deliverer.deliver, 0.02)
            worker = Worker(office.db, [stream], [], finish=deliverer.finish)
            async with asyncio.TaskGroup() as group:
                group.create_task(worker.run())
                await office.tell(3)
                async with asyncio.timeout(10):
                    while len(receiver.got) < 3:
                        await asyncio.sleep(0.02)
                worker.stopping.set()
        assert {row["state"] for row in await office.told()} == {"delivered"}

    async def test_told_to_stop_a_worker_gives_its_claims_back(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.flows.deliver_notices.FINISH_S", 0.1)
        async with a_receiver(Answer(fault="stall"), Answer()) as receiver:
            await office.endpoint(receiver.url)
            async with a_deliverer(office) as deliverer:
                await office.tell()
                await deliverer.deliver()
                await receiver.arrived.wait()
            async with a_deliverer(office) as deliverer:
                assert await office.send(deliverer) == 1
        assert len(receiver.got) == 2
        assert len(set(receiver.ids())) == 1


KILLED = """
import asyncio, os, signal, sys
from datetime import datetime
from pathlib import Path
from backend import notices
from backend.flows.deliver_notices import Deliverer
from backend.kit.clock import FixedClock
from backend.flows.deliver_notices import Deliverer
from backend.jobs import Job, Worker
from backend.kit.db import Database
from backend.kit.vault import Vault
from backend.notices import Caller, Outcome, Policy

url, keys, now, first = sys.argv[1:]

class MarksFirst(Deliverer):
    async def _deliver(self, claimed, secrets):
        await self._settle(claimed, Outcome(0, 204), self._clock.now())
        os.kill(os.getpid(), signal.SIGKILL)

class DiesBeforeMarking(Deliverer):
    async def _settle(self, *args):
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    db = await Database.open(url)
    kind = MarksFirst if first == "mark" else DiesBeforeMarking
    clock = FixedClock(datetime.fromisoformat(now))
    deliverer = kind(db, Vault(Path(keys)), clock, Caller(Policy(loopback=True)))
    await deliverer.deliver()
    await deliverer.drain()

asyncio.run(main())
"""


class TestKilled:
    async def run(self, office: Office, url: str, settings: Settings, first: str) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, url, str(settings.keys_dir),
            office.clock.now().isoformat(), first, stderr=subprocess.PIPE,
        )  # fmt: skip
        _, errors = await process.communicate()
        assert process.returncode == -signal.SIGKILL, errors.decode()

    async def test_between_sending_and_marking_it_is_sent_again_under_the_same_id(
        self, office: Office, settings: Settings, url_of
    ) -> None:
        async with a_receiver() as receiver, a_deliverer(office) as deliverer:
            await office.endpoint(receiver.url)
            await office.tell()
            await self.run(office, url_of("app"), settings, "send")
            assert len(receiver.got) == 1
            assert (await office.told())[0]["state"] == "waiting"
            assert await office.send(deliverer) == 0
            office.wait(61)
            assert await office.send(deliverer) == 1
        assert len(receiver.got) == 2
        assert len(set(receiver.ids())) == 1
        assert receiver.got[0].body == receiver.got[1].body
        (row,) = await office.told()
        assert (row["state"], row["tries"]) == ("delivered", 1)

    async def test_control_marking_first_loses_the_message(
        self, office: Office, settings: Settings, url_of
    ) -> None:
        async with a_receiver() as receiver, a_deliverer(office) as deliverer:
            await office.endpoint(receiver.url)
            await office.tell()
            await self.run(office, url_of("app"), settings, "mark")
            office.wait(86_400)
            assert await office.send(deliverer) == 0
        assert receiver.got == []
        assert (await office.told())[0]["state"] == "delivered"

    async def test_an_attempt_settled_late_changes_nothing(self, office: Office) -> None:
        async with a_receiver() as receiver, a_deliverer(office) as deliverer:
            await office.endpoint(receiver.url)
            await office.tell()
            async with office.db.transaction() as tx:
                (late,) = await notices.claim(tx, office.clock.now(), busy={}, limit=9)
            office.wait(61)
            await office.send(deliverer)
            now = office.clock.now()
            async with office.db.transaction() as tx:
                settled = await notices.settle(
                    tx, late, Outcome(1, 500, "status-500"), started_at=now, now=now
                )
        assert settled is None
        assert [row["state"] for row in await office.told()] == ["delivered"]
        assert len(await office.rows("SELECT 1 FROM delivery_attempt")) == 1


class Trusting(Policy):
    """A policy that judges nothing, for the control."""

    def _callable(self, text: str) -> bool:
        return True


class TestWhereTo:
    async def test_production_calls_no_private_address_and_the_control_is_fooled(
        self, office: Office, tmp_path: Path
    ) -> None:
        """A name that was public when it was entered points to this machine now."""
        name = "hooks.example.cn"
        server, client = sides_of(name, tmp_path)
        async with a_receiver(tls=server) as receiver:
            await office.endpoint(f"https://{name}:{receiver.port}/")
            await office.tell()
            where = {"hosts": frozenset({name}), "ports": frozenset({receiver.port})}
            how = {"resolve": on_loopback, "tls": client}
            async with a_deliverer(office, Policy(**where), **how) as deliverer:
                await office.send(deliverer)
            (row,) = await office.told()
            assert row["last_error"] == "endpoint-address-refused"
            assert receiver.open_most == 0
            office.wait(5)
            async with a_deliverer(office, Trusting(**where), **how) as deliverer:
                await office.send(deliverer)
        assert len(receiver.got) == 1

    async def test_a_host_taken_off_the_list_is_called_no_more(self, office: Office) -> None:
        await office.endpoint("https://hooks.example.cn/")
        await office.tell()
        async with a_deliverer(office, Policy()) as deliverer:
            await office.send(deliverer)
        assert (await office.told())[0]["last_error"] == "endpoint-host-not-allowed"
