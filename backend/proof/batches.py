"""Reading what a batch transaction carried: strict ABI decoding of `CarbonPoints.post`.

A verifier decodes the transaction's own input instead of trusting a log or an index
(formats.md §7). Every padding byte must be zero, so that one batch has one encoding.
"""

import re
from dataclasses import dataclass

from backend.proof.keccak import keccak256

POST_SIGNATURE = (
    b"post((uint8,bytes32,bytes32,bytes32,uint32,uint8,uint64,uint64,bytes20,bytes20),"
    b"uint32,uint32,bytes)"
)
POST_SELECTOR = keccak256(POST_SIGNATURE)[:4]
"""eb16267a."""

RECORDS_MAX = 2_040
RECORD_BYTES = 24
_HEAD_WORDS = 13
_BATCH_TAG = b"tanhui-batch-v1".ljust(32, b"\0")
_ID = re.compile(rb"[a-z][a-z0-9.-]{0,31}")


class BatchError(ValueError):
    """Transaction input that is not one well-formed call of `post`."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A decoded batch. Ids are text ("" for none), accounts 20 bytes, days are day numbers.

    `header` is the ten words the batch id covers; `records` maps account → amount in points.
    """

    kind: int
    points_class: str
    programme: str
    rule: str
    rule_version: int
    reason: int
    leaf_from: int
    leaf_to: int
    account_from: bytes
    account_to: bytes
    day_from: int
    day_to: int
    records: dict[bytes, int]
    header: bytes


def decode_post(data: bytes) -> Batch:
    """The batch in a transaction's input. Raises `BatchError` on any other byte."""
    if data[:4] != POST_SELECTOR:
        raise BatchError("the input does not call post")
    body = data[4:]
    if len(body) < 32 * (_HEAD_WORDS + 1) or len(body) % 32:
        raise BatchError("the input is not a whole number of words")
    words = [body[at : at + 32] for at in range(0, 32 * (_HEAD_WORDS + 1), 32)]
    if _uint(words[12], 32) != 32 * _HEAD_WORDS:
        raise BatchError("the records do not follow the head")
    length = _uint(words[13], 4)
    tail = body[32 * (_HEAD_WORDS + 1) :]
    if len(tail) != -(-length // 32) * 32 or any(tail[length:]):
        raise BatchError("the records' padding is not zero or bytes follow it")
    batch = Batch(
        kind=_uint(words[0], 1),
        points_class=_id(words[1], may_be_none=False),
        programme=_id(words[2], may_be_none=True),
        rule=_id(words[3], may_be_none=True),
        rule_version=_uint(words[4], 4),
        reason=_uint(words[5], 1),
        leaf_from=_uint(words[6], 8),
        leaf_to=_uint(words[7], 8),
        account_from=_account(words[8]),
        account_to=_account(words[9]),
        day_from=_uint(words[10], 4),
        day_to=_uint(words[11], 4),
        records=_records(tail[:length]),
        header=body[: 32 * 10],
    )
    if any(not batch.account_from <= account <= batch.account_to for account in batch.records):
        raise BatchError("an account lies outside the batch's range")
    return batch


def batch_id(header: bytes, chain_id: int, contract: str) -> bytes:
    """The id the contract computes: keccak256 over tag, chain id, contract and the ten words."""
    address = bytes.fromhex(contract.removeprefix("0x"))
    return keccak256(_BATCH_TAG + chain_id.to_bytes(32) + address.rjust(32, b"\0") + header)


def _uint(word: bytes, size: int) -> int:
    if any(word[: 32 - size]):
        raise BatchError("the padding of a number is not zero")
    return int.from_bytes(word)


def _id(word: bytes, *, may_be_none: bool) -> str:
    text = word.rstrip(b"\0")
    if not text and may_be_none:
        return ""
    if not _ID.fullmatch(text):
        raise BatchError("an id is not ASCII padded with zeros")
    return text.decode()


def _account(word: bytes) -> bytes:
    if any(word[20:]):
        raise BatchError("the padding of an account is not zero")
    return word[:20]


def _records(data: bytes) -> dict[bytes, int]:
    count, rest = divmod(len(data), RECORD_BYTES)
    if rest or not 1 <= count <= RECORDS_MAX:
        raise BatchError(f"the records are not 1 to {RECORDS_MAX} of {RECORD_BYTES} bytes")
    records: dict[bytes, int] = {}
    last = b""
    for at in range(0, len(data), RECORD_BYTES):
        account, amount = data[at : at + 20], int.from_bytes(data[at + 20 : at + RECORD_BYTES])
        if account <= last or amount == 0:
            raise BatchError("accounts must ascend and amounts be positive")
        records[account] = amount
        last = account
    return records
