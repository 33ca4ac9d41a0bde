"""Checking a signed request: Standard Webhooks headers, with two national schemes beside `v1`.

The header `webhook-signature` is a list of `scheme,base64` separated by spaces:

- `v1`    HMAC-SHA256 over `{id}.{timestamp}.{body}` (what off-the-shelf libraries make)
- `v1sm`  HMAC-SM3 over the same bytes
- `v1s2`  SM2 with SM3, strict DER, over `tanhui-webhook-v1` LF `{id}.{timestamp}.{body}`

Everything is computed over the body as it was sent, before inflation.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from backend.kit.problems import Problem
from backend.kit.sm import Sm2PublicKey, hmac_sm3

Scheme = Literal["v1", "v1sm", "v1s2"]
Origin = Literal["signed-upload", "shared-secret"]
Purpose = Literal["webhook", "statement"]

SCHEMES: tuple[Scheme, ...] = ("v1", "v1sm", "v1s2")
"""From the weakest to the strongest."""

TOLERANCE_S = 300
SIGNATURES_MAX = 4
"""Signatures looked at for each scheme: a rotation needs two; more would only cost us time."""

_WEBHOOK_ID = re.compile(r"[\x21-\x7e]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class WebhookKey:
    """A key that is ready for use: an unsealed secret for the HMAC schemes, else a point."""

    key_id: str
    scheme: Scheme
    purpose: Purpose
    valid_from: datetime
    valid_to: datetime | None
    secret: bytes | None = None
    public_key: bytes | None = None

    def valid_at(self, instant: datetime) -> bool:
        """Whether the instant lies in `[valid_from, valid_to)`."""
        return self.valid_from <= instant and (self.valid_to is None or instant < self.valid_to)


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner with the keys it may sign with."""

    partner_id: str
    name: str
    required_scheme: Scheme
    scenarios: frozenset[str]
    replay: bool
    keys: tuple[WebhookKey, ...]


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """Which key vouches for which request."""

    partner_id: str
    webhook_id: str
    scheme: Scheme
    key_id: str

    @property
    def origin(self) -> Origin:
        """`shared-secret` where we could have made the signature ourselves."""
        return "signed-upload" if self.scheme == "v1s2" else "shared-secret"


def verify_request(
    partner: Partner, headers: Mapping[str, str], body: bytes, now: datetime
) -> SignedRequest:
    """Find a signature that is strong enough and right; `headers` has lower-case names.

    Raises `Problem` 401: `missing-signature`, `bad-signature-headers`,
    `timestamp-out-of-window`, `weak-signature` or `bad-signature`.
    """
    webhook_id, timestamp, offered = _read_headers(headers, now)
    required = SCHEMES.index(partner.required_scheme)
    content = f"{webhook_id}.{timestamp}.".encode("ascii") + body
    for scheme in reversed(SCHEMES[required:]):
        keys = [
            key
            for key in partner.keys
            if key.scheme == scheme and key.purpose == "webhook" and key.valid_at(now)
        ]
        for signature in offered.get(scheme, ()):
            for key in keys:
                if _CHECKS[scheme](key, content, signature):
                    return SignedRequest(partner.partner_id, webhook_id, scheme, key.key_id)
    if offered and not any(scheme in offered for scheme in SCHEMES[required:]):
        raise _unauthorized(
            "weak-signature",
            f"该合作平台须使用 {partner.required_scheme} 签名,列表中只有较弱的签名",
            partner_id=partner.partner_id,
        )
    raise _unauthorized(
        "bad-signature",
        "签名与请求内容不符;请核对密钥、webhook-id、时间戳,并对实际发送的字节签名",
        partner_id=partner.partner_id,
    )


def sign_content(webhook_id: str, timestamp: int, body: bytes, scheme: Scheme) -> bytes:
    """The bytes that a scheme signs."""
    content = f"{webhook_id}.{timestamp}.".encode("ascii") + body
    return b"tanhui-webhook-v1\n" + content if scheme == "v1s2" else content


def decode_secret(text: str) -> bytes:
    """The bytes of a `whsec_…` secret of 24 to 64 bytes. Raises ValueError."""
    if not text.startswith("whsec_"):
        raise ValueError("a shared secret begins with whsec_")
    secret = _decode_base64(text.removeprefix("whsec_"))
    if secret is None or not 24 <= len(secret) <= 64:
        raise ValueError("a shared secret is the base64 of 24 to 64 bytes")
    return secret


def _read_headers(
    headers: Mapping[str, str], now: datetime
) -> tuple[str, str, dict[str, list[bytes]]]:
    webhook_id = headers.get("webhook-id")
    timestamp = headers.get("webhook-timestamp")
    listed = headers.get("webhook-signature")
    if not webhook_id or not timestamp or not listed:
        raise _unauthorized(
            "missing-signature",
            "请求缺少 webhook-id、webhook-timestamp 或 webhook-signature",
        )
    if not _WEBHOOK_ID.fullmatch(webhook_id) or not _TIMESTAMP.fullmatch(timestamp):
        raise _unauthorized(
            "bad-signature-headers",
            "webhook-id 须为 1 至 256 个可见 ASCII 字符,webhook-timestamp 须为 Unix 秒",
        )
    if abs(int(now.timestamp()) - int(timestamp)) > TOLERANCE_S:
        raise _unauthorized(
            "timestamp-out-of-window",
            "时间戳与平台时间相差超过 5 分钟;请校准时钟后重新签名",
        )
    offered: dict[str, list[bytes]] = {}
    for entry in listed.split(" "):
        scheme, _, encoded = entry.partition(",")
        if scheme in SCHEMES:
            # A scheme counts as offered even if its value is broken: the answer is then
            # "bad signature", not "too weak".
            signatures = offered.setdefault(scheme, [])
            signature = _decode_base64(encoded)
            if signature is not None and len(signatures) < SIGNATURES_MAX:
                signatures.append(signature)
    return webhook_id, timestamp, offered


def _decode_base64(text: str) -> bytes | None:
    """Strict RFC 4648 base64 with padding; spare bits must be zero."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode("ascii") == text else None


def _hmac_sha256_holds(key: WebhookKey, content: bytes, signature: bytes) -> bool:
    if key.secret is None:
        return False
    return hmac.compare_digest(hmac.new(key.secret, content, hashlib.sha256).digest(), signature)


def _hmac_sm3_holds(key: WebhookKey, content: bytes, signature: bytes) -> bool:
    if key.secret is None:
        return False
    return hmac.compare_digest(hmac_sm3(key.secret, content), signature)


def _sm2_holds(key: WebhookKey, content: bytes, signature: bytes) -> bool:
    if key.public_key is None:
        return False
    return Sm2PublicKey(key.public_key).verify_der(signature, b"tanhui-webhook-v1\n" + content)


_CHECKS: dict[Scheme, Callable[[WebhookKey, bytes, bytes], bool]] = {
    "v1": _hmac_sha256_holds,
    "v1sm": _hmac_sm3_holds,
    "v1s2": _sm2_holds,
}


def _unauthorized(name: str, detail: str, **ids: str) -> Problem:
    return Problem(401, name, detail, headers={"WWW-Authenticate": "StandardWebhooks"}, **ids)
