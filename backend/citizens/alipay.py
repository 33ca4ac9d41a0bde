"""Alipay as a sign-in provider: signed requests (RSA2), and only answers that Alipay signed."""

import base64
import json
from typing import Any, cast
from zoneinfo import ZoneInfo

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from backend.citizens.providers import (
    CODE_REFUSED,
    NO_PHONE,
    PROVIDER_AWAY,
    PROVIDER_BUSY,
    RISKY,
    Gate,
    Identity,
)
from backend.kit.clock import Clock
from backend.kit.logs import log
from backend.kit.openapi import Refusal
from backend.kit.problems import Problem

_METHOD = "alipay.system.oauth.token"
_ANSWER = "alipay_system_oauth_token_response"

_ERRORS: dict[str, tuple[Refusal, str | None]] = {
    "isv.code-invalid": (CODE_REFUSED, None),
    "isv.code-is-old": (CODE_REFUSED, None),
    "isp.unknow-error": (PROVIDER_AWAY, "5"),
    "isv.app-call-limited": (PROVIDER_BUSY, "60"),
    "isv.user-risk": (RISKY, None),
}


class Alipay:
    """`alipay.system.oauth.token` of the open platform's gateway."""

    def __init__(
        self, gateway: str, app_id: str, private_key_pem: bytes, alipay_key_pem: bytes, clock: Clock
    ) -> None:
        own = serialization.load_pem_private_key(private_key_pem, None)
        theirs = serialization.load_pem_public_key(alipay_key_pem)
        if not isinstance(own, rsa.RSAPrivateKey) or not isinstance(theirs, rsa.RSAPublicKey):
            raise TypeError("Alipay's keys are RSA keys")
        self._gateway, self._app_id = gateway, app_id
        self._own, self._theirs = own, theirs
        self._clock = clock
        self._gate = Gate("alipay")

    async def identify(self, code: str) -> Identity:
        """The open_id, or the user_id of older apps."""
        answer = await self._gate.ask("POST", self._gateway, data=self._signed(code))
        self._refuse(answer)
        said = cast("dict[str, Any]", answer[_ANSWER])
        ref = said.get("open_id") or said.get("user_id")
        if not isinstance(ref, str) or not ref:
            raise Problem(*PROVIDER_AWAY, headers={"Retry-After": "5"})
        return Identity(ref, ref)

    async def phone(self, code: str) -> str:
        """Alipay hands a number over to the mini-program itself, sealed for it alone."""
        del code
        raise Problem(*NO_PHONE)

    def _signed(self, code: str) -> dict[str, str]:
        at = self._clock.now().astimezone(ZoneInfo("Asia/Shanghai"))
        request = {
            "app_id": self._app_id,
            "charset": "utf-8",
            "code": code,
            "format": "JSON",
            "grant_type": "authorization_code",
            "method": _METHOD,
            "sign_type": "RSA2",
            "timestamp": f"{at:%Y-%m-%d %H:%M:%S}",
            "version": "1.0",
        }
        text = "&".join(f"{name}={request[name]}" for name in sorted(request))
        signature = self._own.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return request | {"sign": base64.b64encode(signature).decode()}

    def _refuse(self, answer: dict[str, Any]) -> None:
        """Raise for an error, and for an answer that Alipay has not signed."""
        if "error_response" in answer:
            error = cast("dict[str, Any]", answer["error_response"]).get("sub_code", "")
            log("provider_refused", provider="alipay", sub_code=error)
            refusal, retry = _ERRORS.get(error, (PROVIDER_AWAY, "30"))
            headers = None if retry is None else {"Retry-After": retry}
            raise Problem(*refusal, headers=headers, provider="alipay")
        try:
            # The gateway signs the text of the answer as it stands: compact, in its own order.
            text = json.dumps(answer[_ANSWER], ensure_ascii=False, separators=(",", ":"))
            self._theirs.verify(
                base64.b64decode(answer["sign"], validate=True),
                text.encode(),
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
        except (KeyError, TypeError, ValueError, InvalidSignature):
            log("provider_unsigned", provider="alipay")
            raise Problem(*PROVIDER_AWAY, headers={"Retry-After": "30"}) from None
