"""Officials at the door: accounts opened through the routes, codes made as an app would."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
from pyotp.totp import TOTP

from backend.kit.clock import FixedClock
from backend.kit.services import Services
from backend.officials import requests

PASSWORD = "correct-horse-staple"


@dataclass
class Desk:
    """One official's seat: signs in, and calls routes with the session's token."""

    http: httpx.AsyncClient
    clock: FixedClock
    user: str
    totp_secret: str
    token: str = ""
    password: str = PASSWORD
    last_step: int = field(default=0)

    def code(self) -> str:
        """A code that was not used yet; the clock moves on where the last one was."""
        if self.last_step >= self._step():
            self.clock.advance(seconds=30)
        self.last_step = self._step()
        return TOTP(self.totp_secret).at(self.clock.now())

    async def sign_in(self, **changes: Any) -> httpx.Response:
        body = {"user": self.user, "password": self.password, "totp": self.code()} | changes
        answer = await self.http.post("/gov/v1/login", json=body)
        if answer.status_code == 200:
            self.token = answer.json()["token"]
        return answer

    async def call(
        self, method: str, path: str, *, key: str | None = None, **options: Any
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        if key is not None:
            headers["idempotency-key"] = key
        return await self.http.request(method, f"/gov/v1{path}", headers=headers, **options)

    async def get(self, path: str) -> Any:
        answer = await self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, *, status: int = 200, **options: Any) -> Any:
        answer = await self.call("POST", path, json=body, **options)
        assert answer.status_code == status, (path, answer.text)
        return answer.json()

    def _step(self) -> int:
        return int(self.clock.now().timestamp()) // 30


async def activated(http: httpx.AsyncClient, clock: FixedClock, user: str, code: str) -> Desk:
    """Open an account with its whole code, and sign in."""
    body = {"user": user, "code": code}
    begun = await http.post("/gov/v1/activations/begin", json=body)
    assert begun.status_code == 200, begun.text
    desk = Desk(http, clock, user, begun.json()["totp_secret"])
    done = await http.post(
        "/gov/v1/activations", json=body | {"password": PASSWORD, "totp": desk.code()}
    )
    assert done.status_code == 200, done.text
    assert (await desk.sign_in()).status_code == 200
    return desk


async def founded(http: httpx.AsyncClient, services: Services) -> tuple[Desk, Desk]:
    """The first two administrators, signed in."""
    clock: Any = services.clock
    desks: list[Desk] = []
    for user, role in (("sys", "system_admin"), ("sec", "security_admin")):
        async with services.db.transaction() as tx:
            code = await requests.found_administrator(
                tx, services.vault, clock, user, f"管理员{user}", role
            )
        desks.append(await activated(http, clock, user, code))
    return desks[0], desks[1]


async def enrolled(admins: tuple[Desk, Desk], user: str, role: str) -> Desk:
    """An official made by two administrators through the door, signed in."""
    first, second = admins
    asked = await first.post(
        "/requests",
        {"act": "enrol", "user": user, "name": f"某{user}", "role": role, "reason": "任职"},
        status=201,
    )
    confirmed = await second.post(f"/requests/{asked['request_id']}/confirm")
    code = f"{asked['code_half']}-{confirmed['code_half']}"
    return await activated(first.http, first.clock, user, code)


FORWARD = timedelta(seconds=30)
