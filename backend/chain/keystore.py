"""A person's chain key in a file: Ethereum keystore version 3, which other tools open too."""

import secrets
from collections.abc import Mapping
from typing import Any

from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json

from backend.chain.keys import Signer

_KDF_ROUNDS = 600_000
"""PBKDF2-HMAC-SHA256 rounds (OWASP password storage, 2023): about a quarter of a second."""


class WrongPassword(ValueError):
    """The password does not open the keystore, or the keystore is damaged."""


def new_keystore(password: str) -> tuple[str, dict[str, Any]]:
    """A fresh key encrypted by a password: its address and the keystore's members."""
    secret = secrets.token_bytes(32)
    keystore: dict[str, Any] = create_keyfile_json(
        secret, password.encode(), version=3, kdf="pbkdf2", iterations=_KDF_ROUNDS
    )
    return Signer(secret).address, keystore


def open_keystore(keystore: Mapping[str, Any], password: str) -> Signer:
    """The key inside. Raises WrongPassword."""
    try:
        return Signer(bytes(decode_keyfile_json(dict(keystore), password.encode())))
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise WrongPassword("the password does not open this keystore") from error
