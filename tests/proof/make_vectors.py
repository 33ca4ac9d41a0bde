"""Writes tests/vectors/proof: one installation's papers, from fixed keys and salts.

Everything but the SM2 signatures follows from the constants of `builders.py`; signatures need fresh
randomness, so running this again changes them and nothing else.

    python -m tests.proof.make_vectors
"""

import json
from pathlib import Path
from typing import Any

from backend.kit.canonical import dumps
from backend.kit.sm import sm3
from backend.proof import batches, checkpoint, leaves, merkle
from backend.proof.keccak import keccak256
from tests.proof.builders import (
    ACCOUNT,
    CHAIN_ID,
    CITY_TZ,
    EVENT,
    Installation,
    a_method,
    a_rule,
    an_award,
    award_fields,
    day_of,
    header_of,
    seed_of,
    with_statement,
    word,
)

FOLDER = Path(__file__).parent.parent / "vectors" / "proof"


def eip712_digest(registry: str, rule: dict[str, Any]) -> dict[str, Any]:
    """The digest two approvers sign for a rule, written out from EIP-712 (formats.md §8)."""
    domain_type = (
        b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    )
    message_type = (
        b"Enactment(uint8 what,bytes32 id,uint32 version,bytes32 digest,"
        b"uint32 dayFrom,uint32 dayTo)"
    )
    domain = keccak256(
        keccak256(domain_type)
        + keccak256(b"Tanhui RuleRegistry")
        + keccak256(b"1")
        + word(CHAIN_ID)
        + bytes.fromhex(registry[2:]).rjust(32, b"\0")
    )
    day_from = day_of(rule["day_from"])
    day_to = day_of(rule["day_to"])
    digest = sm3(dumps(rule))
    message = keccak256(
        keccak256(message_type)
        + word(1)
        + word(rule["id"])
        + word(rule["version"])
        + digest
        + word(day_from)
        + word(day_to)
    )
    return {
        "chain_id": CHAIN_ID,
        "contract": registry,
        "enactment": {
            "what": 1,
            "id": rule["id"],
            "version": rule["version"],
            "digest": digest.hex(),
            "dayFrom": day_from,
            "dayTo": day_to,
        },
        "domain_separator": domain.hex(),
        "struct_hash": message.hex(),
        "digest": keccak256(b"\x19\x01" + domain + message).hex(),
    }


def a_checkpoint(here: Installation, note: str) -> dict[str, Any]:
    public_key = here.key.public_key.to_bytes()
    parsed = checkpoint.parse_note(note)
    return {
        "origin": here.origin,
        "size": parsed.size,
        "root": parsed.root.hex(),
        "text": parsed.text.decode(),
        "key_name": here.key_name,
        "public_key": public_key.hex(),
        "key_id": checkpoint.key_id(here.key_name, public_key).hex(),
        "note": note,
    }


def a_leaf(fields: dict[str, Any], index: int) -> dict[str, Any]:
    leaf = leaves.build(leaves.TRANSFER, fields, seed_of(index), CITY_TZ)
    return {
        "kind": leaf.kind,
        "seed": seed_of(index).hex(),
        "disclosures": [disclosure.decode() for disclosure in leaf.disclosures],
        "commitments": [commitment.hex() for commitment in leaf.commitments],
        "leaf_data": leaves.leaf_data(leaf.kind, leaf.commitments).hex(),
        "leaf_hash": leaf.leaf_hash.hex(),
    }


def a_batch(here: Installation) -> dict[str, Any]:
    contract = here.contracts["CarbonPoints"]
    header = header_of(award_fields(), 2, 7)
    return {
        "chain_id": CHAIN_ID,
        "contract": contract,
        "header": header.hex(),
        "batch_id": batches.batch_id(header, CHAIN_ID, contract).hex(),
        "input": here.node.txs[here_tx(here)].input.hex(),
    }


def here_tx(here: Installation) -> str:
    """The one transaction on the fake node that went to CarbonPoints."""
    [tx] = [h for h, tx in here.node.txs.items() if tx.to == here.contracts["CarbonPoints"]]
    return tx


def a_tree() -> dict[str, Any]:
    """Roots of small SM3 trees over the leaf data 0, 1, 2 … as single bytes."""
    hashes = [merkle.leaf_hash(bytes([n])) for n in range(8)]
    roots = [merkle.append(0, {}, hashes[:size]).root.hex() for size in range(9)]
    growth = merkle.append(0, {}, hashes[:7])
    return {
        "roots": roots,
        "inclusion_3_of_7": [
            step.hex() for step in merkle.path_of(merkle.inclusion_ranges(3, 7), growth.nodes)
        ],
        "consistency_3_to_7": [
            step.hex() for step in merkle.path_of(merkle.consistency_ranges(3, 7), growth.nodes)
        ],
    }


def unsigned(here: Installation) -> dict[str, Any]:
    """Every vector that no signature enters."""
    return {
        "event": {"partner": "metro", "cj": dumps(EVENT).decode()},
        "account": {"class": "carbon", "secret": "00" * 32, "account": ACCOUNT.hex()},
        "leaf": a_leaf(award_fields(), 4),
        "tree_sm3": a_tree(),
        "batch": a_batch(here),
        "enactment_eip712": eip712_digest(here.contracts["RuleRegistry"], a_rule()),
        "documents": {
            "method_digest": sm3(dumps(a_method())).hex(),
            "rule_digest": sm3(dumps(a_rule())).hex(),
        },
    }


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    here = Installation()
    issued = an_award(here)
    newer = here.trust_file(version=2, prev_digest=sm3(here.trust_file()).hex(), partner_keys=[])
    root_name = checkpoint.key_name(here.profile, here.issuer, "root-1")
    line = checkpoint.signature_line(
        root_name, here.root_key.public_key.to_bytes(), here.root_key.sign(newer)
    )
    vectors = {**unsigned(here), "checkpoint": a_checkpoint(here, issued.note)}
    text = json.dumps(vectors, ensure_ascii=False, indent=1, sort_keys=True)
    (FOLDER / "formats.json").write_text(text + "\n", "utf-8")
    for name, data in {
        "trust.json": here.trust_file(),
        "trust-2.json": newer,
        "trust-2.json.sig": line.encode(),
        "receipt-full.json": issued.receipt(),
        "receipt-share.json": issued.receipt("share"),
        "receipt-statement.json": with_statement(issued),
    }.items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
