"""Officials' signing keys at rest: Ethereum keystores (version 3) that only a password opens."""

import secrets
import sys
from typing import Any

from backend.chain.keys import Signer

PASSWORD_CHARACTERS_MIN = 8
RECURSION_MAX = 1_000
_SCRYPT_N = 1 << 16  # 64 MiB and about 0.2 s for each try


def new_keystore(password: str) -> tuple[str, dict[str, Any]]:
    """A fresh signing key: its address (0x…, lower case) and its keystore.

    Raises ValueError for a password of fewer than 8 characters.
    """
    if len(password) < PASSWORD_CHARACTERS_MIN:
        raise ValueError(f"a password has at least {PASSWORD_CHARACTERS_MIN} characters")
    library = _library()
    secret = secrets.token_bytes(32)
    keystore = library.create_keyfile_json(
        secret, password.encode(), kdf="scrypt", iterations=_SCRYPT_N
    )
    return Signer(secret).address, keystore


def open_keystore(keystore: dict[str, Any], password: str) -> Signer:
    """The key inside. Raises ValueError for a wrong password or a broken file."""
    try:
        return Signer(bytes(_library().decode_keyfile_json(keystore, password.encode())))
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise ValueError("the password does not open this key file") from error


def rewrap_keystore(keystore: dict[str, Any], password: str, new: str) -> dict[str, Any]:
    """The same key under a new password. Raises ValueError for a wrong one or a broken file."""
    if len(new) < PASSWORD_CHARACTERS_MIN:
        raise ValueError(f"a password has at least {PASSWORD_CHARACTERS_MIN} characters")
    library = _library()
    try:
        secret = bytes(library.decode_keyfile_json(keystore, password.encode()))
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise ValueError("the password does not open this key file") from error
    return library.create_keyfile_json(secret, new.encode(), kdf="scrypt", iterations=_SCRYPT_N)


def _library() -> Any:
    """Loaded at first use: it brings a pairing curve along, 0.4 s that no other process needs."""
    from eth_keyfile import keyfile

    # That curve's library raises the limit to 100,000, where deep JSON overruns the C stack.
    sys.setrecursionlimit(RECURSION_MAX)
    return keyfile
