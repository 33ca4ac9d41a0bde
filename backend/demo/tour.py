"""The tour: a newcomer's first trip, from consent to a receipt that a stranger checks.

Everything goes through the doors over HTTP, as a partner and a citizen would. Each step states
what it saw; a step that does not hold ends the tour with its reason.
"""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from backend.demo import parking
from backend.demo.city import METRO
from backend.demo.forgery import Forger
from backend.demo.scenes import scenes
from backend.flows.verify_receipt import verify_receipt
from backend.partner_client import Credentials, PartnerDoor
from backend.proof import Verdict

SETTLED_S_MAX = 45
BULK_EVENTS = 200
BULK_DAYS = 14
"""Days the bulk lies on: on each of them ten of twenty citizens travel."""
CROWD = 12
"""Citizens who report something in every scenario."""
SOURCE = "/gates"
TICKET = "metro-single"


class StepFailed(Exception):
    """A step of the tour that did not hold; the message says what was seen instead."""


@dataclass(slots=True)
class Step:
    """One step as the `--json` file names it."""

    name: str
    ok: bool
    seconds: float
    figures: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """Members of the step in the JSON file."""
        return {"name": self.name, "ok": self.ok, "seconds": self.seconds, **self.figures}


@dataclass(slots=True)
class Tour:
    """What the tour walks with: the address, the partner's credentials, where to leave papers."""

    base_url: str
    credentials: Credentials
    partners: Mapping[str, Credentials]
    city_tz: str
    papers: Path
    show: Callable[[str, str], None]
    steps: list[Step] = field(default_factory=list[Step])
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=15))
    token: str = ""
    subject: str = ""
    event_id: str = ""
    activity_id: str = ""
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    message_id: str = ""
    answer: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def rpc_url(self) -> str:
        """The public, read-only way to the chain."""
        return f"{self.base_url}/public/v1/chain/rpc"

    def step(self, name: str, sentence: str, run: "Callable[[], dict[str, Any]]") -> None:
        """Run one step, time it, show it. Raises StepFailed after noting the failure."""
        started_s = time.monotonic()
        try:
            figures = run()
        except (StepFailed, httpx.HTTPError, KeyError, ValueError) as error:
            self.steps.append(Step(name, False, _since(started_s), {"reason": str(error)}))
            self.show("✗", f"{sentence}:{error}")
            raise StepFailed(f"{name}: {error}") from error
        seconds = _since(started_s)
        self.steps.append(Step(name, True, seconds, figures))
        noted = " · ".join(f"{key} {value}" for key, value in figures.items())
        self.show("✓", f"{sentence}  [dim]{seconds:.1f} s  {noted}[/dim]")

    def walk(self) -> None:
        """All steps that need only the doors. Raises StepFailed at the first that does not hold."""
        self.step("consent", "市民登录、授权,合作平台换取绑定令牌", self.consent)
        self.step("record", "合作平台上报签名事件(含重复、超界与陌生人)", self.record)
        self.step("repeat", "同一请求重发,回答逐字节相同", self.repeat)
        self.step("award", "事件量化为减排量并计为积分", lambda: self.settled("awarded"))
        self.step("confirm", "日志检查点上链存证,已确认", lambda: self.settled("confirmed"))
        self.step("post", "积分记入链上账户", lambda: self.settled("posted"))
        self.step("redeem", "市民用积分兑换地铁票,连点两次只兑一张", self.redeem)
        self.step("scenarios", "其余场景:每种一个事件,各按自己的方法学", self.scenarios)
        self.step("parking", "共享停车:从预约、过闸、付费到各方联签的对账单", self.parking)
        self.step("receipt", "下载回执,陌生人核验通过", self.receipt)
        self.step("tampered", "改动回执一个数字,核验当场失败", self.tampered)

    def consent(self) -> dict[str, Any]:
        """Sign a new citizen in, give consent, and bind them at the partner."""
        name = f"tour-{secrets.token_hex(4)}"
        login = self._post("/miniapp/v1/login", {"provider": "sandbox", "code": f"{name}-1"})
        self.token = str(login["access_token"])
        consent = self._post(
            "/miniapp/v1/consents",
            {"partner_id": self.credentials.partner_id, "scenario": METRO},
        )
        self.subject = self._door().bind(str(consent["binding_code"]), name)
        return {"citizen": name}

    def record(self) -> dict[str, Any]:
        """Send a batch with good, repeated, impossible and foreign events."""
        now = datetime.now(UTC)
        mine = self._trip(self.subject, now, 12_000)
        self.event_id = str(mine["id"])
        impossible = self._trip(self.subject, now, 999_000)
        foreign = self._trip("nobody-we-know", now, 5_000)
        events = [mine, mine, impossible, foreign]
        known = [s.token for s in self.credentials.subjects]
        events += [
            self._trip(
                known[number % len(known)],
                now - timedelta(days=number % BULK_DAYS, minutes=number),
                2_000 + 173 * (number % 100),
            )
            for number in range(BULK_EVENTS if known else 0)
        ]
        self.events, self.message_id = events, f"tour-{secrets.token_hex(8)}"
        self.answer = self._door().send_events(events, self.message_id)
        counts = {
            "accepted": self.answer["accepted"],
            "duplicates": self.answer["duplicates"],
            "rejected": len(self.answer["rejected"]),
        }
        if counts != {"accepted": len(events) - 2, "duplicates": 1, "rejected": 1}:
            raise StepFailed(f"the door counted {counts}")
        return counts

    def repeat(self) -> dict[str, Any]:
        """Send the same upload again: the same answer, and nothing counted twice."""
        again = self._door().send_events(self.events, self.message_id)
        if again != self.answer:
            raise StepFailed("the repeated upload was answered differently")
        return {"upload_id": again["upload_id"]}

    def settled(self, state: str) -> dict[str, Any]:
        """Wait until the citizen's trip has reached a state."""
        order = ["recorded", "awarded", "logged", "confirmed", "posted"]
        deadline_s = time.monotonic() + SETTLED_S_MAX
        while True:
            items = self._get("/miniapp/v1/activities")["items"]
            mine = next((a for a in items if a["event_id"] == self.event_id), None)
            seen = mine["state"] if mine else "absent"
            if seen not in ("absent", *order):
                raise StepFailed(f"the trip ended as {seen}: {mine}")
            if mine and order.index(seen) >= order.index(state):
                self.activity_id = str(mine["activity_id"])
                return {"reduction_mg": mine["reduction_mg"], "points": mine["points"]}
            if time.monotonic() > deadline_s:
                raise StepFailed(f"the trip is still {seen} after {SETTLED_S_MAX} s")
            time.sleep(0.2)

    def redeem(self) -> dict[str, Any]:
        """Buy a ticket twice under one key: one ticket, paid once."""
        before = self._available()
        headers = {"authorization": f"Bearer {self.token}", "idempotency-key": secrets.token_hex(8)}
        url, body = f"{self.base_url}/miniapp/v1/redemptions", {"reward_id": TICKET}
        taps = [self.http.post(url, json=body, headers=headers) for _ in range(2)]
        if taps[0].status_code != 201 or taps[0].content != taps[1].content:
            raise StepFailed(f"redeeming answered {taps[0].status_code}: {taps[0].text[:300]}")
        bought = self._get(f"/miniapp/v1/redemptions/{taps[0].json()['redemption_id']}")
        spent = before - self._available()
        if bought["state"] != "posted" or not bought["code"] or spent != bought["price_points"]:
            raise StepFailed(f"{spent} points spent for {bought}")
        return {"reward": TICKET, "points": spent}

    def _available(self) -> int:
        held = self._get("/miniapp/v1/points")["items"]
        return next(int(each["available"]) for each in held if each["class"] == "carbon")

    def scenarios(self) -> dict[str, Any]:
        """One event of every scenario, each by the partner that reports it."""
        waiting: list[tuple[PartnerDoor, str, str]] = []
        for scenario, happened in scenes(self.city_tz, datetime.now(UTC)).items():
            credentials = self._who_reports(scenario)
            if credentials is None:
                continue
            door = PartnerDoor(self.base_url, credentials, self.http)
            subject = secrets.choice([s for s in credentials.subjects if s.scenario == scenario])
            events = [self._event(scenario, subject.token, *each) for each in happened]
            for event in events:
                answer = door.send_events([event], f"tour-{event['id']}")
                if answer["accepted"] != 1:
                    raise StepFailed(f"{scenario}: {answer}")
            # The last one earns; a meter's first month is only what the next is compared with.
            waiting.append((door, scenario, str(events[-1]["id"])))
        earned = {scenario: self._earned(door, scenario, e) for door, scenario, e in waiting}
        self._crowd()
        return earned

    def _crowd(self) -> None:
        """The other people's day: what makes figures by scenario more than one person's."""
        now = datetime.now(UTC)
        for scenario in scenes(self.city_tz, now):
            credentials = self._who_reports(scenario)
            if credentials is None or scenario == METRO:
                continue
            subjects = [s for s in credentials.subjects if s.scenario == scenario][:CROWD]
            events = [
                self._event(scenario, subject.token, *each)
                for subject in subjects
                for each in scenes(self.city_tz, now)[scenario]
            ]
            door = PartnerDoor(self.base_url, credentials, self.http)
            door.send_events(events, f"tour-{secrets.token_hex(8)}")

    def _who_reports(self, scenario: str) -> Credentials | None:
        for credentials in self.partners.values():
            if any(s.scenario == scenario for s in credentials.subjects):
                return credentials
        return None

    def _earned(self, door: PartnerDoor, scenario: str, event_id: str) -> str:
        deadline_s = time.monotonic() + SETTLED_S_MAX
        while (seen := door.event(event_id, SOURCE))["state"] == "recorded":
            if time.monotonic() > deadline_s:
                break
            time.sleep(0.1)
        if seen["state"] in ("recorded", "refused"):
            raise StepFailed(f"{scenario} ended as {seen['state']}: {seen['reason']}")
        return f"{seen['reduction_mg'] // 1_000} g"

    def parking(self) -> dict[str, Any]:
        """A stay from reservation to a statement its party checked on chain and co-signed."""
        operator = self.partners[parking.OPERATOR]
        visit = parking.Visit(self.base_url, self.rpc_url, self.http, operator, self.papers)
        return visit.walk()

    def receipt(self) -> dict[str, Any]:
        """Fetch the receipt and the trust file, then check the one by the other and the chain."""
        path = f"/miniapp/v1/activities/{self.activity_id}/receipt?form=full"
        receipt = self._raw("GET", path, None).content
        trust = self._raw("GET", "/public/v1/trust", None).content
        self.papers.mkdir(parents=True, exist_ok=True)
        (self.papers / "receipt.json").write_bytes(receipt)
        (self.papers / "trust.json").write_bytes(trust)
        verdict = self.verify(receipt)
        if not verdict.ok:
            raise StepFailed(_failed_lines(verdict))
        return {step.step: step.verdict for step in verdict.steps}

    def tampered(self) -> dict[str, Any]:
        """Raise the points in the receipt and see the check fail."""
        receipt = (self.papers / "receipt.json").read_bytes()
        document = json.loads(receipt)
        disclosure = document["leaf"]["fields"][1]["d"]
        salt, name, value = json.loads(disclosure)
        value["amount"] += 1_000_000
        raised = json.dumps([salt, name, value], separators=(",", ":"), sort_keys=True)
        document["leaf"]["fields"][1]["d"] = raised
        forged = json.dumps(
            document, separators=(",", ":"), sort_keys=True, ensure_ascii=False
        ).encode()
        (self.papers / "receipt-tampered.json").write_bytes(forged)
        return self.must_fail(forged)

    def forged(self, forger: Forger) -> dict[str, Any]:
        """Check the receipt of a complete forged installation, asking the forger's own node."""
        forgery = forger.forgery()
        (self.papers / "receipt-forged.json").write_bytes(forgery.receipt)
        (self.papers / "trust-forged.json").write_bytes(forgery.trust)
        believed = self.verify(forgery.receipt, forgery.rpc_url, trust=forgery.trust)
        if not believed.ok:
            raise StepFailed(f"the forgery is not even sound in itself: {_failed_lines(believed)}")
        return self.must_fail(forgery.receipt, forgery.rpc_url)

    def panel(self, address: str) -> dict[str, Any]:
        """The officials' panel, a process of its own, shows its sign-in page."""
        deadline_s = time.monotonic() + SETTLED_S_MAX
        while time.monotonic() < deadline_s:
            try:
                answer = self.http.get(f"{address}/login")
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if answer.status_code == 200:
                return {"address": address}
        raise StepFailed(f"nobody opens at {address}")

    def must_fail(self, receipt: bytes, rpc_url: str | None = None) -> dict[str, Any]:
        """Check a bad receipt against the genuine trust file and expect ✗."""
        failed = [s.step for s in self.verify(receipt, rpc_url).steps if s.verdict == "failed"]
        if not failed:
            raise StepFailed("a bad receipt passed the check")
        return {"failed": ",".join(failed)}

    def verify(
        self, receipt: bytes, rpc_url: str | None = None, *, trust: bytes | None = None
    ) -> Verdict:
        """The check a stranger makes: receipt, trust file, and a JSON-RPC address."""
        pinned = (self.papers / "trust.json").read_bytes() if trust is None else trust
        return verify_receipt(receipt, pinned, rpc_url or self.rpc_url)

    def _trip(self, subject: str, ended: datetime, distance_m: int) -> dict[str, Any]:
        return self._event(METRO, subject, ended, {"distance_m": distance_m})

    @staticmethod
    def _event(
        scenario: str, subject: str, ended: datetime, data: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": f"tour-{secrets.token_hex(8)}",
            "source": SOURCE,
            "type": scenario,
            "time": ended.isoformat(timespec="seconds"),
            "subject": subject,
            "data": dict(data),
        }

    def _door(self) -> PartnerDoor:
        return PartnerDoor(self.base_url, self.credentials, self.http)

    def _get(self, path: str) -> dict[str, Any]:
        return self._raw("GET", path, None).json()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._raw("POST", path, body).json()

    def _raw(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        if method != "GET":
            headers["idempotency-key"] = secrets.token_hex(16)
        answer = self.http.request(method, self.base_url + path, json=body, headers=headers)
        if not answer.is_success:
            raise StepFailed(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
        return answer


def _failed_lines(verdict: Verdict) -> str:
    return "; ".join(f"{s.step}: {s.reason}" for s in verdict.steps if s.verdict == "failed")


def _since(started_s: float) -> float:
    return round(time.monotonic() - started_s, 3)
