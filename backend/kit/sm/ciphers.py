"""SM4 (GB/T 32907) in GCM and CTR mode, by `cryptography`."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import CTR, GCM

BLOCK_BYTES = 16
GCM_NONCE_BYTES = 12
GCM_TAG_BYTES = 16
_COUNTERS = 1 << 128


class SealBroken(ValueError):
    """A sealed text does not open: wrong key, wrong context, or a changed byte."""


def sm4_gcm_encrypt(key: bytes, nonce: bytes, plain: bytes, context: bytes = b"") -> bytes:
    """The ciphertext followed by its 16-byte tag; `context` is authenticated, not stored.

    Key 16 bytes, nonce 12 bytes and never used twice under one key.
    """
    encryptor = Cipher(SM4(key), GCM(_gcm_nonce(nonce))).encryptor()
    encryptor.authenticate_additional_data(context)
    return encryptor.update(plain) + encryptor.finalize() + encryptor.tag


def sm4_gcm_decrypt(key: bytes, nonce: bytes, sealed: bytes, context: bytes = b"") -> bytes:
    """The plain text of `sm4_gcm_encrypt`; raises `SealBroken` unless every byte is genuine."""
    if len(sealed) < GCM_TAG_BYTES:
        raise SealBroken("a sealed text is never shorter than its tag")
    decryptor = Cipher(SM4(key), GCM(_gcm_nonce(nonce), sealed[-GCM_TAG_BYTES:])).decryptor()
    decryptor.authenticate_additional_data(context)
    plain = decryptor.update(sealed[:-GCM_TAG_BYTES])
    try:
        return plain + decryptor.finalize()
    except InvalidTag:
        raise SealBroken("wrong key, wrong context or a changed byte") from None


def sm4_ctr(key: bytes, nonce: bytes, data: bytes, *, block_offset: int = 0) -> bytes:
    """Encrypt or decrypt `data`; the keystream starts `block_offset` 16-byte blocks in.

    Key and nonce 16 bytes; the counter is `nonce + block_offset` modulo 2^128. Gives no integrity:
    the caller compares a digest.
    """
    if len(nonce) != BLOCK_BYTES:
        raise ValueError("the nonce of SM4-CTR has 16 bytes")
    if block_offset:
        counter = (int.from_bytes(nonce) + block_offset) % _COUNTERS
        nonce = counter.to_bytes(BLOCK_BYTES)
    encryptor = Cipher(SM4(key), CTR(nonce)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def _gcm_nonce(nonce: bytes) -> bytes:
    if len(nonce) != GCM_NONCE_BYTES:
        raise ValueError("the nonce of SM4-GCM has 12 bytes")
    return nonce
