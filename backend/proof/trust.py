"""trust.json: what a stranger pins before believing anything (formats.md §12)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backend.kit.canonical import INTEGER_MAX, NotCanonical, dumps, loads_strict
from backend.kit.sm import sm3
from backend.proof import shape
from backend.proof.checkpoint import (
    KEY_NAME,
    CheckpointKey,
    NoteError,
    Verifier,
    key_id,
    origin_of,
    parse_signature_line,
)
from backend.proof.encoding import b64, b64_strict

FORMAT = "tanhui-trust-v1"
TRUST_SIZE_MAX = 1 << 20
PROFILES = ("demo", "test", "production")
_CONTRACT_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,63}")


class TrustError(ValueError):
    """Bytes that are no trust file, or an update that the pinned file does not accept."""


@dataclass(frozen=True, slots=True)
class Contract:
    """One contract: its proxy's address (0x…), code hashes (keccak256) of proxy and behind it."""

    address: str
    proxy_code_hash: bytes
    implementations: tuple[tuple[bytes, int], ...]

    def knows_implementation(self, code_hash: bytes) -> bool:
        """Whether that code may stand behind the proxy."""
        return any(listed == code_hash for listed, _ in self.implementations)


@dataclass(frozen=True, slots=True)
class Deployment:
    """The block that ties a chain id to one chain."""

    block: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain that anchors and posts live on."""

    chain_id: int
    kind: Literal["single-node", "validators"]
    deployment: Deployment
    contracts: dict[str, Contract]


@dataclass(frozen=True, slots=True)
class PartnerKey:
    """A partner's key for one purpose, valid for from_day ≤ day < to_day (None = open)."""

    partner: str
    purpose: str
    public_key: bytes
    from_day: date
    to_day: date | None

    def valid_on(self, day: date) -> bool:
        """Whether the key may speak for that city_day."""
        return self.from_day <= day and (self.to_day is None or day < self.to_day)


@dataclass(frozen=True, slots=True)
class Trust:
    """A parsed trust file. `document` holds its exact bytes."""

    document: bytes
    version: int
    prev_digest: bytes | None
    issuer_id: str
    issuer_name: str
    profile: str
    city_tz: str
    origin: str
    root_keys: tuple[tuple[str, bytes], ...]
    checkpoint_keys: tuple[CheckpointKey, ...]
    chain: Chain
    partner_keys: tuple[PartnerKey, ...]

    def statement_keys(self, partner: str, day: date) -> list[PartnerKey]:
        """The keys a partner may co-sign the statement of that day with."""
        return [
            key
            for key in self.partner_keys
            if (key.partner, key.purpose) == (partner, "statement") and key.valid_on(day)
        ]


def digest(document: bytes) -> bytes:
    """H(file): what the next version names as `prev_digest`."""
    return sm3(document)


def build_trust(trust: dict[str, Any]) -> bytes:
    """The bytes of a trust document. Raises `TrustError` when it is not a valid one."""
    try:
        document = dumps(trust)
    except NotCanonical as error:
        raise TrustError(f"not canonical JSON: {error.reason}") from error
    parse_trust(document)
    return document


def parse_trust(document: bytes) -> Trust:
    """Read a trust file strictly. Raises `TrustError` naming what is wrong."""
    if len(document) > TRUST_SIZE_MAX:
        raise TrustError(f"a trust file has at most {TRUST_SIZE_MAX} bytes")
    try:
        return _parse(document)
    except NotCanonical as error:
        raise TrustError(f"not canonical JSON: {error.reason}") from error
    except shape.ShapeError as error:
        raise TrustError(str(error)) from error


_TOP = frozenset(
    {
        "format",
        "version",
        "prev_digest",
        "issuer",
        "profile",
        "city_tz",
        "log",
        "root_keys",
        "checkpoint_keys",
        "chain",
        "partner_keys",
    }
)


