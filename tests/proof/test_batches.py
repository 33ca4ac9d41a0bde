"""Batches read from a transaction's own input, against the chain room's encoder and by hand."""

import pytest
from eth_hash.auto import keccak

from backend.chain.contracts import BatchContent, BatchHeader, post_input
from backend.chain.contracts import batch_id as batch_id_of_chain
from backend.proof import batches
from backend.proof.batches import BatchError, decode_post
from backend.proof.keccak import keccak256

CONTRACT = "0x" + "ab" * 20
LOW, HIGH = b"\x01" * 20, b"\x02" * 20
HEADER = BatchHeader(1, "carbon", "green-travel", "metro-points", 3, 0, 5, 9, LOW, HIGH)


def records(*pairs: tuple[bytes, int]) -> bytes:
    return b"".join(account + amount.to_bytes(4) for account, amount in pairs)


def call(data: bytes = records((LOW, 7), (HIGH, 9)), header: BatchHeader = HEADER) -> bytes:
    return post_input(header, BatchContent(20_000, 20_001, data))


@pytest.mark.parametrize("size", [0, 1, 31, 135, 136, 137, 271, 272, 1000])
def test_keccak_is_the_chains(size: int) -> None:
    data = bytes(n * 7 % 256 for n in range(size))
    assert keccak256(data) == keccak(data)


def test_the_selector_is_the_published_one() -> None:
    assert batches.POST_SELECTOR.hex() == "eb16267a"


def test_a_batch_reads_back_as_the_chain_room_wrote_it() -> None:
    batch = decode_post(call())
    assert (batch.kind, batch.points_class, batch.programme) == (1, "carbon", "green-travel")
    assert (batch.rule, batch.rule_version, batch.reason) == ("metro-points", 3, 0)
    assert (batch.leaf_from, batch.leaf_to) == (5, 9)
    assert (batch.account_from, batch.account_to) == (LOW, HIGH)
    assert (batch.day_from, batch.day_to) == (20_000, 20_001)
    assert batch.records == {LOW: 7, HIGH: 9}
    ours = batches.batch_id(batch.header, 20261, CONTRACT)
    assert ours == batch_id_of_chain(20261, CONTRACT, HEADER)


def test_a_redemption_names_no_programme() -> None:
    header = BatchHeader(2, "carbon", "", "", 0, 0, 5, 9, LOW, HIGH)
    batch = decode_post(call(header=header))
    assert (batch.programme, batch.rule, batch.rule_version) == ("", "", 0)


@pytest.mark.parametrize(
    "data",
    [
        records((HIGH, 9), (LOW, 7)),
        records((LOW, 7), (LOW, 7)),
        records((LOW, 0)),
        records((LOW, 7))[:-1],
        records((b"\x03" * 20, 7)),
        b"",
    ],
)
def test_records_ascend_are_whole_positive_and_in_range(data: bytes) -> None:
    with pytest.raises(BatchError):
        decode_post(call(data))


def test_every_padding_byte_must_be_zero() -> None:
    good = call()
    decode_post(good)
    padding = 0
    for at in range(4, len(good)):
        if good[at]:
            continue
        try:
            decode_post(good[:at] + b"\x80" + good[at + 1 :])
        except BatchError:
            padding += 1
    # Ten words of the head are padded, and the records' last word.
    assert padding > 300


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d[:-32],
        lambda d: d + bytes(32),
        lambda d: d[:-1],
        lambda d: b"\0" + d[1:],
        lambda d: d[:4],
        lambda _: b"",
    ],
)
def test_input_that_is_not_one_call_of_post(spoil) -> None:
    with pytest.raises(BatchError):
        decode_post(spoil(call()))
