"""receipt → ten verdicts: what anyone can redo, what is only stated, what does not hold.

Needs a receipt, a pinned trust file, and for two of the steps a node's JSON-RPC address. No
database, no settings: this is what a stranger runs.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from backend.flows.verify_documents import AskEnacted, judge_method, judge_rule
from backend.proof import (
    STEPS,
    ChainFault,
    ChainReader,
    Enacted,
    Outcome,
    Receipt,
    Step,
    StepFailed,
    StepVerdict,
    Trust,
    TrustError,
    Verdict,
    onchain,
    trust,
    verify,
)

Judged = tuple[Outcome, str]


def verify_receipt(receipt: bytes, trust_file: bytes, rpc_url: str | None = None) -> Verdict:
    """Check a receipt against a pinned trust file; on line when a node's address is given.

    For callers without an event loop; inside one, await `check_receipt`. Never raises for what is
    in the receipt, the trust file or the node's answers.
    """
    if rpc_url is None:
        return asyncio.run(check_receipt(receipt, trust_file))

    async def ask_node() -> Verdict:
        from backend.flows.node_reader import open_node

        async with open_node(rpc_url) as reader:
            return await check_receipt(receipt, trust_file, reader)

    return asyncio.run(ask_node())


async def check_receipt(
    receipt: bytes, trust_file: bytes, reader: ChainReader | None = None
) -> Verdict:
    """The ten verdicts of formats.md §13, in order. Without a reader the check is offline."""
    try:
        trusted = trust.parse_trust(trust_file)
    except TrustError as error:
        return _cut_short([StepVerdict("issuer", "failed", f"the trust file: {error}")])
    opened, first = verify.open_receipt(receipt, trusted)
    if opened is None:
        return _cut_short(first)
    node = await _meet_node(reader, trusted)
    return Verdict(
        (
            *first,
            *await _judge_log(opened, trusted, node),
            *await _judge_leaf_contents(opened, trusted, node),
        )
    )


def _cut_short(steps: list[StepVerdict]) -> Verdict:
    reason = "an earlier step failed"
    rest = (StepVerdict(step, "not_checked", reason) for step in STEPS[len(steps) :])
    return Verdict((*steps, *rest))


@dataclass(frozen=True, slots=True)
class _Node:
    """The node that was asked, and why its answers do not count, if so."""

    reader: ChainReader | None
    problem: str | None

    def asked(self) -> ChainReader | None:
        """The node to ask; None offline. Raises `StepFailed` for one that does not count."""
        if self.problem is not None:
            raise StepFailed(self.problem)
        return self.reader


async def _meet_node(reader: ChainReader | None, trusted: Trust) -> _Node:
    if reader is None:
        return _Node(None, None)
    try:
        await onchain.check_node(reader, trusted)
    except (StepFailed, ChainFault) as error:
        return _Node(reader, str(error))
    return _Node(reader, None)


async def _judge(step: Step, work: Awaitable[Judged]) -> StepVerdict:
    try:
        outcome, reason = await work
    except (StepFailed, ChainFault) as error:
        return StepVerdict(step, "failed", str(error))
    return StepVerdict(step, outcome, reason)


async def _judge_log(receipt: Receipt, trusted: Trust, node: _Node) -> list[StepVerdict]:
    return [
        await _judge("leaf", _leaf(receipt, trusted)),
        await _judge("path", _path(receipt)),
        await _judge("checkpoint", _checkpoint(receipt, trusted)),
        await _judge("anchor", _anchor(receipt, trusted, node)),
    ]


async def _judge_leaf_contents(receipt: Receipt, trusted: Trust, node: _Node) -> list[StepVerdict]:
    try:
        values = verify.open_leaf(receipt, trusted)
    except StepFailed:
        return [
            StepVerdict(step, "not_checked", "the leaf does not hold")
            for step in ("posted", "method", "rule", "origin")
        ]
    ask = _ask_enacted(trusted, node)
    return [
        await _judge("posted", _posted(receipt, values, trusted, node)),
        await _judge("method", judge_method(receipt, values, ask)),
        await _judge("rule", judge_rule(receipt, values, ask)),
        await _judge("origin", _origin(receipt, values, trusted)),
    ]


async def _leaf(receipt: Receipt, trusted: Trust) -> Judged:
    values = verify.open_leaf(receipt, trusted)
    hidden = len(receipt.disclosures) - len(values)
    return "ok", f"kind {receipt.kind}, {len(values)} fields open, {hidden} hidden"


async def _path(receipt: Receipt) -> Judged:
    return "ok", verify.check_path(receipt, verify.open_note(receipt))


async def _checkpoint(receipt: Receipt, trusted: Trust) -> Judged:
    return "ok", verify.check_checkpoint(verify.open_note(receipt), trusted)


async def _anchor(receipt: Receipt, trusted: Trust, node: _Node) -> Judged:
    onchain.check_anchor_terms(receipt.anchor, trusted)
    reader = node.asked()
    if reader is None:
        return "not_checked", "offline"
    note = verify.open_note(receipt)
    await onchain.check_anchor(reader, receipt.anchor, note)
    kind = "a single-node chain" if trusted.chain.kind == "single-node" else "a validator network"
    return "ok", f"size {note.size} in block {receipt.anchor.block} of {kind}"


async def _posted(
    receipt: Receipt, values: Mapping[str, Any], trusted: Trust, node: _Node
) -> Judged:
    posted = receipt.posted
    if posted is not None:
        onchain.check_posted_terms(posted, trusted)
    reader = node.asked()
    if reader is None:
        return "not_checked", "offline"
    if receipt.form == "share":
        return "hidden", "account and batch are hidden in the share form"
    if posted is None:
        return "not_checked", "the receipt names no batch"
    await onchain.check_posted(reader, receipt.index, posted, values, trusted)
    return "stated", f"block {posted.block} carries it; the batch's sum is stated by the issuer"


async def _origin(receipt: Receipt, values: Mapping[str, Any], trusted: Trust) -> Judged:
    return verify.check_origin(receipt, values, trusted)


def _ask_enacted(trusted: Trust, node: _Node) -> AskEnacted | None:
    """The question to RuleRegistry; None offline and where the node's answers do not count."""
    reader = node.reader
    if reader is None or node.problem is not None:
        return None

    async def ask(what: int, document_id: str, version: int) -> Enacted:
        return await onchain.enacted(reader, trusted, what, document_id, version)

    return ask
