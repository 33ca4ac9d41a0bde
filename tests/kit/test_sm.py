"""SM2 keys and signatures: each hazard of gmssl with and without its cure, both implementations
against each other, strict spellings, key files."""

import random
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gmssl import func as gmssl_func
from gmssl import sm2 as gmssl_sm2
from gmssl import sm3 as gmssl_sm3
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kit import sm
from backend.kit.sm import BadKey, BadSignature, Sm2PrivateKey, Sm2PublicKey, curve, der, engines
from backend.kit.sm.keys import EnginesDisagree

ROOT = Path(__file__).parents[2]
ENGINES = ("gmssl", "tongsuo") if engines.has_tongsuo() else ("gmssl",)
few = settings(max_examples=12, deadline=None)
needs_tongsuo = pytest.mark.skipif(not engines.has_tongsuo(), reason="tongsuopy is not installed")


def a_key(secret: int = 0x1234567890ABCDEF) -> Sm2PrivateKey:
    return Sm2PrivateKey(secret)


def point_of(key: Sm2PrivateKey) -> bytes:
    return key.public_key.to_bytes()[1:]


def key_whose_x_starts(digits: str) -> Sm2PrivateKey:
    for secret in range(1, 200):
        key = a_key(secret)
        if point_of(key).hex().startswith(tuple(digits)):
            return key
    raise AssertionError("no such key among the first 200")


def bare(key: Sm2PrivateKey) -> Any:
    """gmssl as it comes, handed a public key without prefix."""
    crypt = gmssl_sm2.CryptSM2(private_key=f"{key._secret:064x}", public_key="")
    crypt.public_key = point_of(key).hex()
    return crypt


# --- the hazards of gmssl, each shown on the bare library and closed in ours ---------------------


def test_hazard_nonce_from_a_predictable_generator(monkeypatch: pytest.MonkeyPatch):
    key = a_key()

    def signed_twice_after_one_seed(sign: Any) -> bool:
        random.seed(7)
        first = sign(b"text")
        random.seed(7)
        return first == sign(b"text")

    monkeypatch.setattr(gmssl_func, "choice", random.choice)
    assert signed_twice_after_one_seed(bare(key).sign_with_sm3)
    assert not signed_twice_after_one_seed(key.sign)
    # Second line of defence: loading our engine replaces the library's source of chance.
    engines.GmsslEngine()
    assert gmssl_func.choice == secrets.choice
    assert not signed_twice_after_one_seed(bare(key).sign_with_sm3)


def test_hazard_prefix_stripped_as_characters():
    key = key_whose_x_starts("04")
    mangled = gmssl_sm2.CryptSM2(private_key="", public_key=key.public_key.to_bytes().hex())
    assert mangled.public_key != point_of(key).hex()
    signature = key.sign(b"text")
    assert key.public_key.verify(signature, b"text", engine_name="gmssl")


def test_hazard_empty_public_key_signs_wrongly():
    key = a_key()
    crypt: Any = gmssl_sm2.CryptSM2(private_key=f"{key._secret:064x}", public_key="")
    wrong = bytes.fromhex(crypt.sign_with_sm3(b"text"))
    assert not key.public_key.verify(wrong, b"text")
    assert key.public_key.verify(key.sign(b"text"), b"text")


def small_s_example() -> tuple[int, bytes, bytes]:
    """(secret, digest, r ‖ s) with s = 5, so that s + n still fits 32 bytes."""
    digest, nonce, s = sm.sm3(b"any"), 0xABCDEF, 5
    x = int.from_bytes(engines.gmssl_engine().point_of(nonce)[:32])
    r = (int.from_bytes(digest) + x) % curve.N
    secret = (nonce - s) * pow(r + s, -1, curve.N) % curve.N
    assert engines.gmssl_engine().sign_digest(secret, digest, nonce) == (
        r.to_bytes(32) + s.to_bytes(32)
    )
    return secret, digest, r.to_bytes(32) + s.to_bytes(32)


def test_hazard_second_signature_by_adding_n():
    secret, digest, signature = small_s_example()
    twin = signature[:32] + (5 + curve.N).to_bytes(32)
    assert bare(a_key(secret)).verify(twin.hex(), digest)
    with pytest.raises(BadSignature):
        der.read_raw(twin)
    assert not a_key(secret).public_key.verify(twin, b"any")


def test_hazard_loose_der_is_accepted():
    key = a_key()
    signature = key.sign_der(b"text")
    r, s = der.read_raw(der.decode_signature(signature))
    padded = b"\x00" * 3 + r.to_bytes(32)
    loose = bytes((0x02, len(padded))) + padded + der._integer(s)
    loose = bytes((0x30, len(loose))) + loose
    crypt = bare(key)
    crypt.asn1 = True
    assert crypt.verify_with_sm3(loose.hex(), b"text")
    assert not key.public_key.verify_der(loose, b"text")


