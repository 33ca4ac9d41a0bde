"""Strict spellings of bytes in text: one text for one value, so that no byte is malleable."""

import binascii
from base64 import b64decode, b64encode


def b64(data: bytes) -> str:
    """RFC 4648 base64 with padding."""
    return b64encode(data).decode()


def b64_strict(text: str) -> bytes:
    """The bytes of padded base64 whose spare bits are zero. Raises ValueError otherwise."""
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64") from error
    if b64(data) != text:
        raise ValueError("not base64 in its one strict spelling")
    return data
