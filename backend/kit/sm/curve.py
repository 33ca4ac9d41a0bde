"""The recommended SM2 curve (GB/T 32918.5) and the digest that SM2 signs."""

from backend.kit.sm.hashes import sm3

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
GX = 0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7
GY = 0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0

USER_ID = b"1234567812345678"

_DOMAIN = b"".join(number.to_bytes(32) for number in (A, B, GX, GY))


def is_on_curve(x: int, y: int) -> bool:
    """Whether (x, y) with reduced coordinates solves the curve's equation."""
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x * x + A * x + B)) % P == 0


def signed_digest(point: bytes, text: bytes, user_id: bytes = USER_ID) -> bytes:
    """The signed digest H(Z ‖ text), Z binding user id, curve and key (`point` = X ‖ Y)."""
    user = (8 * len(user_id)).to_bytes(2) + user_id
    return sm3(sm3(user + _DOMAIN + point) + text)
