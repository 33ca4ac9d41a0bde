"""Published vectors: GB/T 32918.5 (shipped), Botan's and those of RFC 8998 and draft-ribose."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given
from hypothesis import strategies as st

from backend.kit import sm
from backend.kit.sm import (
    CannotDecrypt,
    SealBroken,
    Sm2PrivateKey,
    Sm2PublicKey,
    curve,
    der,
    encryption,
    engines,
    hashes,
)

ROOT = Path(__file__).parents[2]
ENGINES = ("gmssl", "tongsuo") if engines.has_tongsuo() else ("gmssl",)
HASHLIB_KNOWS_SM3 = hashes._sm3 is hashes._sm3_hashlib
DIGESTS = [sm.sm3, hashes._sm3_cryptography]
KEY, NONCE = bytes(range(16)), bytes(range(100, 116))


@pytest.fixture(scope="module")
def standard() -> dict[str, Any]:
    return json.loads((ROOT / "tests/vectors/sm2_gbt32918_5.json").read_text())


@pytest.fixture(scope="module")
def vectors(real_data: Path) -> Path:
    return real_data / "vectors"


def blocks(file: Path) -> Iterator[dict[str, str]]:
    """The `name = value` groups of a vector file; a group ends at a blank line."""
    for block in re.split(r"\n\s*\n", file.read_text()):
        lines = [line for line in block.splitlines() if "=" in line and not line.startswith("#")]
        fields = {k.strip().upper(): v.strip() for k, v in (line.split("=", 1) for line in lines)}
        if fields:
            yield fields


# --- SM2 -----------------------------------------------------------------------------------------


def test_the_curve_is_that_of_the_standard(standard: dict[str, Any]):
    given_curve = {name: int(value, 16) for name, value in standard["curve"].items()}
    assert given_curve == {
        "p": curve.P,
        "a": curve.A,
        "b": curve.B,
        "n": curve.N,
        "Gx": curve.GX,
        "Gy": curve.GY,
    }


def test_the_signature_of_the_standard(standard: dict[str, Any]):
    key = Sm2PrivateKey(int(standard["key"]["d"], 16))
    point = bytes.fromhex(standard["key"]["Px"] + standard["key"]["Py"])
    assert key.public_key.to_bytes() == b"\x04" + point
    sign = standard["sign"]
    assert sign["id_ascii"].encode() == curve.USER_ID
    text = sign["message_ascii"].encode()
    digest = curve.signed_digest(point, text)
    assert digest == sm.sm3(bytes.fromhex(sign["ZA"]) + text)
    expected = bytes.fromhex(sign["r"] + sign["s"])
    found = engines.gmssl_engine().sign_digest(key._secret, digest, int(sign["k"], 16))
    assert found == expected
    for engine in ENGINES:
        assert key.public_key.verify(expected, text, engine_name=engine)
        assert not key.public_key.verify(expected, text + b".", engine_name=engine)


def test_the_key_id_of_the_formats_document(standard: dict[str, Any]):
    key = Sm2PrivateKey(int(standard["key"]["d"], 16)).public_key.to_bytes()
    assert sm.sm3(b"tanhui/test/metro/1\x0a\xfftanhui-sm2-v1" + key)[:4].hex() == "0d1263e8"


def test_botans_signatures_on_the_recommended_curve(vectors: Path):
    order, checked = 0, 0
    for case in blocks(vectors / "botan/sm2_sig.vec"):
        order = int(case.get("ORDER", "0"), 16) or order
        if order != curve.N or case.get("HASH") != "SM3":
            continue
        key = Sm2PrivateKey(int(case["X"], 16))
        point = key.public_key.to_bytes()[1:]
        text, user = bytes.fromhex(case["MSG"]), case["IDENT"].encode()
        digest = curve.signed_digest(point, text, user)
        found = engines.gmssl_engine().sign_digest(key._secret, digest, int(case["NONCE"], 16))
        assert found == bytes.fromhex(case["SIGNATURE"])
        checked += 1
    assert checked == 1


# --- SM3 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", DIGESTS)
def test_botans_digests(vectors: Path, digest: Any):
    text = (vectors / "botan/sm3.vec").read_text()
    cases = re.findall(r"^In =[ \t]*(\S*)\s*\nOut = (\S+)", text, re.MULTILINE)
    assert len(cases) == 139
    assert all(digest(bytes.fromhex(data)).hex() == out.lower() for data, out in cases)


def test_the_digests_of_the_standard(vectors: Path):
    cases = list(blocks(vectors / "sm4_sm3_rfc/sm3-oscca.txt"))
    checked = 0
    for case in cases:
        if "MD" in case:
            data = bytes.fromhex(case["MSG"])[: int(case["LEN"]) // 8]
            assert sm.sm3(data).hex() == case["MD"]
            checked += 1
    assert checked >= 5


def test_sm3_of_abc():
    expected = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    for digest in DIGESTS:
        assert digest(b"abc").hex() == expected


@given(st.binary(max_size=200), st.binary(max_size=150))
def test_the_fallbacks_agree(data: bytes, key: bytes):
    assert hashes._sm3_cryptography(data) == sm.sm3(data)
    assert hashes._hmac_cryptography(key, data) == sm.hmac_sm3(key, data)
    block = sm.sm3(key) if len(key) > 64 else key
    block = block.ljust(64, b"\x00")
    inner = sm.sm3(bytes(b ^ 0x36 for b in block) + data)
    assert sm.hmac_sm3(key, data) == sm.sm3(bytes(b ^ 0x5C for b in block) + inner)


@pytest.mark.skipif(not HASHLIB_KNOWS_SM3, reason="this interpreter's OpenSSL has no SM3")
def test_an_interpreter_without_sm3_gets_the_fallback(monkeypatch: pytest.MonkeyPatch):
    def unsupported(name: str, data: bytes = b"") -> Any:
        raise ValueError(f"unsupported hash type {name}")

    monkeypatch.setattr(hashes.hashlib, "new", unsupported)
    assert hashes._choose() == (hashes._sm3_cryptography, hashes._hmac_cryptography)


# --- SM4 -----------------------------------------------------------------------------------------


def test_botans_blocks(vectors: Path):
    checked = 0
    for case in blocks(vectors / "botan/sm4.vec"):
        if "OUT" in case:
            encryptor = Cipher(SM4(bytes.fromhex(case["KEY"])), ECB()).encryptor()
            assert encryptor.update(bytes.fromhex(case["IN"])).hex() == case["OUT"].lower()
            checked += 1
    assert checked == 22


def test_gcm_of_rfc_8998(vectors: Path):
    (case,) = (c for c in blocks(vectors / "sm4_sm3_rfc/rfc8998.txt") if "TAG" in c)
    key, nonce, aad, tag, plain, sealed = (
        bytes.fromhex(case[name]) for name in ("KEY", "IV", "AAD", "TAG", "PLAINTEXT", "CIPHERTEXT")
    )
    assert sm.sm4_gcm_encrypt(key, nonce, plain, aad) == sealed + tag
    assert sm.sm4_gcm_decrypt(key, nonce, sealed + tag, aad) == plain


def test_ctr_of_the_draft(vectors: Path):
    cases = [
        c for c in blocks(vectors / "sm4_sm3_rfc/draft-ribose-cfrg-sm4-10-ctr.txt") if "IV" in c
    ]
    assert len(cases) == 2
    for case in cases:
        key, nonce, plain, sealed = (
            bytes.fromhex(case[name]) for name in ("KEY", "IV", "PLAINTEXT", "CIPHERTEXT")
        )
        assert sm.sm4_ctr(key, nonce, plain) == sealed


@given(st.binary(max_size=100), st.binary(max_size=20))
def test_gcm_opens_only_what_was_sealed(plain: bytes, context: bytes):
    sealed = sm.sm4_gcm_encrypt(KEY, NONCE[:12], plain, context)
    assert sm.sm4_gcm_decrypt(KEY, NONCE[:12], sealed, context) == plain
    for position in (0, len(sealed) - 1):
        broken = bytearray(sealed)
        broken[position] ^= 1
        with pytest.raises(SealBroken):
            sm.sm4_gcm_decrypt(KEY, NONCE[:12], bytes(broken), context)
    for key, nonce, aad, data in (
        (NONCE, NONCE[:12], context, sealed),
        (KEY, NONCE[1:13], context, sealed),
        (KEY, NONCE[:12], context + b"!", sealed),
        (KEY, NONCE[:12], context, sealed[:-1]),
        (KEY, NONCE[:12], context, b""),
    ):
        with pytest.raises(SealBroken):
            sm.sm4_gcm_decrypt(key, nonce, data, aad)


@given(st.integers(0, 40), st.integers(0, 100), st.sampled_from([NONCE, b"\xff" * 16]))
def test_ctr_can_start_at_any_block(block: int, size: int, nonce: bytes):
    whole = sm.sm4_ctr(KEY, nonce, bytes(16 * block + size))
    part = sm.sm4_ctr(KEY, nonce, bytes(size), block_offset=block)
    assert part == whole[16 * block :]
    assert sm.sm4_ctr(KEY, nonce, part, block_offset=block) == bytes(size)


def test_nonces_of_another_length_are_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        sm.sm4_ctr(KEY, NONCE[:12], b"x")
    with pytest.raises(ValueError, match="12 bytes"):
        sm.sm4_gcm_encrypt(KEY, NONCE, b"x")


def test_the_standards_public_key_is_read(standard: dict[str, Any]):
    """Its X starts with 0, which gmssl's constructor would have cut off."""
    point = bytes.fromhex("04" + standard["key"]["Px"] + standard["key"]["Py"])
    assert Sm2PublicKey.from_bytes(point).to_bytes() == point


