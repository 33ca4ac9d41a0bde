"""The two SM2 implementations behind one small interface.

- `gmssl`: pure Python, always installed; about 21 ms a signature and 36 ms a verification.
  Each of its hazards is closed here or by the checks that run before it: the signing nonce is drawn
  from the operating system and passed in; keys are handed over without the `04` prefix that its
  constructor mangles, and never empty; points and signatures were range-checked; a signature that
  makes its arithmetic meet the point at infinity is False instead of an exception; the digest is
  computed by our SM3, because its own takes seconds for a body of 500 kB.
- `tongsuo`: Tongsuo through tongsuopy, where its wheel exists; about 0.4 ms a verification.

Both are imported at first use.
"""

import importlib
import importlib.util
import os
import secrets
from functools import cache
from typing import Any, Protocol

from backend.kit.sm import curve, der

ENGINE_VARIABLE = "TANHUI_SM2_ENGINE"


class EngineMissing(RuntimeError):
    """The SM2 implementation asked for is not installed on this machine."""


class Engine(Protocol):
    """One SM2 implementation. Points are X ‖ Y (64 bytes), signatures r ‖ s (64 bytes)."""

    name: str

    def point_of(self, secret: int) -> bytes:
        """The public point of a secret in 1 … n-2."""
        ...

    def sign(self, secret: int, point: bytes, text: bytes) -> bytes:
        """A fresh signature over `text`."""
        ...

    def verify(self, point: bytes, signature: bytes, text: bytes) -> bool:
        """Whether a range-checked signature by a point on the curve holds over `text`."""
        ...


class GmsslEngine:
    """SM2 by gmssl, hardened."""

    name = "gmssl"

    def __init__(self) -> None:
        self._sm2: Any = importlib.import_module("gmssl.sm2")
        func: Any = importlib.import_module("gmssl.func")
        # Its random_hex draws from the Mersenne Twister. We never let it choose a nonce, and
        # should anything in the library do so all the same, it draws from the operating system.
        func.choice = secrets.choice

    def point_of(self, secret: int) -> bytes:
        """The public point of a secret in 1 … n-2."""
        return self.multiply(secret, curve.GX.to_bytes(32) + curve.GY.to_bytes(32))

    def multiply(self, scalar: int, point: bytes) -> bytes:
        """`scalar` in 1 … n-1 times a point on the curve."""
        crypt = self._sm2.CryptSM2(private_key="", public_key="")
        return bytes.fromhex(crypt._kg(scalar, point.hex()))  # noqa: SLF001 - has no public name

    def sign(self, secret: int, point: bytes, text: bytes) -> bytes:
        """A fresh signature over `text`, its nonce from the operating system."""
        digest = curve.signed_digest(point, text)
        while True:
            signature = self.sign_digest(secret, digest, secrets.randbelow(curve.N - 1) + 1)
            if signature is not None:
                return signature

    def sign_digest(self, secret: int, digest: bytes, nonce: int) -> bytes | None:
        """The signature for one nonce in 1 … n-1, None if that nonce must not be used."""
        crypt = self._sm2.CryptSM2(private_key=f"{secret:064x}", public_key="")
        signature = crypt.sign(digest, f"{nonce:064x}")
        return None if signature is None else bytes.fromhex(signature)

    def verify(self, point: bytes, signature: bytes, text: bytes) -> bool:
        """Whether a range-checked signature by a point on the curve holds over `text`."""
        crypt = self._sm2.CryptSM2(private_key="", public_key="")
        crypt.public_key = point.hex()
        try:
            return bool(crypt.verify(signature.hex(), curve.signed_digest(point, text)))
        except TypeError:
            # sG + tP is the point at infinity, for which gmssl has no representation.
            return False


class TongsuoEngine:
    """SM2 by Tongsuo (tongsuopy); its default user id is the one we use."""

    name = "tongsuo"

    def __init__(self) -> None:
        try:
            self._ec: Any = importlib.import_module("tongsuopy.crypto.asymciphers.ec")
            hashes: Any = importlib.import_module("tongsuopy.crypto.hashes")
            self._errors: Any = importlib.import_module("tongsuopy.crypto.exceptions")
        except ImportError as error:
            raise EngineMissing("tongsuopy has no wheel for this machine") from error
        self._curve: Any = self._ec.SM2()
        self._algorithm: Any = self._ec.ECDSA(hashes.SM3())

    def point_of(self, secret: int) -> bytes:
        """The public point of a secret in 1 … n-2."""
        numbers = self._ec.derive_private_key(secret, self._curve).public_key().public_numbers()
        return numbers.x.to_bytes(32) + numbers.y.to_bytes(32)

    def sign(self, secret: int, point: bytes, text: bytes) -> bytes:
        """A fresh signature over `text`; the nonce is drawn by Tongsuo."""
        del point
        key = self._ec.derive_private_key(secret, self._curve)
        return der.decode_signature(key.sign(text, self._algorithm))

    def verify(self, point: bytes, signature: bytes, text: bytes) -> bool:
        """Whether a range-checked signature by a point on the curve holds over `text`."""
        key = self._ec.EllipticCurvePublicKey.from_encoded_point(self._curve, b"\x04" + point)
        try:
            key.verify(der.encode_signature(signature), text, self._algorithm)
        except (self._errors.InvalidSignature, self._errors.InternalError):
            # tongsuopy raises InternalError where OpenSSL reports an error instead of "no".
            return False
        return True


@cache
def gmssl_engine() -> GmsslEngine:
    """The hardened gmssl, loaded once."""
    return GmsslEngine()


@cache
def _tongsuo_engine() -> TongsuoEngine:
    return TongsuoEngine()


@cache
def has_tongsuo() -> bool:
    """Whether the fast implementation is installed on this machine."""
    return importlib.util.find_spec("tongsuopy") is not None


def engine(name: str | None = None) -> Engine:
    """The named implementation; without a name the fastest, or the one TANHUI_SM2_ENGINE names.

    Raises `EngineMissing` if it is not installed, ValueError for another name than `gmssl` and
    `tongsuo`.
    """
    name = name or os.environ.get(ENGINE_VARIABLE) or ("tongsuo" if has_tongsuo() else "gmssl")
    if name == "gmssl":
        return gmssl_engine()
    if name == "tongsuo":
        return _tongsuo_engine()
    raise ValueError(f"no SM2 implementation is called {name!r}; known are gmssl and tongsuo")
