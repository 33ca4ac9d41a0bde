"""SM2 public-key encryption (GB/T 32918.4), spelled as strict DER (GM/T 0009).

Only the point multiplication is gmssl's. Its own `encrypt` draws a predictable nonce, and its
`decrypt` neither checks that the point lies on the curve nor compares the check value C3.
"""

import hmac
import secrets

from backend.kit.sm import curve, der
from backend.kit.sm.engines import gmssl_engine
from backend.kit.sm.hashes import sm3

_GENERATOR = curve.GX.to_bytes(32) + curve.GY.to_bytes(32)


class CannotDecrypt(ValueError):
    """The ciphertext is malformed, was changed, or belongs to another key."""


def encrypt(point: bytes, plain: bytes) -> bytes:
    """The DER ciphertext of a non-empty `plain` for the key with `point` X ‖ Y."""
    if not plain:
        raise ValueError("SM2 encrypts at least one byte")
    while True:
        parts = encrypt_with_nonce(point, plain, secrets.randbelow(curve.N - 1) + 1)
        if parts is not None:
            return der.encode_ciphertext(*parts)


def encrypt_with_nonce(point: bytes, plain: bytes, nonce: int) -> tuple[bytes, bytes, bytes] | None:
    """(C1 as X ‖ Y, C3, C2) for one nonce in 1 … n-1; None if that nonce must not be used."""
    multiply = gmssl_engine().multiply
    shared = multiply(nonce, point)
    stream = _stream(shared, len(plain))
    if not any(stream):
        return None
    return multiply(nonce, _GENERATOR), _check_value(shared, plain), _xor(plain, stream)


def decrypt(secret: int, ciphertext: bytes) -> bytes:
    """The plain text of a DER ciphertext, else `CannotDecrypt`."""
    try:
        point, check, sealed = der.decode_ciphertext(ciphertext)
    except der.BadKey as error:
        raise CannotDecrypt(str(error)) from None
    if not curve.is_on_curve(int.from_bytes(point[:32]), int.from_bytes(point[32:])):
        raise CannotDecrypt("the point is not on the SM2 curve")
    shared = gmssl_engine().multiply(secret, point)
    stream = _stream(shared, len(sealed))
    plain = _xor(sealed, stream)
    if not any(stream) or not hmac.compare_digest(_check_value(shared, plain), check):
        raise CannotDecrypt("the check value differs")
    return plain


def _stream(shared: bytes, size: int) -> bytes:
    blocks = (sm3(shared + count.to_bytes(4)) for count in range(1, size // 32 + 2))
    return b"".join(blocks)[:size]


def _check_value(shared: bytes, plain: bytes) -> bytes:
    return sm3(shared[:32] + plain + shared[32:])


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
