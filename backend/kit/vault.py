r"""Secrets at rest: one master key file, sealed values under it, and key files beside it.

A sealed value is `0x01 ‖ nonce (12) ‖ SM4-GCM ciphertext ‖ tag (16)`. The key of a context is
HMAC-SM3(master, "tanhui-vault-v1\\n" ‖ context)[0:16] and the context is authenticated too, so a
sealed value moved to another row or column does not open.
"""

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from backend.kit.sm import (
    SealBroken,
    Sm2PrivateKey,
    hmac_sm3,
    sm4_gcm_decrypt,
    sm4_gcm_encrypt,
)

__all__ = ["KeyFileDamaged", "KeyFileExposed", "SealBroken", "Vault", "write_secret_file"]

_MASTER_BYTES = 32
_NONCE_BYTES = 12
_VERSION = b"\x01"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class KeyFileExposed(PermissionError):
    """A key file can be read, or its folder changed, by other users: `chmod` it and start again."""


class KeyFileDamaged(ValueError):
    """A key file does not hold what its name says; restore it from the backup."""


class Vault:
    """Seals small secrets under the master key of one folder, and keeps named keys there."""

    def __init__(self, keys_dir: Path) -> None:
        self._keys_dir = keys_dir
        keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_bits(keys_dir, 0o022, "can be changed by other users")
        self._master = self.secret("master", _MASTER_BYTES)
        self._key_of = lru_cache(maxsize=1_024)(self._derive_key)

    @classmethod
    def open(cls, keys_dir: Path) -> "Vault":
        """The vault of a folder; creates the folder (700) and `master.key` (600) if missing.

        Raises `KeyFileExposed` or `KeyFileDamaged`.
        """
        return cls(keys_dir)

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """`plain` encrypted for exactly this context; 29 bytes longer than it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + sm4_gcm_encrypt(self._key_of(context), nonce, plain, context)

    def open_sealed(self, sealed: bytes, context: bytes) -> bytes:
        """The plain text sealed for this context; raises `SealBroken` for anything else."""
        if not sealed.startswith(_VERSION) or len(sealed) <= _NONCE_BYTES:
            raise SealBroken("not a value this vault has sealed")
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        return sm4_gcm_decrypt(self._key_of(context), nonce, body, context)

    def secret(self, name: str, size: int = 32) -> bytes:
        """`size` random bytes kept in `<name>.key`, created on first use."""
        data = self._read_or_create(f"{_checked(name)}.key", lambda: secrets.token_bytes(size))
        if len(data) != size:
            raise KeyFileDamaged(f"{self._keys_dir / name}.key should hold {size} bytes")
        return data

    def sm2_key(self, name: str) -> Sm2PrivateKey:
        """The SM2 key kept as PKCS#8 in `<name>.pem`, created on first use."""
        file_name = f"{_checked(name)}.pem"
        pem = self._read_or_create(file_name, lambda: Sm2PrivateKey.generate().to_pem())
        try:
            return Sm2PrivateKey.from_pem(pem)
        except ValueError as error:
            raise KeyFileDamaged(f"{self._keys_dir / file_name}: {error}") from error

    def _derive_key(self, context: bytes) -> bytes:
        return hmac_sm3(self._master, b"tanhui-vault-v1\n" + context)[:16]

    def _read_or_create(self, file_name: str, make: Callable[[], bytes]) -> bytes:
        path = self._keys_dir / file_name
        if not path.exists():
            with contextlib.suppress(FileExistsError):  # Another process was first: use its file.
                write_secret_file(path, make())
        _refuse_bits(path, 0o077, "can be read by other users")
        return path.read_bytes()

    def __repr__(self) -> str:
        return f"Vault({self._keys_dir})"


def write_secret_file(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write `data` durably to a file only its owner can read (600), whole or not at all.

    Raises FileExistsError if the file exists and `replace` is not set.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            # A hard link appears complete, and fails if the name is taken.
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"a key is named by lower-case letters, digits, '.', '_', '-': {name!r}")
    return name


def _refuse_bits(path: Path, bits: int, harm: str) -> None:
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & bits:
        raise KeyFileExposed(f"{path} {harm}; restrict it to its owner")