def _parse(document: bytes) -> Trust:
    top = shape.members(loads_strict(document), _TOP, "a trust file")
    if top["format"] != FORMAT:
        raise TrustError(f"the format is not {FORMAT}")
    version = shape.integer(top["version"], 1, INTEGER_MAX, "version")
    prev = None if top["prev_digest"] is None else _hash(top["prev_digest"], "prev_digest")
    if (version == 1) != (prev is None):
        raise TrustError("prev_digest is null in version 1 and only there")
    issuer = shape.members(top["issuer"], frozenset({"id", "name"}), "issuer")
    issuer_id = shape.text(issuer["id"], shape.ID, "issuer.id")
    profile = shape.text(top["profile"], None, "profile")
    if profile not in PROFILES:
        raise TrustError(f"the profile is none of {', '.join(PROFILES)}")
    chain = _parse_chain(top["chain"])
    log = shape.members(top["log"], frozenset({"origin", "hash"}), "log")
    origin = origin_of(profile, issuer_id, chain.chain_id)
    if log["origin"] != origin or log["hash"] != "sm3":
        raise TrustError(f"the log's origin is not {origin} or its hash is not sm3")
    return Trust(
        document=document,
        version=version,
        prev_digest=prev,
        issuer_id=issuer_id,
        issuer_name=shape.text(issuer["name"], None, "issuer.name"),
        profile=profile,
        city_tz=_zone(top["city_tz"]),
        origin=origin,
        root_keys=_parse_root_keys(top["root_keys"]),
        checkpoint_keys=_parse_checkpoint_keys(top["checkpoint_keys"]),
        chain=chain,
        partner_keys=tuple(
            _parse_partner_key(item) for item in _list(top["partner_keys"], "partner_keys")
        ),
    )


def _list(value: Any, where: str) -> list[Any]:
    if type(value) is not list:
        raise TrustError(f"{where} is not a list")
    return cast("list[Any]", value)


def _hash(value: Any, where: str) -> bytes:
    return bytes.fromhex(shape.text(value, shape.HEX32, where))


def _zone(value: Any) -> str:
    name = shape.text(value, re.compile(r"[A-Za-z0-9_+/-]{1,64}"), "city_tz")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise TrustError(f"city_tz {name} is no zone of the IANA database") from error
    return name


def _public_key(value: Any, where: str) -> bytes:
    try:
        key = b64_strict(shape.text(value, None, where))
    except shape.ShapeError:
        raise
    except ValueError as error:
        raise TrustError(f"{where} is not strict base64") from error
    if len(key) != 65 or key[0] != 4:
        raise TrustError(f"{where} is not an uncompressed point of 65 bytes")
    return key


def _parse_root_keys(value: Any) -> tuple[tuple[str, bytes], ...]:
    keys: list[tuple[str, bytes]] = []
    for item in _list(value, "root_keys"):
        key = shape.members(item, frozenset({"name", "public_key"}), "a root key")
        name = shape.text(key["name"], KEY_NAME, "a root key's name")
        keys.append((name, _public_key(key["public_key"], "a root key")))
    if not keys or len(set(keys)) != len(keys):
        raise TrustError("root_keys is empty or holds a key twice")
    return tuple(keys)


_CHECKPOINT_KEY = frozenset({"name", "role", "public_key", "from_size", "to_size"})


def _parse_checkpoint_keys(value: Any) -> tuple[CheckpointKey, ...]:
    keys: list[CheckpointKey] = []
    for item in _list(value, "checkpoint_keys"):
        key = shape.members(item, _CHECKPOINT_KEY, "a checkpoint key")
        if key["role"] not in ("issuer", "witness"):
            raise TrustError("a checkpoint key's role is neither issuer nor witness")
        start = shape.integer(key["from_size"], 0, INTEGER_MAX, "from_size")
        end = key["to_size"]
        if end is not None:
            end = shape.integer(end, start + 1, INTEGER_MAX, "to_size")
        name = shape.text(key["name"], KEY_NAME, "a checkpoint key's name")
        public_key = _public_key(key["public_key"], "a checkpoint key")
        keys.append(CheckpointKey(name, key["role"], public_key, start, end))
    issuers = sorted((key for key in keys if key.role == "issuer"), key=lambda k: k.from_size)
    if not issuers:
        raise TrustError("checkpoint_keys holds no key of the issuer")
    for earlier, later in pairwise(issuers):
        if earlier.to_size is None or later.from_size < earlier.to_size:
            raise TrustError("the ranges of two issuer keys overlap")
    return tuple(keys)


