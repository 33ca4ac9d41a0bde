"""One event, from the record to the block, each step checked again now.

Nothing stored is believed: the body is hashed again, the leaf is rebuilt, its path is folded to
the anchored root. Who the citizen is does not come along.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from backend import evidence, incentive, methodology, officials, proof, views
from backend.evidence import EvidenceDamaged, EvidenceRow
from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.officials import Session
from backend.proof import ACT_BATCH_KIND, leaves, merkle
from backend.views import AwardRow

Verdict = Literal["ok", "failed", "waiting", "none"]


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step: `verdict` of the check, and the figures it was made from."""

    step: str
    verdict: Verdict
    about: str
    facts: dict[str, Any]


async def trace_evidence(services: Services, by: Session, evidence_id: UUID) -> list[TraceStep]:
    """The way of one event; opening it is noted. Raises Problem 404 `unknown-evidence`."""
    async with services.db.transaction() as tx:
        await officials.note(
            tx,
            actor=by.official.official_id,
            act="evidence.open",
            about=str(evidence_id),
            detail={},
            at=services.clock.now(),
        )
    async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
        try:
            rows = await evidence.load_evidence(tx, services.vault, [evidence_id])
        except EvidenceDamaged:
            return [TraceStep("recorded", "failed", "原始记录与登记的摘要不一致", {})]
        if not rows:
            raise Problem(404, "unknown-evidence", "没有这条佐证。", evidence_id=str(evidence_id))
        steps = [_recorded(rows[0]), await _decided(tx, evidence_id)]
        for award in await views.awards_on(tx, evidence_id):
            steps.append(await _awarded(tx, award))
            if award.transfer_id is not None:
                steps += await _sealed(tx, services, award.transfer_id, "award")
            if award.reversal_id is not None:
                steps += await _sealed(tx, services, award.reversal_id, "reverse")
    return steps


def _recorded(row: EvidenceRow) -> TraceStep:
    facts = {
        "partner": row.partner_id,
        "source": row.source,
        "event_id": row.event_id,
        "scenario": row.scenario,
        "time": row.occurred_text,
        "city_day": str(row.city_day),
        "origin": row.origin,
        "evidence_level": row.evidence_level,
        "digest": row.digest.hex(),
        "data": row.data,
    }
    if row.data is None:
        return TraceStep("recorded", "none", "原始记录已按本人要求删除,摘要仍在", facts)
    return TraceStep("recorded", "ok", "原始记录的摘要与登记一致", facts)


async def _decided(tx: Tx, evidence_id: UUID) -> TraceStep:
    [found] = await views.search_evidence(tx, evidence_id=evidence_id)
    facts = {"state": found.state, "reason": found.reason, "reduction_mg": found.reduction_mg}
    if found.state == "recorded":
        return TraceStep("quantified", "waiting", "等待核算", facts)
    about = "已核算减排量" if found.reason is None else f"未计分:{found.reason}"
    return TraceStep("quantified", "ok" if found.reason is None else "none", about, facts)


async def _awarded(tx: Tx, award: AwardRow) -> TraceStep:
    """The documents that an award names are those on file, by their digests."""
    method = await methodology.document_of(tx, award.method_id, award.method_version)
    rule = await incentive.document_of(tx, award.rule_id, award.rule_version)
    same = (
        method is not None
        and rule is not None
        and proof.trust.digest(method) == award.method_digest
        and proof.trust.digest(rule) == award.rule_digest
    )
    facts = {
        "programme": award.programme_id,
        "class": award.points_class,
        "points": award.amount,
        "points_before_caps": award.points_before_caps,
        "cut_by": award.cut_by,
        "method": f"{award.method_id}/{award.method_version}",
        "method_digest": award.method_digest.hex(),
        "rule": f"{award.rule_id}/{award.rule_version}",
        "rule_digest": award.rule_digest.hex(),
        "rows": award.rule_rows,
        "inputs": json.loads(award.inputs),
        "stated": json.loads(award.stated),
    }
    about = (
        "积分所依据的方法与规则,摘要与在案文件一致" if same else "方法或规则的摘要与在案文件不一致"
    )
    return TraceStep("awarded", "ok" if same else "failed", about, facts)


async def _sealed(tx: Tx, services: Services, transfer_id: UUID, act: str) -> list[TraceStep]:
    leaf = await proof.leaf_of(tx, transfer_id)
    if leaf is None:
        return [TraceStep("logged", "waiting", "等待写入公开日志", {"transfer": str(transfer_id)})]
    fields = (await views.transfer_fields(tx, [transfer_id], services.settings.city_tz))[
        transfer_id
    ]
    seed = await proof.seed_of(tx, leaf.index)
    steps: list[TraceStep] = []
    facts: dict[str, Any] = {"act": act, "index": leaf.index, "leaf_hash": leaf.leaf_hash.hex()}
    if seed is None:
        steps.append(TraceStep("logged", "none", "披露信息已按本人要求删除,叶子仍在日志中", facts))
    else:
        rebuilt = leaves.build(leaves.TRANSFER, fields, seed, services.settings.city_tz)
        same = rebuilt.leaf_hash == leaf.leaf_hash
        about = "由分录重建的叶子与日志一致" if same else "由分录重建的叶子与日志不一致"
        steps.append(TraceStep("logged", "ok" if same else "failed", about, facts))
    steps.append(await _anchored(tx, leaf.index, leaf.leaf_hash))
    kind = ACT_BATCH_KIND[leaf.act or "award"]
    batch = await views.batch_over(tx, leaf.index, kind)
    if batch is None:
        steps.append(TraceStep("posted", "waiting", "等待记入链上账户", {}))
    else:
        facts = {
            "contract": batch.contract,
            "batch_id": batch.batch_id.hex(),
            "tx": "0x" + batch.tx_hash.hex(),
            "block": batch.block,
        }
        steps.append(TraceStep("posted", "ok", "已随批次记入链上账户", facts))
    return steps


async def _anchored(tx: Tx, index: int, leaf_hash: bytes) -> TraceStep:
    anchor = await views.anchor_over(tx, index)
    if anchor is None:
        return TraceStep("confirmed", "waiting", "等待检查点上链存证", {})
    root = await proof.root_at(tx, anchor.size)
    path = await proof.inclusion(tx, index, anchor.size)
    same = merkle.verify_inclusion(index, anchor.size, leaf_hash, path, root)
    facts = {
        "size": anchor.size,
        "root": root.hex(),
        "contract": anchor.contract,
        "tx": "0x" + anchor.tx_hash.hex(),
        "block": anchor.block,
    }
    about = "叶子经路径折算到已存证的根" if same else "叶子折算不到已存证的根"
    return TraceStep("confirmed", "ok" if same else "failed", about, facts)
