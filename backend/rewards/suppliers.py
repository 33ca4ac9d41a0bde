"""Who hands a reward over: one port, and what may come back from it.

Every call carries the redemption's id as the order's id, and a supplier answers the same for the
same id. So an outcome that got lost on the way is asked for again, never guessed.

Between us and a supplier's service (`HttpSupplier`), signed like a Standard Webhook with the
order's id:

    PUT  {base}/orders/{order_id}   {"reward", "kind", "face_fen"}   places an order
    GET  {base}/orders/{order_id}                                    what became of it
    PUT  {base}/orders/{order_id}/cancellation                       takes it back, if unused

    200 {"state": "handed", "code", "ref"} | {"state": "refused", "reason"} | {"state": "cancelled"}
    404 (GET): never placed
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Protocol, cast
from uuid import UUID

import httpx

from backend.kit.canonical import dumps
from backend.kit.clock import Clock
from backend.kit.sm import hmac_sm3

TIMEOUT_S = 3.0
CODE_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be handed over; `order_id` is the redemption's id."""

    order_id: UUID
    reward_id: str
    kind: str
    face_fen: int | None


@dataclass(frozen=True, slots=True)
class Handed:
    """The supplier has handed it over: the code is what the citizen shows, pays or keeps."""

    code: str
    ref: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The supplier will not hand it over, and says why (kebab-case)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The supplier has no such order."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The order was taken back unused."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody here knows what the supplier did; `error` is for the operator."""

    error: str


Outcome = Handed | Refused | Absent | Cancelled | Unknown


class Supplier(Protocol):
    """Places, finds and cancels orders. Never raises: what went wrong is `Unknown`."""

    async def place(self, order: Order) -> Outcome:
        """Handed, Refused or Unknown. The same order again gives the same outcome."""
        ...

    async def find(self, order_id: UUID) -> Outcome:
        """What became of an order; Absent if it never arrived."""
        ...

    async def cancel(self, order_id: UUID) -> Outcome:
        """Cancelled, Refused (it was used) or Unknown."""
        ...


class SandboxSupplier:
    """Hands over at once, without anything behind it: for demonstrations, never in production.

    The code follows from the order's id, so that asking again needs no memory.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    async def place(self, order: Order) -> Outcome:
        """Handed."""
        return await self.find(order.order_id)

    async def find(self, order_id: UUID) -> Outcome:
        """Handed, whatever the id: this supplier never forgets because it never knew."""
        mac = hmac_sm3(self._secret, b"tanhui-sandbox-code-v1\n" + order_id.bytes)
        code = base64.b32encode(mac[:10]).decode()
        return Handed("-".join(code[at : at + 4] for at in range(0, 16, 4)), f"sandbox-{order_id}")

    async def cancel(self, order_id: UUID) -> Outcome:
        """Cancelled."""
        del order_id
        return Cancelled()


class HttpSupplier:
    """A supplier's service over HTTP. The address is the operator's own setting."""

    def __init__(self, base_url: str, secret: bytes, clock: Clock) -> None:
        self._base_url = base_url.rstrip("/")
        self._secret = secret
        self._clock = clock

    async def place(self, order: Order) -> Outcome:
        """PUT the order."""
        body = {"face_fen": order.face_fen, "kind": order.kind, "reward": order.reward_id}
        return await self._call("PUT", f"/orders/{order.order_id}", order.order_id, dumps(body))

    async def find(self, order_id: UUID) -> Outcome:
        """GET the order."""
        return await self._call("GET", f"/orders/{order_id}", order_id, b"")

    async def cancel(self, order_id: UUID) -> Outcome:
        """PUT the cancellation."""
        return await self._call("PUT", f"/orders/{order_id}/cancellation", order_id, b"{}")

    async def _call(self, method: str, path: str, order_id: UUID, body: bytes) -> Outcome:
        at = str(int(self._clock.now().timestamp()))
        signed = hmac.new(self._secret, f"{order_id}.{at}.".encode() + body, hashlib.sha256)
        headers = {
            "content-type": "application/json",
            "webhook-id": str(order_id),
            "webhook-timestamp": at,
            "webhook-signature": "v1," + base64.b64encode(signed.digest()).decode(),
        }
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as http:
                answer = await http.request(
                    method, self._base_url + path, content=body, headers=headers
                )
            return _read(method, answer)
        except (httpx.HTTPError, ValueError) as error:
            return Unknown(repr(error)[:300])


def _read(method: str, answer: httpx.Response) -> Outcome:
    """Only what the supplier says in so many words is an outcome; anything else is unknown."""
    if answer.status_code == 404 and method == "GET":
        return Absent()
    if answer.status_code != 200:
        return Unknown(f"answered {answer.status_code}")
    said = answer.json()
    if not isinstance(said, dict):
        return Unknown("not an object")
    told = cast("dict[str, Any]", said)
    code, ref, reason = (told.get(name) for name in ("code", "ref", "reason"))
    match told.get("state"):
        case "handed" if _fits(code) and _fits(ref):
            return Handed(str(code), str(ref))
        case "refused" if _fits(reason):
            return Refused(str(reason))
        case "cancelled":
            return Cancelled()
        case _:
            return Unknown("an answer of another shape")


def _fits(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= CODE_CHARACTERS_MAX and value.isprintable()
