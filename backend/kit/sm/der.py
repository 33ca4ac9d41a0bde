"""The little DER this project needs, strict: SM2 signatures, ciphertexts and unencrypted key files.

A signature has exactly one accepted spelling: minimal lengths, minimal positive integers, no byte
after the end, 1 ≤ r, s < n. The check runs before any library sees the bytes.
"""

from backend.kit.sm.curve import N

SIGNATURE_BYTES = 64

_SEQUENCE, _INTEGER, _OCTETS, _BITS = 0x30, 0x02, 0x04, 0x03
_PARAMETERS, _PUBLIC = 0xA0, 0xA1
# id-ecPublicKey (1.2.840.10045.2.1) with the named curve sm2p256v1 (1.2.156.10197.1.301).
_ALGORITHM = bytes.fromhex("301306072a8648ce3d020106082a811ccf5501822d")


class BadSignature(ValueError):
    """The bytes are not a well-formed SM2 signature (its truth was not even examined)."""


class BadKey(ValueError):
    """The bytes are not a key this project takes; the message says why."""


def encode_signature(signature: bytes) -> bytes:
    """The DER of r ‖ s (64 bytes); raises `BadSignature` if r or s is out of range."""
    r, s = read_raw(signature)
    return _wrap(_SEQUENCE, _integer(r) + _integer(s))


def decode_signature(der: bytes) -> bytes:
    """R ‖ s (64 bytes) of a strictly spelled DER signature, else `BadSignature`."""
    try:
        tag, body, rest = _take(der)
        r_tag, r, s_der = _take(body)
        s_tag, s, tail = _take(s_der)
    except BadKey as error:
        raise BadSignature(str(error)) from None
    if (tag, r_tag, s_tag) != (_SEQUENCE, _INTEGER, _INTEGER) or rest or tail:
        raise BadSignature("not a sequence of two integers alone")
    signature = b"".join(_in_range(_positive(part)).to_bytes(32) for part in (r, s))
    if encode_signature(signature) != der:
        raise BadSignature("not the minimal spelling")
    return signature


def read_raw(signature: bytes) -> tuple[int, int]:
    """(r, s) of r ‖ s, both in 1 … n-1, else `BadSignature`."""
    if len(signature) != SIGNATURE_BYTES:
        raise BadSignature("r ‖ s has 64 bytes")
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    return _in_range(r), _in_range(s)


def encode_private_key(secret: bytes, point: bytes) -> bytes:
    """PKCS#8 (unencrypted) of a 32-byte secret and its 65-byte public key."""
    public = _wrap(_PUBLIC, _wrap(_BITS, b"\x00" + point))
    key = _wrap(_SEQUENCE, _integer(1) + _wrap(_OCTETS, secret) + public)
    return _wrap(_SEQUENCE, _integer(0) + _ALGORITHM + _wrap(_OCTETS, key))


def decode_private_key(der: bytes) -> tuple[bytes, bytes | None]:
    """(32-byte secret, 65-byte public key if the file states it) of unencrypted PKCS#8."""
    body = _only(der, _SEQUENCE)
    version, body = _expect(body, _INTEGER)
    if version != b"\x00" or not body.startswith(_ALGORITHM):
        raise BadKey("not an unencrypted PKCS#8 key on the SM2 curve")
    octets, _ = _expect(body[len(_ALGORITHM) :], _OCTETS)
    body = _only(octets, _SEQUENCE)
    version, body = _expect(body, _INTEGER)
    secret, body = _expect(body, _OCTETS)
    if version != b"\x01" or len(secret) != 32:
        raise BadKey("the private value of an SM2 key has 32 bytes")
    point: bytes | None = None
    while body:
        tag, value, body = _take(body)
        if tag == _PUBLIC:
            point = _only(value, _BITS).removeprefix(b"\x00")
        elif tag != _PARAMETERS:
            raise BadKey("an unknown part in the private key")
    return secret, point


def encode_public_key(point: bytes) -> bytes:
    """SubjectPublicKeyInfo of a 65-byte public key."""
    return _wrap(_SEQUENCE, _ALGORITHM + _wrap(_BITS, b"\x00" + point))


def decode_public_key(der: bytes) -> bytes:
    """The 65-byte public key of a SubjectPublicKeyInfo on the SM2 curve."""
    body = _only(der, _SEQUENCE)
    if not body.startswith(_ALGORITHM):
        raise BadKey("not a public key on the SM2 curve")
    return _only(body[len(_ALGORITHM) :], _BITS).removeprefix(b"\x00")


def encode_ciphertext(point: bytes, check: bytes, sealed: bytes) -> bytes:
    """The DER of an SM2 ciphertext: C1 as X ‖ Y (64 bytes), C3 (32 bytes), C2."""
    x, y = int.from_bytes(point[:32]), int.from_bytes(point[32:])
    parts = _integer(x) + _integer(y) + _wrap(_OCTETS, check) + _wrap(_OCTETS, sealed)
    return _wrap(_SEQUENCE, parts)


def decode_ciphertext(data: bytes) -> tuple[bytes, bytes, bytes]:
    """(C1 as X ‖ Y, C3, C2) of a strictly spelled DER ciphertext, else `BadKey`."""
    body = _only(data, _SEQUENCE)
    x, body = _expect(body, _INTEGER)
    y, body = _expect(body, _INTEGER)
    check, body = _expect(body, _OCTETS)
    sealed = _only(body, _OCTETS)
    if len(check) != 32 or not sealed or max(len(x), len(y)) > 33:
        raise BadKey("not an SM2 ciphertext")
    numbers = [int.from_bytes(part) for part in (x, y)]
    if any(number >> 256 for number in numbers):
        raise BadKey("a coordinate is beyond 256 bits")
    point = b"".join(number.to_bytes(32) for number in numbers)
    if encode_ciphertext(point, check, sealed) != data:
        raise BadKey("not the minimal spelling")
    return point, check, sealed


def _wrap(tag: int, body: bytes) -> bytes:
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + body


def _integer(value: int) -> bytes:
    return _wrap(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1))


def _take(der: bytes) -> tuple[int, bytes, bytes]:
    """(tag, body, what follows) of the first element; lengths must be minimal and in bounds."""
    if len(der) < 2:
        raise BadKey("the DER ends early")
    tag, length, start = der[0], der[1], 2
    if length & 0x80:
        start += length & 0x7F
        spelled = der[2:start]
        length = int.from_bytes(spelled)
        if not spelled or len(spelled) > 4 or spelled[0] == 0 or length < 0x80:
            raise BadKey("a DER length is not minimal")
    if start + length > len(der):
        raise BadKey("the DER ends early")
    return tag, der[start : start + length], der[start + length :]


def _expect(der: bytes, tag: int) -> tuple[bytes, bytes]:
    found, body, rest = _take(der)
    if found != tag:
        raise BadKey("a DER element of another kind than expected")
    return body, rest


def _only(der: bytes, tag: int) -> bytes:
    body, rest = _expect(der, tag)
    if rest:
        raise BadKey("more bytes after the end")
    return body


def _positive(body: bytes) -> int:
    if not body or body[0] & 0x80:
        raise BadSignature("r and s are positive")
    return int.from_bytes(body)


def _in_range(value: int) -> int:
    if not 1 <= value < N:
        raise BadSignature("r and s lie in 1 … n-1")
    return value
