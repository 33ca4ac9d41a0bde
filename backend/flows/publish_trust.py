"""What a stranger pins: the trust file follows the deployment and the keys, version by version."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend import partners, proof
from backend.chain import Deployment, recorded_deployments
from backend.flows.seal_log import CHECKPOINT_KEY, CHECKPOINT_KEY_SUFFIX
from backend.kit.canonical import loads_strict
from backend.kit.clock import Clock
from backend.kit.db import Database
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from backend.partners import PublicKey
from backend.proof import PublishedTrust, checkpoint, trust

ROOT_KEY = "root-1"
"""The vault's name of the key that signs versions of the trust file."""

_PUBLISH_LOCK = 0x74727573  # "trus"
_UNCHANGING = ("issuer", "profile", "city_tz", "log", "root_keys", "checkpoint_keys")


async def publish_trust(
    db: Database, vault: Vault, settings: Settings, clock: Clock
) -> PublishedTrust:
    """The trust file in force; a new version is signed and stored when its content has changed.

    Raises `Problem` 503 `not-deployed` before the contracts stand, 409 `trust-would-break` when
    the installation's identity or keys are not those that strangers have pinned already.
    """
    async with db.transaction() as tx:
        await tx.lock(_PUBLISH_LOCK)
        latest = await proof.latest_trust(tx)
        contracts = await recorded_deployments(tx)
        if not contracts:
            raise Problem(503, "not-deployed", "合约尚未部署,没有可发布的信任文件")
        content = _content(vault, settings, contracts, await partners.public_keys(tx))
        if latest is not None:
            earlier: Any = loads_strict(latest.document)
            _refuse_break(earlier, content)
            content["chain"]["contracts"] = _with_earlier_code(earlier, content)
            if all(earlier[name] == value for name, value in content.items()):
                return latest
        version = 1 if latest is None else latest.version + 1
        document = trust.build_trust(
            {
                "format": trust.FORMAT,
                "version": version,
                "prev_digest": None if latest is None else trust.digest(latest.document).hex(),
                **content,
            }
        )
        published = PublishedTrust(version, document, _signature(vault, settings, document))
        await proof.add_trust(tx, published, clock.now())
    log("trust_published", version=version, digest=trust.digest(document).hex())
    return published


def _content(
    vault: Vault,
    settings: Settings,
    contracts: Sequence[Deployment],
    keys: Sequence[PublicKey],
) -> dict[str, Any]:
    """Every member but format, version and prev_digest."""
    # The block that ties the chain id to one chain is that of the points: contracts that a later
    # version adds leave it as it was pinned.
    tied = next(each for each in contracts if each.name == "CarbonPoints")
    profile, issuer = settings.profile, settings.issuer_id
    return {
        "issuer": {"id": issuer, "name": settings.issuer_name},
        "profile": profile,
        "city_tz": settings.city_tz,
        "log": {
            "origin": checkpoint.origin_of(profile, issuer, tied.chain_id),
            "hash": "sm3",
        },
        "root_keys": [
            {
                "name": checkpoint.key_name(profile, issuer, ROOT_KEY),
                "public_key": _public_key(vault, ROOT_KEY),
            }
        ],
        "checkpoint_keys": [
            {
                "name": checkpoint.key_name(profile, issuer, CHECKPOINT_KEY_SUFFIX),
                "role": "issuer",
                "public_key": _public_key(vault, CHECKPOINT_KEY),
                "from_size": 1,
                "to_size": None,
            }
        ],
        "chain": {
            "chain_id": tied.chain_id,
            "kind": "single-node" if settings.chain_profile == "embedded" else "validators",
            "deployment": {"block": tied.block, "hash": tied.block_hash.hex()},
            "contracts": {
                each.name: {
                    "address": each.address,
                    "proxy_code_hash": each.proxy_code_hash.hex(),
                    "implementations": [
                        {
                            "code_hash": each.implementation_code_hash.hex(),
                            "from_block": each.implementation_block,
                        }
                    ],
                }
                for each in contracts
            },
        },
        "partner_keys": _statement_keys(keys, settings.city_tz),
    }


def _public_key(vault: Vault, name: str) -> str:
    return trust.key_text(vault.sm2_key(name).public_key.to_bytes())


def _statement_keys(keys: Sequence[PublicKey], city_tz: str) -> list[dict[str, Any]]:
    """The keys partners co-sign statements with, by the city days they are valid on."""
    listed: list[dict[str, Any]] = []
    for key in keys:
        from_day, to_day = key.days(city_tz)
        if key.purpose != "statement" or from_day == to_day:
            continue
        listed.append(
            {
                "partner": key.partner_id,
                "purpose": key.purpose,
                "public_key": trust.key_text(key.public_key),
                "from_day": from_day.isoformat(),
                "to_day": None if to_day is None else to_day.isoformat(),
            }
        )
    return listed


def _refuse_break(earlier: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """A pinned file would not accept these changes, or older receipts would stop verifying."""
    changed = [name for name in _UNCHANGING if earlier[name] != content[name]]
    was, now = earlier["chain"], content["chain"]
    if (was["chain_id"], was["deployment"]) != (now["chain_id"], now["deployment"]):
        changed.append("chain")
    for name, contract in was["contracts"].items():
        here = now["contracts"].get(name)
        fixed = ("address", "proxy_code_hash")
        if here is None or any(contract[member] != here[member] for member in fixed):
            changed.append(name)
    if changed:
        raise Problem(
            409,
            "trust-would-break",
            "与已发布的信任文件不一致,已有回执将无法核验;请恢复原有设置或密钥",
            changed=changed,
        )


def _with_earlier_code(earlier: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """The contracts with the implementations listed so far, and after them a new one."""
    merged: dict[str, Any] = {}
    for name, contract in content["chain"]["contracts"].items():
        before = earlier["chain"]["contracts"].get(name, {}).get("implementations", [])
        known = {item["code_hash"] for item in before}
        fresh = [item for item in contract["implementations"] if item["code_hash"] not in known]
        merged[name] = {**contract, "implementations": [*before, *fresh]}
    return merged


def _signature(vault: Vault, settings: Settings, document: bytes) -> str:
    key = vault.sm2_key(ROOT_KEY)
    name = checkpoint.key_name(settings.profile, settings.issuer_id, ROOT_KEY)
    return checkpoint.signature_line(name, key.public_key.to_bytes(), key.sign(document))
