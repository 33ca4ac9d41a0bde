"""SM2 keys: the objects the rest of the project signs and verifies with.

Signatures come in two spellings, r ‖ s (64 bytes, checkpoints) and strict minimal DER (webhooks,
co-signatures). The user id is 1234567812345678 everywhere.
"""

import base64
import binascii
import re
import secrets

from backend.kit.sm import curve, der, encryption
from backend.kit.sm.der import BadKey, BadSignature
from backend.kit.sm.engines import engine, gmssl_engine, has_tongsuo

PUBLIC_KEY_BYTES = 65
_PEM = re.compile(rb"\s*-----BEGIN ([A-Z ]+)-----\s*([A-Za-z0-9+/=\s]+)-----END \1-----\s*\Z")


class EnginesDisagree(RuntimeError):
    """The two SM2 implementations judge one signature differently: stop and look."""


class Sm2PublicKey:
    """A point on the SM2 curve, checked when it is made."""

    __slots__ = ("_point",)

    def __init__(self, data: bytes) -> None:
        if len(data) != PUBLIC_KEY_BYTES or data[0] != 4:
            raise BadKey("a public key is 04 ‖ X ‖ Y, 65 bytes")
        if not curve.is_on_curve(int.from_bytes(data[1:33]), int.from_bytes(data[33:])):
            raise BadKey("the point is not on the SM2 curve")
        self._point = data[1:]

    @classmethod
    def from_bytes(cls, data: bytes) -> "Sm2PublicKey":
        """The key of 65 bytes 04 ‖ X ‖ Y; raises `BadKey`, also for a point off the curve."""
        return cls(data)

    @classmethod
    def from_pem(cls, pem: bytes | str) -> "Sm2PublicKey":
        """The key of a PEM SubjectPublicKeyInfo; raises `BadKey`."""
        return cls(der.decode_public_key(_unarmour(pem, b"PUBLIC KEY")))

    def to_bytes(self) -> bytes:
        """65 bytes 04 ‖ X ‖ Y."""
        return b"\x04" + self._point

    def to_pem(self) -> bytes:
        """PEM SubjectPublicKeyInfo."""
        return _armour(der.encode_public_key(self.to_bytes()), "PUBLIC KEY")

    def verify(self, signature: bytes, text: bytes, *, engine_name: str | None = None) -> bool:
        """Whether r ‖ s (64 bytes) is this key's signature over `text`; malformed is False."""
        try:
            der.read_raw(signature)
        except BadSignature:
            return False
        return engine(engine_name).verify(self._point, signature, text)

    def verify_der(self, signature: bytes, text: bytes, *, engine_name: str | None = None) -> bool:
        """As `verify` for a strictly spelled DER signature."""
        try:
            raw = der.decode_signature(signature)
        except BadSignature:
            return False
        return engine(engine_name).verify(self._point, raw, text)

    def verify_twice(self, signature: bytes, text: bytes) -> bool:
        """As `verify`, by both implementations; raises `EnginesDisagree` if they differ.

        Where the fast one is not installed gmssl alone decides.
        """
        verdict = self.verify(signature, text, engine_name="gmssl")
        if has_tongsuo() and self.verify(signature, text, engine_name="tongsuo") != verdict:
            raise EnginesDisagree("gmssl and tongsuo judge one SM2 signature differently")
        return verdict

    def encrypt(self, plain: bytes) -> bytes:
        """The DER ciphertext that this key's private half decrypts; `plain` is not empty."""
        return encryption.encrypt(self._point, plain)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sm2PublicKey) and self._point == other._point

    def __hash__(self) -> int:
        return hash(self._point)

    def __repr__(self) -> str:
        return f"Sm2PublicKey({self.to_bytes().hex()})"


class Sm2PrivateKey:
    """A secret in 1 … n-2 with its public key. Its repr never shows the secret."""

    __slots__ = ("_secret", "public_key")

    def __init__(self, secret: int) -> None:
        if not 1 <= secret <= curve.N - 2:
            raise BadKey("the secret of an SM2 key lies in 1 … n-2")
        self._secret = secret
        self.public_key = Sm2PublicKey(b"\x04" + engine().point_of(secret))

    @classmethod
    def generate(cls) -> "Sm2PrivateKey":
        """A new key from the operating system's randomness."""
        return cls(secrets.randbelow(curve.N - 2) + 1)

    @classmethod
    def from_pem(cls, pem: bytes | str) -> "Sm2PrivateKey":
        """The key of an unencrypted PKCS#8 PEM; raises `BadKey`.

        A public key stated in the file must be the secret's.
        """
        secret, stated = der.decode_private_key(_unarmour(pem, b"PRIVATE KEY"))
        key = cls(int.from_bytes(secret))
        if stated is not None and stated != key.public_key.to_bytes():
            raise BadKey("the public key in the file is not the one of its private key")
        return key

    def to_pem(self) -> bytes:
        """Unencrypted PKCS#8 PEM."""
        secret = self._secret.to_bytes(32)
        return _armour(der.encode_private_key(secret, self.public_key.to_bytes()), "PRIVATE KEY")

    def sign(self, text: bytes) -> bytes:
        """A platform signature r ‖ s (64 bytes) over `text`, by the hardened gmssl; about 21 ms.

        It is verified by `verify_twice` before it leaves, so a fault in the arithmetic cannot
        publish a wrong one.
        """
        public = self.public_key
        signature = gmssl_engine().sign(self._secret, public.to_bytes()[1:], text)
        if not public.verify_twice(signature, text):
            raise EnginesDisagree("a fresh SM2 signature does not verify")
        return signature

    def sign_der(self, text: bytes, *, engine_name: str | None = None) -> bytes:
        """A signature in strict minimal DER, by the fastest implementation."""
        point = self.public_key.to_bytes()[1:]
        return der.encode_signature(engine(engine_name).sign(self._secret, point, text))

    def decrypt(self, ciphertext: bytes) -> bytes:
        """The plain text of a DER ciphertext; raises `CannotDecrypt`."""
        return encryption.decrypt(self._secret, ciphertext)

    def __repr__(self) -> str:
        return f"Sm2PrivateKey(of {self.public_key!r})"


def _armour(data: bytes, label: str) -> bytes:
    text = base64.b64encode(data).decode()
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def _unarmour(pem: bytes | str, label: bytes) -> bytes:
    match = _PEM.match(pem.encode() if isinstance(pem, str) else pem)
    if match is None or match[1] != label:
        raise BadKey(f"not an unencrypted PEM with the label {label.decode()}")
    try:
        return base64.b64decode(b"".join(match[2].split()), validate=True)
    except binascii.Error as error:
        raise BadKey("the PEM is not base64") from error
