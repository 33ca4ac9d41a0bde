"""SM3 (GB/T 32905) and HMAC-SM3: OpenSSL's through hashlib, else those of `cryptography`.

Whether hashlib knows SM3 depends on the OpenSSL the interpreter was built with.
"""

import hashlib
import hmac
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

DIGEST_BYTES = 32


def _sm3_hashlib(data: bytes) -> bytes:
    return hashlib.new("sm3", data).digest()


def _sm3_cryptography(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def _hmac_hashlib(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sm3")


def _hmac_cryptography(key: bytes, data: bytes) -> bytes:
    mac = HMAC(key, hashes.SM3())
    mac.update(data)
    return mac.finalize()


def _choose() -> tuple[Callable[[bytes], bytes], Callable[[bytes, bytes], bytes]]:
    try:
        hashlib.new("sm3", b"")
        hmac.digest(b"k", b"", "sm3")
    except ValueError:
        return _sm3_cryptography, _hmac_cryptography
    return _sm3_hashlib, _hmac_hashlib


_sm3, _hmac = _choose()


def sm3(data: bytes) -> bytes:
    """The 32-byte SM3 digest of `data`."""
    return _sm3(data)


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    """The 32-byte HMAC (RFC 2104) of `data` with SM3."""
    return _hmac(key, data)
