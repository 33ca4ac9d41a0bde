"""A whole small installation in memory: keys, trust file, log, receipts, and a node to ask."""

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from backend.kit.canonical import dumps
from backend.kit.clock import day_number, day_number_open
from backend.kit.sm import Sm2PrivateKey, sm3
from backend.proof import (
    Anchor,
    Posted,
    checkpoint,
    leaves,
    merkle,
    receipt,
    sign_checkpoint,
    trust,
)
from backend.proof.batches import POST_SELECTOR, batch_id
from backend.proof.keccak import keccak256
from backend.proof.onchain import IMPLEMENTATION_SLOT
from tests.proof.fake_node import CHAIN_ID, FakeNode, block_hash

CITY_TZ = "Asia/Shanghai"
CLASS, PROGRAMME, RULE = "carbon", "green-travel", "metro-points"
SECRET = bytes(32)
ACCOUNT = sm3(b"tanhui-account-v1\n" + CLASS.encode() + b"\n" + SECRET)[:20]
DAY = day_number(date(2026, 11, 22))
ROOT_SECRET, CHECKPOINT_SECRET, PARTNER_SECRET, WITNESS_SECRET = 0x1111, 0x2222, 0x3333, 0x4444


def a_parameter(value: int, unit: str = "µg/m") -> dict[str, Any]:
    return {"value": value, "unit": unit, "date": "2019", "reference": "a table", "grade": "A"}


def a_method(**changes: Any) -> dict[str, Any]:
    headings = ("applicability", "boundary", "baseline", "quantification", "monitoring", "appendix")
    return {
        "format": "tanhui-method-v1",
        "id": "transit.metro.trip",
        "version": 1,
        "status": "approved",
        "scenarios": ["transit.metro.trip"],
        "day_from": "2020-01-01",
        "day_to": None,
        "needs": {
            "event": {"distance_m": "int"},
            "history": {},
            "counters": {},
            "params": {"base": a_parameter(271_818), "mode": a_parameter(61_364)},
        },
        "formula": "distance_m * (base - mode) / 1000",
        "bounds": [{"reason": "distance-too-long", "expr": "distance_m <= 150000"}],
        "text": dict.fromkeys(headings, "说明"),
        **changes,
    }


def a_rule(**changes: Any) -> dict[str, Any]:
    return {
        "format": "tanhui-rule-v1",
        "id": RULE,
        "version": 3,
        "programme": PROGRAMME,
        "class": CLASS,
        "day_from": "2026-01-01",
        "day_to": "2027-01-01",
        "hit": "first",
        "needs": {
            "event": {"distance_m": "int"},
            "history": {},
            "counters": {},
            "params": {"mg_per_point": a_parameter(100_000, "mg")},
        },
        "rows": [
            {"id": "short", "when": "distance_m < 3000", "points": "1"},
            {"id": "long", "when": "distance_m >= 3000", "points": "reduction_mg / mg_per_point"},
        ],
        "caps": [{"name": "每日上限", "window": "day", "limit": 30}],
        **changes,
    }


def event_digest(partner: str, event: dict[str, Any]) -> bytes:
    return sm3(b"tanhui-event-v1\n" + partner.encode() + b"\n" + dumps(event))


EVENT = {
    "data": {"distance_m": 12000},
    "id": "t-1",
    "source": "/gate",
    "specversion": "1.0",
    "subject": "b",
    "time": "2026-11-22T08:00:00+08:00",
    "type": "transit.metro.trip",
}


