"""trust.json: what is a trust file, and which newer one a pinned file accepts."""

from typing import Any

import pytest

from backend.kit.canonical import dumps
from backend.kit.sm import Sm2PrivateKey
from backend.proof import TrustError, checkpoint, trust
from backend.proof.verify import verify_sm2
from tests.proof.builders import CHAIN_ID, Installation

HERE = Installation()


def signature(document: bytes, key: Sm2PrivateKey = HERE.root_key, name: str = "root-1") -> str:
    line_name = checkpoint.key_name(HERE.profile, HERE.issuer, name)
    return checkpoint.signature_line(line_name, key.public_key.to_bytes(), key.sign(document))


def a_newer(pinned: bytes, version: int = 2, **changes: Any) -> bytes:
    prev = trust.digest(pinned).hex()
    return HERE.trust_file(version=version, prev_digest=prev, **changes)


def test_a_trust_file_reads_back() -> None:
    read = trust.parse_trust(HERE.trust_file())
    assert (read.issuer_id, read.profile, read.city_tz) == ("metro", "test", "Asia/Shanghai")
    assert read.chain.chain_id == CHAIN_ID
    assert read.chain.contracts["CarbonPoints"].address == HERE.contracts["CarbonPoints"]
    assert [key.role for key in read.checkpoint_keys] == ["issuer", "witness"]


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "tanhui-trust-v2"},
        {"version": 0},
        {"version": True},
        {"version": 2},
        {"prev_digest": "00" * 32},
        {"issuer": {"id": "Metro", "name": "x"}},
        {"issuer": {"id": "metro"}},
        {"profile": "staging"},
        {"city_tz": "Mars/Olympus"},
        {"city_tz": "../etc/passwd"},
        {"log": {"origin": "tanhui/production/metro/20261", "hash": "sm3"}},
        {"log": {"origin": HERE.origin, "hash": "sha256"}},
        {"root_keys": []},
        {"root_keys": HERE.trust_content()["root_keys"] * 2},
        {"checkpoint_keys": []},
        {"checkpoint_keys": HERE.trust_content()["checkpoint_keys"][1:]},
        {"checkpoint_keys": HERE.trust_content()["checkpoint_keys"][:1] * 2},
        {"partner_keys": None},
        {"chain": {}},
        {"more": 1},
    ],
)
def test_what_is_no_trust_file(changes: dict[str, Any]) -> None:
    with pytest.raises(TrustError):
        trust.parse_trust(dumps({**HERE.trust_content(), **changes}))


def test_issuer_ranges_may_touch_and_not_overlap() -> None:
    first = HERE.trust_content()["checkpoint_keys"][0]
    second = {**first, "name": "tanhui/test/metro/2", "from_size": 10}
    HERE.trust_file(checkpoint_keys=[{**first, "to_size": 10}, second])
    with pytest.raises(TrustError, match="overlap"):
        HERE.trust_file(checkpoint_keys=[{**first, "to_size": 11}, second])


@pytest.mark.parametrize(
    "spoil",
    [lambda t: t + b"\n", lambda t: t.replace(b'":', b'": ', 1), lambda t: t[:-1], lambda _: b"[]"],
)
def test_a_trust_file_has_one_spelling(spoil) -> None:
    with pytest.raises(TrustError):
        trust.parse_trust(spoil(HERE.trust_file()))


def test_a_pinned_file_accepts_its_signed_successor() -> None:
    pinned = HERE.trust_file()
    newer = a_newer(pinned)
    assert trust.accept_update(pinned, newer, signature(newer), verify_sm2).version == 2
    later = HERE.trust_file(version=9, prev_digest="11" * 32)
    assert trust.accept_update(pinned, later, signature(later), verify_sm2).version == 9


@pytest.mark.parametrize(
    ("newer", "key", "reason"),
    [
        (lambda p: p, HERE.root_key, "not higher"),
        (a_newer, Sm2PrivateKey(99), "knows no root key"),
        (lambda _: HERE.trust_file(version=2, prev_digest="22" * 32), HERE.root_key, "prev_digest"),
        (lambda p: a_newer(p, city_tz="Asia/Tokyo"), HERE.root_key, "cannot change"),
    ],
)
def test_a_pinned_file_refuses_another_successor(newer, key: Sm2PrivateKey, reason: str) -> None:
    pinned = HERE.trust_file()
    document = newer(pinned)
    with pytest.raises(TrustError, match=reason):
        trust.accept_update(pinned, document, signature(document, key), verify_sm2)


def test_the_signature_covers_every_byte_of_the_newer_file() -> None:
    pinned = HERE.trust_file()
    signed, other = a_newer(pinned), a_newer(pinned, partner_keys=[])
    with pytest.raises(TrustError, match="does not hold"):
        trust.accept_update(pinned, other, signature(signed), verify_sm2)


def test_a_root_key_of_the_newer_file_alone_does_not_count() -> None:
    thief = Sm2PrivateKey(77)
    mine = [
        {
            "name": checkpoint.key_name("test", "metro", "root-1"),
            "public_key": trust.key_text(thief.public_key.to_bytes()),
        }
    ]
    pinned = HERE.trust_file()
    newer = a_newer(pinned, root_keys=mine)
    with pytest.raises(TrustError, match="knows no root key"):
        trust.accept_update(pinned, newer, signature(newer, thief), verify_sm2)
