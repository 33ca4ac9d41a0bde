"""Standard Webhooks signatures: `v1` is HMAC-SHA256 over `{id}.{timestamp}.{body}`."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime


def spell_secret(secret: bytes) -> str:
    """A secret as partners are given it: `whsec_` and base64."""
    return "whsec_" + base64.b64encode(secret).decode("ascii")


def signed_headers(
    webhook_id: str, body: bytes, secrets: Sequence[bytes], now: datetime
) -> dict[str, str]:
    """The three headers, with one signature for each secret, newest first.

    A receiver that knows any of the secrets finds its signature in the list.
    """
    timestamp = str(int(now.timestamp()))
    content = f"{webhook_id}.{timestamp}.".encode("ascii") + body
    macs = [hmac.new(secret, content, hashlib.sha256).digest() for secret in secrets]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(mac).decode('ascii')}" for mac in macs
        ),
    }
