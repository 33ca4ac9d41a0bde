"""Blocks, transactions and receipts as JSON-RPC objects, made once when a block is mined."""

import json
from collections.abc import Sequence
from typing import Any

from backend.chain.encoding import rlp_encode
from backend.chain.node.store import BlockRow, TxRow


def quantity(value: int) -> str:
    """A JSON-RPC quantity: minimal hex with 0x."""
    return hex(value)


def data(value: bytes) -> str:
    """JSON-RPC bytes: even hex with 0x."""
    return "0x" + value.hex()


def _bloom(value: int) -> str:
    return data(value.to_bytes(256, "big"))


def header_answer(header: Any) -> dict[str, Any]:
    """The fields of a Prague header under their JSON-RPC names."""
    return {
        "number": quantity(header.block_number),
        "hash": data(header.hash),
        "parentHash": data(header.parent_hash),
        "nonce": data(header.nonce),
        "sha3Uncles": data(header.uncles_hash),
        "logsBloom": _bloom(header.bloom),
        "transactionsRoot": data(header.transaction_root),
        "stateRoot": data(header.state_root),
        "receiptsRoot": data(header.receipt_root),
        "miner": data(header.coinbase),
        "difficulty": quantity(header.difficulty),
        "totalDifficulty": "0x0",
        "extraData": data(header.extra_data),
        "mixHash": data(header.mix_hash),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "baseFeePerGas": quantity(header.base_fee_per_gas),
        "withdrawalsRoot": data(header.withdrawals_root),
        "blobGasUsed": quantity(header.blob_gas_used),
        "excessBlobGas": quantity(header.excess_blob_gas),
        "parentBeaconBlockRoot": data(header.parent_beacon_block_root),
        "requestsHash": data(header.requests_hash),
    }


def tx_answer(tx: Any, chain_id: int, base_fee: int | None) -> dict[str, Any]:
    """A transaction's own fields; `base_fee` of its block gives the effective gas price."""
    type_id = tx.type_id or 0
    answer: dict[str, Any] = {
        "type": quantity(type_id),
        "hash": data(tx.hash),
        "nonce": quantity(tx.nonce),
        "from": data(tx.sender),
        "to": data(tx.to) if tx.to else None,
        "value": quantity(tx.value),
        "gas": quantity(tx.gas),
        "gasPrice": quantity(effective_gas_price(tx, base_fee)),
        "input": data(tx.data),
        "r": quantity(tx.r),
        "s": quantity(tx.s),
        "chainId": quantity(chain_id),
    }
    if type_id == 0:
        answer["v"] = quantity(tx.v)
        return answer
    answer["v"] = answer["yParity"] = quantity(tx.y_parity)
    answer["accessList"] = [
        {"address": data(address), "storageKeys": [data(k.to_bytes(32, "big")) for k in keys]}
        for address, keys in tx.access_list
    ]
    if type_id == 2:
        answer["maxFeePerGas"] = quantity(tx.max_fee_per_gas)
        answer["maxPriorityFeePerGas"] = quantity(tx.max_priority_fee_per_gas)
    return answer


def effective_gas_price(tx: Any, base_fee: int | None) -> int:
    """What the sender pays per gas under EIP-1559; the cap while the block is not known."""
    if base_fee is None:
        return tx.max_fee_per_gas
    return min(tx.max_fee_per_gas, tx.max_priority_fee_per_gas + base_fee)


def block_row(
    block: Any, receipts: Sequence[Any], contracts: Sequence[bytes | None], chain_id: int
) -> BlockRow:
    """All answers of a mined block. `contracts` holds the address each transaction created."""
    header = block.header
    place = {"blockHash": data(header.hash), "blockNumber": quantity(header.block_number)}
    txs: list[TxRow] = []
    logs: list[dict[str, Any]] = []
    gas_before = 0
    for index, (tx, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
        at = {**place, "transactionHash": data(tx.hash), "transactionIndex": quantity(index)}
        own = _log_answers(receipt, at, len(logs))
        logs.extend(own)
        answer = {
            **tx_answer(tx, chain_id, header.base_fee_per_gas),
            **place,
            "transactionIndex": quantity(index),
        }
        outcome = {
            **at,
            "type": answer["type"],
            "from": answer["from"],
            "to": answer["to"],
            "status": quantity(int.from_bytes(receipt.state_root, "big")),
            "cumulativeGasUsed": quantity(receipt.gas_used),
            "gasUsed": quantity(receipt.gas_used - gas_before),
            "effectiveGasPrice": answer["gasPrice"],
            "contractAddress": None if contracts[index] is None else data(contracts[index] or b""),
            "logs": own,
            "logsBloom": _bloom(receipt.bloom),
        }
        gas_before = receipt.gas_used
        txs.append(TxRow(tx.hash, json.dumps(answer), json.dumps(outcome)))
    answer = {
        **header_answer(header),
        "size": quantity(len(rlp_encode(block))),
        "transactions": [data(tx.hash) for tx in block.transactions],
        "uncles": [],
        "withdrawals": [],
    }
    return BlockRow(header.block_number, header.hash, json.dumps(answer), txs, logs)


def _log_answers(receipt: Any, at: dict[str, Any], before: int) -> list[dict[str, Any]]:
    return [
        {
            "address": data(entry.address),
            "topics": [data(topic.to_bytes(32, "big")) for topic in entry.topics],
            "data": data(entry.data),
            **at,
            "logIndex": quantity(before + n),
            "removed": False,
        }
        for n, entry in enumerate(receipt.logs)
    ]
