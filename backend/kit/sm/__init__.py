"""National cryptography: SM2 signatures and encryption, SM3, SM4. Nothing else imports gmssl.

Why each library stands where it stands: docs/decisions/0005-national-cryptography.md.
"""

from backend.kit.sm.ciphers import SealBroken, sm4_ctr, sm4_gcm_decrypt, sm4_gcm_encrypt
from backend.kit.sm.der import BadKey, BadSignature, decode_signature, encode_signature
from backend.kit.sm.encryption import CannotDecrypt
from backend.kit.sm.engines import EngineMissing
from backend.kit.sm.hashes import hmac_sm3, sm3, sm3_after
from backend.kit.sm.keys import EnginesDisagree, Sm2PrivateKey, Sm2PublicKey

__all__ = [
    "BadKey",
    "BadSignature",
    "CannotDecrypt",
    "EngineMissing",
    "EnginesDisagree",
    "SealBroken",
    "Sm2PrivateKey",
    "Sm2PublicKey",
    "decode_signature",
    "encode_signature",
    "hmac_sm3",
    "sm3",
    "sm3_after",
    "sm4_ctr",
    "sm4_gcm_decrypt",
    "sm4_gcm_encrypt",
]