def test_hazard_point_off_the_curve_is_accepted():
    """On digests, gmssl verifies with a point for which nobody can hold a private key."""
    off = (5).to_bytes(32) + (7).to_bytes(32)
    crypt: Any = gmssl_sm2.CryptSM2(private_key="", public_key="")
    crypt.public_key = off.hex()
    s, t = 3, 11
    sum_of_points = crypt._add_point(
        crypt._kg(s, f"{curve.GX:064x}{curve.GY:064x}") + "1", crypt._kg(t, crypt.public_key)
    )
    x = int(crypt._convert_jacb_to_nor(sum_of_points)[:64], 16)
    digest = ((t - s - x) % curve.N).to_bytes(32)
    assert crypt.verify(f"{t - s:064x}{s:064x}", digest)
    with pytest.raises(BadKey, match="not on the SM2 curve"):
        Sm2PublicKey(b"\x04" + off)


def test_hazard_point_at_infinity_raises():
    key = a_key()
    t = 9
    s = -t * key._secret % curve.N
    signature = ((t - s) % curve.N).to_bytes(32) + s.to_bytes(32)
    with pytest.raises(TypeError):
        bare(key).verify_with_sm3(signature.hex(), b"text")
    for engine in ENGINES:
        assert key.public_key.verify(signature, b"text", engine_name=engine) is False


def test_hazard_short_input_raises():
    key = a_key()
    with pytest.raises(ValueError, match="invalid literal"):
        bare(key).verify_with_sm3("", b"text")
    for short in (b"", b"\x01", bytes(63), bytes(65)):
        assert key.public_key.verify(short, b"text", engine_name="gmssl") is False
        assert key.public_key.verify_der(short, b"text", engine_name="gmssl") is False


def test_hazard_slow_digest_of_the_library_is_never_used(monkeypatch: pytest.MonkeyPatch):
    """Its SM3 takes seconds for a body of some hundred kilobytes; ours digests the text."""
    key = a_key()
    assert bytes.fromhex(bare(key)._sm3_z(b"text")) == curve.signed_digest(point_of(key), b"text")

    def slow(_: Any) -> str:
        raise AssertionError("gmssl's own SM3 was called")

    monkeypatch.setattr(gmssl_sm3, "sm3_hash", slow)
    with pytest.raises(AssertionError, match="own SM3"):
        bare(key).sign_with_sm3(b"text")
    assert key.public_key.verify(key.sign(b"text"), b"text", engine_name="gmssl")


@needs_tongsuo
def test_hazard_tongsuopy_raises_internal_error():
    from tongsuopy.crypto import hashes
    from tongsuopy.crypto.asymciphers import ec as tongsuo_ec
    from tongsuopy.crypto.exceptions import InternalError

    key = a_key()
    bare_key = tongsuo_ec.EllipticCurvePublicKey.from_encoded_point(
        tongsuo_ec.SM2(), key.public_key.to_bytes()
    )
    with pytest.raises(InternalError):
        bare_key.verify(b"\x30\x02\x02\x00", b"text", tongsuo_ec.ECDSA(hashes.SM3()))
    assert not key.public_key.verify_der(b"\x30\x02\x02\x00", b"text", engine_name="tongsuo")
    assert key.public_key.verify_der(key.sign_der(b"text"), b"text", engine_name="tongsuo")


@needs_tongsuo
def test_an_internal_error_of_tongsuopy_is_a_no(monkeypatch: pytest.MonkeyPatch):
    key = a_key()
    engine: Any = engines.engine("tongsuo")

    def explode(*_: Any) -> None:
        raise engine._errors.InternalError("Unknown OpenSSL error", [])

    signature = key.sign(b"text")
    loaded = engine._ec.EllipticCurvePublicKey.from_encoded_point(
        engine._curve, key.public_key.to_bytes()
    )
    monkeypatch.setattr(type(loaded), "verify", explode)
    assert key.public_key.verify(signature, b"text", engine_name="tongsuo") is False


# --- both implementations ------------------------------------------------------------------------