def _parse_chain(value: Any) -> Chain:
    chain = shape.members(
        value, frozenset({"chain_id", "kind", "deployment", "contracts"}), "chain"
    )
    if chain["kind"] not in ("single-node", "validators"):
        raise TrustError("chain.kind is neither single-node nor validators")
    deployment = shape.members(chain["deployment"], frozenset({"block", "hash"}), "deployment")
    if type(chain["contracts"]) is not dict:
        raise TrustError("chain.contracts is not an object")
    contracts: dict[str, Contract] = {}
    for name, item in cast("dict[str, Any]", chain["contracts"]).items():
        shape.text(name, _CONTRACT_NAME, "a contract's name")
        contracts[name] = _parse_contract(item, name)
    return Chain(
        chain_id=shape.integer(chain["chain_id"], 1, INTEGER_MAX, "chain_id"),
        kind=chain["kind"],
        deployment=Deployment(
            shape.integer(deployment["block"], 0, INTEGER_MAX, "deployment.block"),
            _hash(deployment["hash"], "deployment.hash"),
        ),
        contracts=contracts,
    )


def _parse_contract(value: Any, name: str) -> Contract:
    contract = shape.members(
        value, frozenset({"address", "proxy_code_hash", "implementations"}), name
    )
    listed: list[tuple[bytes, int]] = []
    for item in _list(contract["implementations"], f"{name}.implementations"):
        code = shape.members(item, frozenset({"code_hash", "from_block"}), "an implementation")
        from_block = shape.integer(code["from_block"], 0, INTEGER_MAX, "from_block")
        listed.append((_hash(code["code_hash"], "code_hash"), from_block))
    if not listed:
        raise TrustError(f"{name} lists no implementation")
    return Contract(
        shape.text(contract["address"], shape.ADDRESS, f"{name}.address"),
        _hash(contract["proxy_code_hash"], f"{name}.proxy_code_hash"),
        tuple(listed),
    )


_PARTNER_KEY = frozenset({"partner", "purpose", "public_key", "from_day", "to_day"})


def _parse_partner_key(value: Any) -> PartnerKey:
    key = shape.members(value, _PARTNER_KEY, "a partner key")
    start = shape.day(key["from_day"], "from_day")
    end = None if key["to_day"] is None else shape.day(key["to_day"], "to_day")
    if end is not None and end <= start:
        raise TrustError("a partner key's to_day does not follow from_day")
    return PartnerKey(
        shape.text(key["partner"], shape.ID, "a partner key's partner"),
        shape.text(key["purpose"], shape.ID, "a partner key's purpose"),
        _public_key(key["public_key"], "a partner key"),
        start,
        end,
    )


def accept_update(pinned: bytes, newer: bytes, signature: str, verify: Verifier) -> Trust:
    """The newer trust file, if the pinned one accepts it. Raises `TrustError` with the reason.

    It must have a higher version and a signature line by a root key of the PINNED file over the
    newer file's bytes, stay with the same issuer, profile, zone and log, and, when it is the very
    next version, name the pinned file's digest. A file several versions ahead cannot be chained
    by digest without the files between; the root key's signature carries it.
    """
    old, new = parse_trust(pinned), parse_trust(newer)
    if new.version <= old.version:
        raise TrustError(f"version {new.version} is not higher than the pinned {old.version}")
    if new.version == old.version + 1 and new.prev_digest != digest(pinned):
        raise TrustError("prev_digest is not the digest of the pinned file")
    _check_signature(old.root_keys, newer, signature, verify)
    if (new.issuer_id, new.origin, new.city_tz) != (old.issuer_id, old.origin, old.city_tz):
        raise TrustError("issuer, log and city_tz cannot change")
    return new


def _check_signature(
    root_keys: Sequence[tuple[str, bytes]], document: bytes, line: str, verify: Verifier
) -> None:
    try:
        said = parse_signature_line(line)
    except NoteError as error:
        raise TrustError(str(error)) from error
    for name, public_key in root_keys:
        if name == said.name and key_id(name, public_key) == said.key_id:
            if verify(public_key, document, said.signature):
                return
            raise TrustError(f"the signature of root key {name!r} does not hold")
    raise TrustError(f"the pinned file knows no root key {said.name!r} with that id")


def key_text(public_key: bytes) -> str:
    """A public key as trust.json writes it."""
    return b64(public_key)
