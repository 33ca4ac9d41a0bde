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


def sm3_after(prefix: bytes) -> Callable[[bytes], bytes]:
    """A function giving SM3(prefix ‖ data), for many messages that begin alike.

    Copying a begun digest is about a third faster than starting one by its name.
    """
    begun = hashlib.new("sm3", prefix) if _sm3 is _sm3_hashlib else hashes.Hash(hashes.SM3())
    if isinstance(begun, hashes.Hash):
        begun.update(prefix)

        def finish(data: bytes) -> bytes:
            digest = begun.copy()
            digest.update(data)
            return digest.finalize()

        return finish

    def finish_fast(data: bytes) -> bytes:
        digest = begun.copy()
        digest.update(data)
        return digest.digest()

    return finish_fast
