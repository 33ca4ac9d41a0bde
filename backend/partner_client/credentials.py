"""What a partner holds: its key, and the binding tokens of the citizens who consented."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.kit.sm import Sm2PrivateKey, hmac_sm3


@dataclass(frozen=True, slots=True)
class Subject:
    """A bound citizen as the partner knows them: an opaque token and what it is good for."""

    token: str
    scenario: str
    consent_from: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """One partner's signing key and subjects.

    `scheme` is `v1` (HMAC-SHA256) or `v1sm` (HMAC-SM3), both with `secret` = `whsec_…`, or
    `v1s2` (SM2 with SM3, `private_key_pem` = unencrypted PKCS#8).
    """

    partner_id: str
    scheme: str
    secret: str | None
    private_key_pem: str | None
    subjects: tuple[Subject, ...]

    def signature(self, message_id: str, timestamp_s: int, body: bytes) -> str:
        """The `webhook-signature` header over `{id}.{timestamp}.{body}`."""
        content = f"{message_id}.{timestamp_s}.".encode() + body
        if self.scheme in ("v1", "v1sm") and self.secret is not None:
            key = base64.b64decode(self.secret.removeprefix("whsec_"))
            if self.scheme == "v1sm":
                mac = hmac_sm3(key, content)
            else:
                mac = hmac.new(key, content, hashlib.sha256).digest()
            return f"{self.scheme}," + base64.b64encode(mac).decode()
        if self.scheme == "v1s2" and self.private_key_pem is not None:
            key = Sm2PrivateKey.from_pem(self.private_key_pem.encode())
            der = key.sign_der(b"tanhui-webhook-v1\n" + content)
            return "v1s2," + base64.b64encode(der).decode()
        raise ValueError(f"the credentials hold no key for the scheme {self.scheme!r}")


def read_credentials(path: Path, partner_id: str) -> Credentials:
    """Read a partner's credentials from JSON.

    Takes one partner object, or the `--json` file of `tanhui demo`, in which partners
    stand under `sign_ins.partners`. Raises ValueError naming what is missing.
    """
    document: Any = json.loads(path.read_text("utf-8"))
    found: list[Any] = document.get("sign_ins", {}).get("partners", [document])
    for entry in found:
        if entry.get("partner_id") == partner_id:
            return Credentials(
                partner_id=partner_id,
                scheme=str(entry["scheme"]),
                secret=entry.get("secret"),
                private_key_pem=entry.get("private_key_pem"),
                subjects=tuple(
                    Subject(str(s["token"]), str(s["scenario"]), str(s.get("consent_from", "")))
                    for s in entry.get("subjects", [])
                ),
            )
    raise ValueError(f"{path} holds no credentials of partner {partner_id!r}")