def award_fields(
    method: dict[str, Any] | None = None, rule: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """The nine fields of an award: 12 km, 2,525,448 mg, 25 points by the row `long`."""
    method, rule = method or a_method(), rule or a_rule()
    return {
        "act": {"act": "award", "transfer": "tr-1", "of": None, "reason": 0},
        "points": {"class": CLASS, "amount": 25},
        "method": {
            "id": method["id"],
            "version": method["version"],
            "digest": sm3(dumps(method)).hex(),
            "status": method["status"],
            "scenario": "transit.metro.trip",
            "evidence_level": "L3",
            "origin": "signed-upload",
            "reduction_mg": 2_525_448,
        },
        "rule": {
            "programme": rule["programme"],
            "id": rule["id"],
            "version": rule["version"],
            "digest": sm3(dumps(rule)).hex(),
            "row": ["long"],
            "points_before_caps": 25,
        },
        "inputs": {"distance_m": 12000},
        "stated": {
            "history": {},
            "counters": {},
            "caps": [{"name": "每日上限", "limit": 30, "used_before": 5}],
        },
        "occurrence": {
            "time": EVENT["time"],
            "originaltime": None,
            "city_day": "2026-11-22",
            "place": None,
        },
        "event": {
            "partner": "metro",
            "source": "/gate",
            "id": "t-1",
            "digest": event_digest("metro", EVENT).hex(),
        },
        "account": ACCOUNT.hex(),
        **changes,
    }


def reversal_fields(**changes: Any) -> dict[str, Any]:
    return {
        **award_fields(),
        "act": {"act": "reverse", "transfer": "tr-2", "of": "tr-1", "reason": 2},
        "method": None,
        "rule": None,
        "inputs": None,
        "stated": None,
        "event": None,
        **changes,
    }


def enactment_fields(what_: str, document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "enactment": {
            "what": what_,
            "id": document["id"],
            "version": document["version"],
            "digest": sm3(dumps(document)).hex(),
            "day_from": document["day_from"],
            "day_to": document["day_to"],
            "approvers": ["0x" + "11" * 20, "0x" + "22" * 20],
            **changes,
        }
    }


def day_of(text: str) -> int:
    return day_number(date.fromisoformat(text))


def word(value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(32)
    return (value.encode() if isinstance(value, str) else value).ljust(32, b"\0")


def post_input(header: bytes, day_from: int, day_to: int, records: bytes) -> bytes:
    padded = records + bytes(-len(records) % 32)
    tail = word(13 * 32) + word(len(records)) + padded
    return POST_SELECTOR + header + word(day_from) + word(day_to) + tail


@dataclass
class Installation:
    """One issuer with its keys, contracts and chain. `secrets` shift makes it a forger's."""

    issuer: str = "metro"
    profile: str = "test"
    name: str = "测试城市"
    shift: int = 0

    def __post_init__(self) -> None:
        self.root_key = Sm2PrivateKey(ROOT_SECRET + self.shift)
        self.key = Sm2PrivateKey(CHECKPOINT_SECRET + self.shift)
        self.partner_key = Sm2PrivateKey(PARTNER_SECRET + self.shift)
        self.witness_key = Sm2PrivateKey(WITNESS_SECRET + self.shift)
        self.origin = checkpoint.origin_of(self.profile, self.issuer, CHAIN_ID)
        self.key_name = checkpoint.key_name(self.profile, self.issuer, "1")
        self.node = FakeNode()
        self.contracts = {
            name: "0x" + keccak256(f"{name} {self.shift}".encode())[:20].hex()
            for name in ("CarbonPoints", "EvidenceAnchor", "RuleRegistry")
        }
        for name, address in self.contracts.items():
            behind = keccak256(f"{name} code {self.shift}".encode())[:20]
            self.node.codes[address] = b"proxy of " + name.encode()
            self.node.codes["0x" + behind.hex()] = b"code of " + name.encode()
            self.node.words[address, IMPLEMENTATION_SLOT] = behind.rjust(32, b"\0")
        self.node.blocks[3] = keccak256(b"deployment %d" % self.shift)

    def trust_content(self) -> dict[str, Any]:
        return {
            "format": trust.FORMAT,
            "version": 1,
            "prev_digest": None,
            "issuer": {"id": self.issuer, "name": self.name},
            "profile": self.profile,
            "city_tz": CITY_TZ,
            "log": {"origin": self.origin, "hash": "sm3"},
            "root_keys": [
                {
                    "name": checkpoint.key_name(self.profile, self.issuer, "root-1"),
                    "public_key": trust.key_text(self.root_key.public_key.to_bytes()),
                }
            ],
            "checkpoint_keys": [
                {
                    "name": self.key_name,
                    "role": "issuer",
                    "public_key": trust.key_text(self.key.public_key.to_bytes()),
                    "from_size": 1,
                    "to_size": None,
                },
                {
                    "name": "witness.example/1",
                    "role": "witness",
                    "public_key": trust.key_text(self.witness_key.public_key.to_bytes()),
                    "from_size": 1,
                    "to_size": None,
                },
            ],
            "chain": {
                "chain_id": CHAIN_ID,
                "kind": "single-node",
                "deployment": {"block": 3, "hash": self.node.blocks[3].hex()},
                "contracts": {
                    name: {
                        "address": address,
                        "proxy_code_hash": keccak256(b"proxy of " + name.encode()).hex(),
                        "implementations": [
                            {
                                "code_hash": keccak256(b"code of " + name.encode()).hex(),
                                "from_block": 3,
                            }
                        ],
                    }
                    for name, address in self.contracts.items()
                },
            },
            "partner_keys": [
                {
                    "partner": "metro",
                    "purpose": "statement",
                    "public_key": trust.key_text(self.partner_key.public_key.to_bytes()),
                    "from_day": "2026-01-01",
                    "to_day": "2027-01-01",
                }
            ],
        }

    def trust_file(self, **changes: Any) -> bytes:
        return trust.build_trust({**self.trust_content(), **changes})

    def sign(self, size: int, root: bytes) -> str:
        public_key = self.key.public_key.to_bytes()
        return sign_checkpoint(
            self.origin, size, root, self.key_name, public_key, self.key.sign
        ).note


@dataclass
class Issued:
    """A leaf in a log of several, anchored, posted and enacted on the installation's node."""

    installation: Installation
    leaf: leaves.Leaf
    index: int
    size: int
    path: list[bytes]
    note: str
    anchor: Anchor
    posted: Posted | None
    method: dict[str, Any] | None
    rule: dict[str, Any] | None
    origin: str

    def receipt(self, form: str = "full", **changes: Any) -> bytes:
        parts = {
            "form": form,
            "issuer": self.installation.issuer,
            "index": self.index,
            "size": self.size,
            "path": self.path,
            "leaf": self.leaf,
            "checkpoint": self.note,
            "anchor": self.anchor,
            "posted": self.posted,
            "method": self.method,
            "rule": self.rule,
            "origin": self.origin,
            **changes,
        }
        return receipt.build_receipt(**parts)


def seed_of(index: int) -> bytes:
    return sm3(b"seed %d" % index)


def issue(
    installation: Installation,
    fields: dict[str, Any],
    *,
    kind: int = leaves.TRANSFER,
    method: dict[str, Any] | None = None,
    rule: dict[str, Any] | None = None,
    index: int = 4,
    size: int = 11,
    note: str | None = None,
) -> Issued:
    """Log these fields among other leaves, sign, anchor and post them."""
    leaf = leaves.build(kind, fields, seed_of(index), CITY_TZ)
    hashes = [merkle.leaf_hash(b"filler %d" % n) for n in range(size)]
    hashes[index] = leaf.leaf_hash
    growth = merkle.append(0, {}, hashes)
    note = note or installation.sign(size, growth.root)
    node, contracts = installation.node, installation.contracts
    at_anchor = contracts["EvidenceAnchor"]
    tx = "0x" + keccak256(b"anchor %d" % size).hex()
    anchor_call = keccak256(b"anchor(uint64,bytes32,bytes32)")[:4]
    node.mine(tx, at_anchor, anchor_call + word(size) + growth.root + bytes(32), 9)
    node.answers[at_anchor, keccak256(b"rootOf(uint64)")[:4] + word(size)] = growth.root
    anchor = Anchor(CHAIN_ID, at_anchor, tx, 9, block_hash(9))
    for what, document in ((1, rule), (2, method)):
        if document is not None:
            enact(installation, what, document)
    posted = post(installation, fields, index) if kind == leaves.TRANSFER else None
    origin = "issuer"
    if kind == leaves.TRANSFER and fields["method"] is not None:
        origin = fields["method"]["origin"]
    path = merkle.path_of(merkle.inclusion_ranges(index, size), growth.nodes)
    return Issued(installation, leaf, index, size, path, note, anchor, posted, method, rule, origin)


def enact(
    installation: Installation,
    what: int,
    document: dict[str, Any],
    *,
    day_to: int | None = None,
    digest: bytes | None = None,
) -> None:
    registry = installation.contracts["RuleRegistry"]
    call = keccak256(b"enacted(uint8,bytes32,uint32)")[:4]
    end = None if document["day_to"] is None else date.fromisoformat(document["day_to"])
    installation.node.answers[
        registry, call + word(what) + word(document["id"]) + word(document["version"])
    ] = (
        (digest or sm3(dumps(document)))
        + word(day_number(date.fromisoformat(document["day_from"])))
        + word(day_number_open(end) if day_to is None else day_to)
    )


def header_of(fields: dict[str, Any], leaf_from: int, leaf_to: int) -> bytes:
    """The ten words of the batch these fields fall in, over every account."""
    kinds = {"award": 1, "refund": 1, "redeem": 2, "expire": 3, "reverse": 3, "erase": 3}
    rule = fields["rule"] or {"programme": "", "id": "", "version": 0}
    return b"".join(
        [
            word(kinds[fields["act"]["act"]]),
            word(fields["points"]["class"]),
            word(rule["programme"]),
            word(rule["id"]),
            word(rule["version"]),
            word(fields["act"]["reason"]),
            word(leaf_from),
            word(leaf_to),
            word(bytes(20)),
            word(b"\xff" * 20),
        ]
    )


def post(installation: Installation, fields: dict[str, Any], index: int) -> Posted:
    """Put the leaf's batch on the node: its account and one other."""
    contract = installation.contracts["CarbonPoints"]
    header = header_of(fields, index - 2, index + 3)
    issues = header[31] == 1
    others = {b"\x01" * 20: 7, bytes.fromhex(fields["account"]): fields["points"]["amount"] + 3}
    records = b"".join(a + n.to_bytes(4) for a, n in sorted(others.items()))
    data = post_input(header, DAY if issues else 0, DAY + 1 if issues else 0, records)
    tx = "0x" + keccak256(b"post" + header).hex()
    installation.node.mine(tx, contract, data, 10)
    return Posted(contract, batch_id(header, CHAIN_ID, contract), tx, 10)


def an_award(
    installation: Installation | None = None,
    *,
    method_document: dict[str, Any] | None = None,
    rule_document: dict[str, Any] | None = None,
    **changes: Any,
) -> Issued:
    """The usual award, receipt ready; `changes` replace whole fields of the leaf."""
    method, rule = method_document or a_method(), rule_document or a_rule()
    fields = {**award_fields(method, rule), **changes}
    return issue(installation or Installation(), fields, method=method, rule=rule)


def edited(data: bytes, **changes: Any) -> bytes:
    """The receipt with top-level members replaced, canonical again."""
    return dumps({**json.loads(data), **changes})


def with_statement(issued: Issued, *, day: str = "2026-11-22", secret_shift: int = 0) -> bytes:
    """The full receipt with the partner's co-signed statement of three events as its origin."""
    digests = sorted([event_digest("metro", EVENT), sm3(b"another event"), sm3(b"a third event")])
    hashes = [merkle.leaf_hash(digest) for digest in digests]
    at = digests.index(event_digest("metro", EVENT))
    growth = merkle.append(0, {}, hashes)
    text = f"tanhui-statement-v1\nmetro\n{day}\n3\n{growth.root.hex()}\n".encode()
    key = Sm2PrivateKey(PARTNER_SECRET + secret_shift)
    origin = {
        "kind": "statement",
        "day": day,
        "count": 3,
        "index": at,
        "path": [h.hex() for h in merkle.path_of(merkle.inclusion_ranges(at, 3), growth.nodes)],
        "signature": trust.key_text(key.sign_der(text)),
    }
    return edited(issued.receipt(), origin=origin)
