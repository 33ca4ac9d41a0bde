"""Vectors for a batch id, a content hash and an EIP-712 digest, and the contracts' own opinion."""

import pytest

from backend.chain import ChainClient, Signer, deploy
from backend.chain import contracts as k
from backend.chain.keys import create_address, recover
from tests.chain.support import NodeProcess

CHAIN_ID = 20_261
CONTRACT = "0x" + "c0" * 20

HEADER = k.BatchHeader(
    kind=1,
    class_="carbon",
    programme="metro-2026",
    rule="metro-points",
    rule_version=1,
    reason=0,
    leaf_from=0,
    leaf_to=3,
    account_from=bytes(20),
    account_to=b"\xff" * 20,
)
CONTENT = k.BatchContent(
    20_779, 20_780, bytes.fromhex("e28d809607a454ec30d989ddf5c342bf0e5305730000000c")
)
TERMS = k.EnactmentTerms(1, "metro-points", 1, b"\x07" * 32, 20_454, 4_294_967_295)

BATCH_ID = "b5d13a3a3f9756f3d5cf369fedeefcdcc59077da8d37255ddae0b769375f523e"
CONTENT_HASH = "7e47c158cb3bf6761ea07de5173a8eb376c80b1a295037d34a45a7353abea841"
ENACTMENT_DIGEST = "1108fe820f4b8ecf60223560931a0b41528aaf2d5ca5d5b92e008a961575ad02"


def test_batch_id() -> None:
    assert k.batch_id(CHAIN_ID, CONTRACT, HEADER).hex() == BATCH_ID


def test_batch_id_by_hand() -> None:
    """Spelled out word by word, without an ABI library."""
    from eth_hash.auto import keccak

    def number(value: int) -> bytes:
        return value.to_bytes(32, "big")

    def text(value: str) -> bytes:
        return value.encode().ljust(32, b"\0")

    words = [
        text("tanhui-batch-v1"),
        number(CHAIN_ID),
        number(int(CONTRACT, 16)),
        number(1),
        text("carbon"),
        text("metro-2026"),
        text("metro-points"),
        number(1),
        number(0),
        number(0),
        number(3),
        bytes(32),
        b"\xff" * 20 + bytes(12),
    ]
    assert keccak(b"".join(words)).hex() == BATCH_ID


def test_content_hash() -> None:
    assert k.content_hash(CONTENT).hex() == CONTENT_HASH


def test_enactment_digest() -> None:
    assert k.enactment_digest(CHAIN_ID, CONTRACT, TERMS).hex() == ENACTMENT_DIGEST


def test_signatures_are_low_s_and_recover() -> None:
    signer = Signer(b"\x01" * 32)
    digest = bytes.fromhex(ENACTMENT_DIGEST)
    signature = signer.sign_digest(digest)
    assert signature == signer.sign_digest(digest), "deterministic"
    assert recover(digest, signature) == signer.address
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    twin = order - int.from_bytes(signature[32:64], "big")
    malleable = signature[:32] + twin.to_bytes(32, "big") + bytes([55 - signature[64]])
    for broken in (malleable, signature[:64], signature[:64] + b"\x00", bytes(64) + b"\x1b"):
        with pytest.raises(ValueError, match="signature"):
            recover(digest, broken)


def test_create_address() -> None:
    """Known from Ethereum: the first contract of the address 0x6ac7…."""
    sender = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"
    assert create_address(sender, 0) == "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    assert create_address(sender, 1) == "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"


@pytest.mark.chain
async def test_the_contracts_agree(client: ChainClient, shared_node: NodeProcess) -> None:
    from eth_abi.abi import encode

    places = {d.name: d.address for d in await deploy(client, shared_node.keys)}
    batch_type = "(uint8,bytes32,bytes32,bytes32,uint32,uint8,uint64,uint64,bytes20,bytes20)"
    asked = k.selector(f"batchIdOf({batch_type})") + encode([batch_type], [HEADER.words()])
    found = await client.call(places["CarbonPoints"], asked)
    assert found == k.batch_id(CHAIN_ID, places["CarbonPoints"], HEADER)

    terms_type = "(uint8,bytes32,uint32,bytes32,uint32,uint32)"
    asked = k.selector(f"hashEnactment({terms_type})") + encode([terms_type], [TERMS.words()])
    found = await client.call(places["RuleRegistry"], asked)
    assert found == k.enactment_digest(CHAIN_ID, places["RuleRegistry"], TERMS)