@needs_tongsuo
@few
@given(st.integers(1, curve.N - 2), st.binary(max_size=200), st.integers(0, 511))
def test_each_implementation_accepts_what_the_other_signs(secret: int, text: bytes, bit: int):
    key = Sm2PrivateKey(secret)
    assert engines.engine("gmssl").point_of(secret) == engines.engine("tongsuo").point_of(secret)
    for signer, judge in (("gmssl", "tongsuo"), ("tongsuo", "gmssl")):
        signature = key.sign_der(text, engine_name=signer)
        assert key.public_key.verify_der(signature, text, engine_name=judge)
        assert not key.public_key.verify_der(signature, text + b"!", engine_name=judge)
        raw = der.decode_signature(signature)
        flipped = (int.from_bytes(raw) ^ (1 << bit)).to_bytes(64)
        for engine in ENGINES:
            assert not key.public_key.verify(flipped, text, engine_name=engine)


@pytest.mark.parametrize("secret", [1, 2, curve.N - 2])
def test_the_smallest_and_largest_secrets_work(secret: int):
    key = Sm2PrivateKey(secret)
    assert key.public_key.verify_twice(key.sign(b"x"), b"x")


@pytest.mark.parametrize("secret", [0, -1, curve.N - 1, curve.N, curve.N + 1])
def test_secrets_out_of_range_are_refused(secret: int):
    with pytest.raises(BadKey):
        Sm2PrivateKey(secret)


def test_signatures_never_repeat_a_nonce():
    key = a_key()
    first_halves = {key.sign_der(b"same")[:36] for _ in range(20)}
    assert len(first_halves) == 20
    assert key.sign(b"same") != key.sign(b"same")


def test_a_faulty_signature_does_not_leave(monkeypatch: pytest.MonkeyPatch):
    key = a_key()
    wrong = key.sign(b"another text")
    monkeypatch.setattr(engines.GmsslEngine, "sign", lambda *_: wrong)
    with pytest.raises(EnginesDisagree):
        key.sign(b"text")


@needs_tongsuo
def test_a_difference_between_the_implementations_is_an_alarm(monkeypatch: pytest.MonkeyPatch):
    key = a_key()
    signature = key.sign(b"text")
    monkeypatch.setattr(engines.TongsuoEngine, "verify", lambda *_: False)
    with pytest.raises(EnginesDisagree):
        key.public_key.verify_twice(signature, b"text")


def test_the_implementation_can_be_forced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(engines.ENGINE_VARIABLE, "gmssl")
    assert engines.engine().name == "gmssl"
    monkeypatch.delenv(engines.ENGINE_VARIABLE)
    assert engines.engine().name == ENGINES[-1]
    with pytest.raises(ValueError, match="no SM2 implementation"):
        engines.engine("other")


def test_without_the_fast_wheel_everything_still_works(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engines, "has_tongsuo", lambda: False)
    monkeypatch.setattr("backend.kit.sm.keys.has_tongsuo", lambda: False)
    key = Sm2PrivateKey.generate()
    assert engines.engine().name == "gmssl"
    assert key.public_key.verify_twice(key.sign(b"x"), b"x")
    assert key.public_key.verify_der(key.sign_der(b"x"), b"x")


def test_a_missing_implementation_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tongsuopy.crypto.asymciphers.ec", None)
    with pytest.raises(sm.EngineMissing):
        engines.TongsuoEngine()


def test_importing_the_room_loads_neither_implementation():
    probe = "import sys, backend.kit.sm as _; print({'gmssl', 'tongsuopy'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "set()"


# --- spellings -----------------------------------------------------------------------------------

R = bytes.fromhex("7f" + "11" * 31)
S = bytes.fromhex("8f" + "22" * 31)
GOOD_DER = bytes.fromhex("3045" + "0220" + R.hex() + "022100" + S.hex())


def test_der_of_a_signature():
    assert der.encode_signature(R + S) == GOOD_DER
    assert der.decode_signature(GOOD_DER) == R + S
    small = (1).to_bytes(32) + (0x80).to_bytes(32)
    assert der.encode_signature(small) == bytes.fromhex("3007020101 02020080")


@pytest.mark.parametrize(
    "loose",
    [
        GOOD_DER + b"\x00",
        GOOD_DER[:-1],
        b"",
        b"\x30",
        b"\x30\x80" + GOOD_DER[2:] + b"\x00\x00",
        b"\x30\x81\x45" + GOOD_DER[2:],
        b"\x30\x82\x00\x45" + GOOD_DER[2:],
        b"\x31" + GOOD_DER[1:],
        bytes.fromhex("3046" + "022100" + R.hex() + "022100" + S.hex()),
        bytes.fromhex("3044" + "0220" + R.hex() + "0220" + S.hex()),
        bytes.fromhex("3006020100020101"),
        bytes.fromhex("3006020101020100"),
        bytes.fromhex("30050200020101"),
        bytes.fromhex("300602 01ff 020101"),
        bytes.fromhex("3009020101020101020101"),
        bytes.fromhex("3045" + "0320" + R.hex() + "022100" + S.hex()),
        bytes.fromhex("3046022100") + curve.N.to_bytes(32) + b"\x02\x21\x00" + S,
        bytes.fromhex("3046022100") + (curve.N + 1).to_bytes(32) + b"\x02\x21\x00" + S,
        bytes.fromhex("3027022100") + S + bytes.fromhex("02028001"),
        bytes.fromhex("30ff"),
        bytes.fromhex("3084ffffffff"),
    ],
)
def test_any_other_spelling_of_der_is_refused(loose: bytes):
    with pytest.raises(BadSignature):
        der.decode_signature(loose)
    assert a_key().public_key.verify_der(loose, b"text") is False


