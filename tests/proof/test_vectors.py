"""The files in tests/vectors/proof: read by our code, and by arithmetic written out here."""

import hashlib
import json
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from backend.chain import contracts
from backend.flows.verify_receipt import check_receipt
from backend.kit.canonical import dumps
from backend.kit.sm import Sm2PublicKey
from backend.proof import checkpoint, leaves, receipt, trust
from backend.proof.batches import decode_post
from backend.proof.verify import verify_sm2
from tests.proof import make_vectors
from tests.proof.builders import CITY_TZ, Installation, an_award

FOLDER = make_vectors.FOLDER
KNOWN: dict[str, Any] = json.loads((FOLDER / "formats.json").read_text("utf-8"))


def sm3(data: bytes) -> bytes:
    return hashlib.new("sm3", data).digest()


def read(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def test_they_follow_from_the_fixed_keys() -> None:
    """Only signatures differ from run to run; with the stored note, the papers are the same."""
    here = Installation()
    issued = an_award(here)
    assert {**make_vectors.unsigned(here), "checkpoint": KNOWN["checkpoint"]} == KNOWN
    assert read("trust.json") == here.trust_file()
    issued.note = KNOWN["checkpoint"]["note"]
    assert read("receipt-full.json") == issued.receipt()
    assert read("receipt-share.json") == issued.receipt("share")


def test_event_and_account() -> None:
    event = KNOWN["event"]
    digest = sm3(b"tanhui-event-v1\nmetro\n" + event["cj"].encode())
    opened = json.loads(KNOWN["leaf"]["disclosures"][7])
    assert opened[2]["digest"] == digest.hex()
    account = sm3(b"tanhui-account-v1\ncarbon\n" + bytes(32))[:20]
    assert KNOWN["account"]["account"] == account.hex()
    assert json.loads(KNOWN["leaf"]["disclosures"][8])[2] == account.hex()


def test_the_leaf_by_hand() -> None:
    leaf = KNOWN["leaf"]
    commitments = [sm3(text.encode()) for text in leaf["disclosures"]]
    assert [c.hex() for c in commitments] == leaf["commitments"]
    data = b"tanhui-leaf-v1\n\x01\x09" + b"".join(commitments)
    assert data.hex() == leaf["leaf_data"]
    assert sm3(b"\0" + data).hex() == leaf["leaf_hash"]
    texts = [text.encode() for text in leaf["disclosures"]]
    assert list(leaves.open_fields(1, texts, CITY_TZ)) == list(leaves.FIELDS[1])


def test_the_tree_by_hand() -> None:
    tree = KNOWN["tree_sm3"]
    assert tree["roots"][0] == sm3(b"").hex()
    one, two = sm3(b"\0\0"), sm3(b"\0\1")
    assert tree["roots"][1] == one.hex()
    assert tree["roots"][2] == sm3(b"\1" + one + two).hex()
    three = sm3(b"\1" + sm3(b"\1" + one + two) + sm3(b"\0\2"))
    assert tree["roots"][3] == three.hex()


def test_the_checkpoint() -> None:
    known = KNOWN["checkpoint"]
    text = f"tanhui/test/metro/20261\n{known['size']}\n"
    assert known["text"].startswith(text)
    assert b64decode(known["text"][len(text) :]) == bytes.fromhex(known["root"])
    public_key = bytes.fromhex(known["public_key"])
    named = known["key_name"].encode() + b"\n\xfftanhui-sm2-v1" + public_key
    assert sm3(named)[:4].hex() == known["key_id"]
    note, _, lines = known["note"].partition("\n\n")
    assert note + "\n" == known["text"]
    blob = b64decode(lines.split(" ")[2])
    assert blob[:4].hex() == known["key_id"]
    assert Sm2PublicKey.from_bytes(public_key).verify_twice(blob[4:], known["text"].encode())
    key = checkpoint.CheckpointKey(known["key_name"], "issuer", public_key, 1, None)
    checkpoint.check_note(checkpoint.parse_note(known["note"]), known["origin"], [key], verify_sm2)


def test_the_batch_id_by_keccak() -> None:
    known = KNOWN["batch"]
    header = bytes.fromhex(known["header"])
    words = (
        b"tanhui-batch-v1".ljust(32, b"\0")
        + known["chain_id"].to_bytes(32)
        + bytes.fromhex(known["contract"][2:]).rjust(32, b"\0")
        + header
    )
    assert keccak(words).hex() == known["batch_id"]
    batch = decode_post(bytes.fromhex(known["input"]))
    assert batch.header == header
    ours = contracts.BatchHeader(
        batch.kind,
        batch.points_class,
        batch.programme,
        batch.rule,
        batch.rule_version,
        batch.reason,
        batch.leaf_from,
        batch.leaf_to,
        batch.account_from,
        batch.account_to,
    )
    assert contracts.batch_id(known["chain_id"], known["contract"], ours).hex() == known["batch_id"]


def test_the_eip712_digest_by_eth_account() -> None:
    # Loading it raises Python's recursion limit so far that deep JSON would overrun the C stack.
    limit = sys.getrecursionlimit()
    from eth_account.messages import encode_typed_data

    sys.setrecursionlimit(limit)
    known = KNOWN["enactment_eip712"]
    said = known["enactment"]
    message = {
        "domain": {
            "name": "Tanhui RuleRegistry",
            "version": "1",
            "chainId": known["chain_id"],
            "verifyingContract": known["contract"],
        },
        "primaryType": "Enactment",
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Enactment": [
                {"name": "what", "type": "uint8"},
                {"name": "id", "type": "bytes32"},
                {"name": "version", "type": "uint32"},
                {"name": "digest", "type": "bytes32"},
                {"name": "dayFrom", "type": "uint32"},
                {"name": "dayTo", "type": "uint32"},
            ],
        },
        "message": {
            **said,
            "id": said["id"].encode().ljust(32, b"\0"),
            "digest": bytes.fromhex(said["digest"]),
        },
    }
    signable = encode_typed_data(full_message=message)
    assert signable.header.hex() == known["domain_separator"]
    assert signable.body.hex() == known["struct_hash"]
    assert keccak(b"\x19\x01" + signable.header + signable.body).hex() == known["digest"]
    terms = contracts.EnactmentTerms(
        said["what"],
        said["id"],
        said["version"],
        bytes.fromhex(said["digest"]),
        said["dayFrom"],
        said["dayTo"],
    )
    ours = contracts.enactment_digest(known["chain_id"], known["contract"], terms)
    assert ours.hex() == known["digest"]


@pytest.mark.parametrize(
    ("name", "origin"), [("full", "stated"), ("share", "hidden"), ("statement", "ok")]
)
async def test_the_receipts_hold(name: str, origin: str) -> None:
    data = read(f"receipt-{name}.json")
    assert dumps(json.loads(data)) == data
    assert receipt.parse_receipt(data).form == ("share" if name == "share" else "full")
    verdict = await check_receipt(data, read("trust.json"))
    assert verdict.ok
    assert verdict.steps[9].verdict == origin
    here = Installation()
    an_award(here)
    on_line = await check_receipt(data, read("trust.json"), here.node)
    assert on_line.ok
    assert on_line.steps[5].verdict == "ok"


def test_the_trust_file_and_its_update() -> None:
    pinned, newer = read("trust.json"), read("trust-2.json")
    line = read("trust-2.json.sig").decode()
    assert trust.accept_update(pinned, newer, line, verify_sm2).version == 2
    assert json.loads(newer)["prev_digest"] == sm3(pinned).hex()


def test_they_are_listed_with_their_origin() -> None:
    listed = (Path(__file__).parent.parent / "vectors" / "README.md").read_text("utf-8")
    for file in FOLDER.iterdir():
        assert f"`proof/{file.name}`" in listed