# --- SM2 encryption ------------------------------------------------------------------------------


def test_the_ciphertext_of_the_standard(standard: dict[str, Any]):
    key, case = Sm2PrivateKey(int(standard["key"]["d"], 16)), standard["encrypt"]
    plain = case["message_ascii"].encode()
    point = key.public_key.to_bytes()[1:]
    parts = tuple(bytes.fromhex(case[name]) for name in ("C3", "C2"))
    first = bytes.fromhex(case["C1x"] + case["C1y"])
    assert encryption.encrypt_with_nonce(point, plain, int(case["k"], 16)) == (first, *parts)
    assert key.decrypt(der.encode_ciphertext(first, *parts)) == plain


def test_botans_invalid_ciphertexts_are_refused(vectors: Path):
    text = (vectors / "botan/sm2_invalid.vec").read_text()
    (secret,) = re.findall(r"^Key = (\S+)", text, re.MULTILINE)
    cases = re.findall(r"^Ctext =[ \t]*(\S*)", text, re.MULTILINE)
    assert len(cases) >= 20
    for sealed in cases:
        with pytest.raises(CannotDecrypt):
            Sm2PrivateKey(int(secret, 16)).decrypt(bytes.fromhex(sealed))


def test_encryption_returns_and_any_changed_byte_is_refused():
    key = Sm2PrivateKey.generate()
    for size in (1, 32, 33, 100):
        assert key.decrypt(key.public_key.encrypt(bytes(size))) == bytes(size)
    sealed = key.public_key.encrypt(b"identity")
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 1
        with pytest.raises(CannotDecrypt):
            key.decrypt(bytes(broken))
    with pytest.raises(ValueError, match="at least one byte"):
        key.public_key.encrypt(b"")


def test_bare_gmssl_decrypts_a_changed_ciphertext():
    """The hazard closed by comparing C3: the library returns other bytes without a word."""
    from gmssl.sm2 import CryptSM2

    key = Sm2PrivateKey(77)
    point, check, sealed = der.decode_ciphertext(key.public_key.encrypt(b"100 points"))
    changed = bytes([sealed[0] ^ 8]) + sealed[1:]
    bare = CryptSM2(private_key=f"{77:064x}", public_key="", mode=1)
    assert bare.decrypt(point + check + changed) == b"900 points"
    with pytest.raises(CannotDecrypt, match="check value"):
        key.decrypt(der.encode_ciphertext(point, check, changed))


@pytest.mark.parametrize("digest", DIGESTS)
@given(prefix=st.binary(max_size=100), data=st.binary(max_size=100))
def test_a_begun_digest_is_the_digest_of_the_whole(digest: Any, prefix: bytes, data: bytes):
    with pytest.MonkeyPatch.context() as patch:
        if digest is hashes._sm3_cryptography:
            patch.setattr(hashes, "_sm3", digest)
        finish = sm.sm3_after(prefix)
    assert finish(data) == finish(data) == sm.sm3(prefix + data)