@given(st.integers(1, curve.N - 1), st.integers(1, curve.N - 1))
def test_der_and_raw_say_the_same(r: int, s: int):
    raw = r.to_bytes(32) + s.to_bytes(32)
    assert der.decode_signature(der.encode_signature(raw)) == raw


@given(st.binary(max_size=80) | st.binary(max_size=8).map(lambda tail: GOOD_DER[:-8] + tail))
def test_whatever_decodes_is_spelled_minimally(data: bytes):
    try:
        raw = der.decode_signature(data)
    except BadSignature:
        return
    assert der.encode_signature(raw) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(65),
        b"\x04" + bytes(64),
        b"\x02" + curve.GX.to_bytes(32),
        b"\x04" + curve.GX.to_bytes(32) + (curve.GY + 1).to_bytes(32),
        b"\x04" + curve.GX.to_bytes(32) + (curve.P - curve.GY).to_bytes(32) + b"\x00",
        b"\x04" + curve.P.to_bytes(32) + curve.GY.to_bytes(32),
        b"\x06" + curve.GX.to_bytes(32) + curve.GY.to_bytes(32),
    ],
)
def test_bytes_that_are_not_a_public_key_are_refused(data: bytes):
    with pytest.raises(BadKey):
        Sm2PublicKey.from_bytes(data)


# --- key files -----------------------------------------------------------------------------------


def test_pem_round_trip_and_secrecy():
    key = Sm2PrivateKey.generate()
    again = Sm2PrivateKey.from_pem(key.to_pem().decode())
    assert again.public_key == key.public_key
    assert hash(again.public_key) == hash(key.public_key)
    assert Sm2PublicKey.from_pem(key.public_key.to_pem()) == key.public_key
    assert f"{key._secret:x}" not in repr(key).lower()


def pem_of(der_bytes: bytes, label: str = "PRIVATE KEY") -> bytes:
    from backend.kit.sm.keys import _armour

    return _armour(der_bytes, label)


def other_curve() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_pem_that_is_not_ours_is_refused():
    key = a_key()
    stranger = a_key(99).public_key.to_bytes()
    secret = key._secret.to_bytes(32)
    good = der.encode_private_key(secret, key.public_key.to_bytes())
    for pem in (
        b"",
        b"no pem",
        other_curve(),
        key.public_key.to_pem(),
        pem_of(good, "ENCRYPTED PRIVATE KEY"),
        pem_of(good, "EC PRIVATE KEY"),
        pem_of(good + b"\x00"),
        pem_of(good[:-1]),
        pem_of(der.encode_private_key(secret, stranger)),
        pem_of(der.encode_private_key(bytes(32), stranger)),
        pem_of(der.encode_private_key(secret[:31], stranger)),
        key.to_pem() + key.to_pem(),
        key.to_pem().replace(b"\nMI", b"\n=I"),
    ):
        with pytest.raises(BadKey):
            Sm2PrivateKey.from_pem(pem)
    with pytest.raises(BadKey):
        Sm2PublicKey.from_pem(key.to_pem())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is missing")
def test_openssl_reads_our_keys_and_signatures_and_we_its(tmp_path: Path):
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    key = Sm2PrivateKey.generate()
    distid = ("-sigopt", f"distid:{curve.USER_ID.decode()}")
    (tmp_path / "public.pem").write_bytes(key.public_key.to_pem())
    (tmp_path / "text").write_bytes(b"text")
    (tmp_path / "signature").write_bytes(key.sign_der(b"text"))
    check = ("-verify", "public.pem", "-signature", "signature", "text")
    openssl("dgst", "-sm3", *distid, *check)
    openssl("genpkey", "-algorithm", "SM2", "-out", "theirs.pem")
    openssl("dgst", "-sm3", *distid, "-sign", "theirs.pem", "-out", "theirs.sig", "text")
    theirs = Sm2PrivateKey.from_pem((tmp_path / "theirs.pem").read_bytes())
    assert theirs.public_key.verify_der((tmp_path / "theirs.sig").read_bytes(), b"text")
