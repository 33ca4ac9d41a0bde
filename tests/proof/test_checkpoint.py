"""Checkpoints: the note's one spelling, and whose signatures count."""

import json
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from backend.kit.sm import Sm2PrivateKey
from backend.proof import checkpoint
from backend.proof.checkpoint import CheckpointKey, NoteError
from backend.proof.verify import verify_sm2

ORIGIN = "tanhui/test/metro/20261"
ROOT = bytes(range(32))
ISSUER, WITNESS, STRANGER = (Sm2PrivateKey(secret) for secret in (11, 22, 33))
KEYS = (
    CheckpointKey("tanhui/test/metro/1", "issuer", ISSUER.public_key.to_bytes(), 1, 100),
    CheckpointKey("tanhui/test/metro/2", "issuer", STRANGER.public_key.to_bytes(), 100, None),
    CheckpointKey("witness.example/1", "witness", WITNESS.public_key.to_bytes(), 1, None),
)


def a_line(text: bytes, name: str, key: Sm2PrivateKey) -> str:
    return checkpoint.signature_line(name, key.public_key.to_bytes(), key.sign(text))


def a_note(size: int = 7, *signers: tuple[str, Sm2PrivateKey], origin: str = ORIGIN) -> str:
    text = checkpoint.checkpoint_text(origin, size, ROOT)
    signers = signers or (("tanhui/test/metro/1", ISSUER),)
    return checkpoint.build_note(text, [a_line(text, name, key) for name, key in signers])


def check(note: str) -> tuple[str, ...]:
    return checkpoint.check_note(checkpoint.parse_note(note), ORIGIN, KEYS, verify_sm2)


def test_the_published_key_id() -> None:
    known = json.loads((Path(__file__).parent.parent / "vectors/sm2_gbt32918_5.json").read_text())
    point = bytes.fromhex("04" + known["key"]["Px"] + known["key"]["Py"])
    assert checkpoint.key_id("tanhui/test/metro/1", point).hex() == "0d1263e8"


def test_a_note_by_the_issuer_and_a_witness_holds() -> None:
    note = a_note(7, ("tanhui/test/metro/1", ISSUER), ("witness.example/1", WITNESS))
    parsed = checkpoint.parse_note(note)
    assert (parsed.origin, parsed.size, parsed.root) == (ORIGIN, 7, ROOT)
    assert check(note) == ("tanhui/test/metro/1", "witness.example/1")


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        (lambda: a_note(7, ("witness.example/1", WITNESS)), "no key of the issuer"),
        (lambda: a_note(100), "not valid for size 100"),
        (lambda: a_note(99, ("tanhui/test/metro/2", STRANGER)), "not valid for size 99"),
        (lambda: a_note(7, ("tanhui/test/metro/1", STRANGER)), "knows no key"),
        (lambda: a_note(7, ("tanhui/test/metro/9", ISSUER)), "knows no key"),
        (lambda: a_note(7, *[("tanhui/test/metro/1", ISSUER)] * 2), "signs twice"),
        (lambda: a_note(7, origin="tanhui/demo/metro/20261"), "origin line"),
    ],
)
def test_a_note_that_trust_does_not_cover_fails(note, reason: str) -> None:
    with pytest.raises(NoteError, match=reason):
        check(note())


def test_one_bad_line_spoils_a_good_note() -> None:
    with pytest.raises(NoteError, match="knows no key"):
        check(a_note(7, ("tanhui/test/metro/1", ISSUER), ("stranger", STRANGER)))


def test_a_key_is_valid_from_its_first_size() -> None:
    assert check(a_note(100, ("tanhui/test/metro/2", STRANGER)))
    assert check(a_note(99))


def test_another_size_or_root_breaks_the_signature() -> None:
    note = a_note(7)
    for changed in (note.replace("\n7\n", "\n8\n"), note.replace("AAEC", "AAED")):
        assert changed != note
        with pytest.raises(NoteError, match="does not hold"):
            check(changed)


@pytest.mark.parametrize("r_or_s", [bytes(32), b"\xff" * 32])
def test_r_and_s_lie_within_the_order(r_or_s: bytes) -> None:
    text = checkpoint.checkpoint_text(ORIGIN, 7, ROOT)
    good = ISSUER.sign(text)
    for signature in (r_or_s + good[32:], good[:32] + r_or_s):
        line = checkpoint.signature_line(
            "tanhui/test/metro/1", ISSUER.public_key.to_bytes(), signature
        )
        with pytest.raises(NoteError, match="does not hold"):
            check(checkpoint.build_note(text, [line]))


@pytest.mark.parametrize(
    "edit",
    [
        lambda n: n[:-1],
        lambda n: n + "\n",
        lambda n: n.replace("\n7\n", "\n07\n"),
        lambda n: n.replace("\n7\n", "\n0\n"),
        lambda n: n.replace("\n7\n", "\n+7\n"),
        lambda n: n.replace("\n7\n", "\n７\n"),
        lambda n: n.replace("\n\n", "\n"),
        lambda n: n.replace("\n\n", "\nextra\n\n"),
        lambda n: n.replace("— ", "- "),
        lambda n: n.replace("— ", "—  "),
        lambda n: n.replace("metro/1 ", "metro/1  "),
        lambda n: n.replace("— tanhui/test", "— Tanhui/test"),
        lambda n: n.replace("\n", "\r\n"),
        lambda n: n[:-3] + "==\n",
        lambda n: n.split("\n\n")[0] + "\n\n",
        lambda _: "",
    ],
)
def test_a_note_has_one_spelling(edit) -> None:
    note = a_note(7)
    assert edit(note) != note
    with pytest.raises(NoteError):
        check(edit(note))


def test_spare_bits_of_base64_are_zero() -> None:
    note = a_note(7)
    blob = note.rstrip("\n").rsplit(" ", 1)[1]
    assert b64encode(b64decode(blob)).decode() == blob
    assert blob.endswith("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = blob[:-2] + alphabet[alphabet.index(blob[-2]) + 1] + "="
    with pytest.raises(NoteError, match="base64"):
        _ = checkpoint.parse_note(note.replace(blob, other)).signatures
