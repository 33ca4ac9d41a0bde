"""approved → enacted: a rule or method takes force by two officials' own signatures.

Each approver signs the EIP-712 enactment of the exact digest with their own key; `RuleRegistry`
recovers both signatures once more on chain. Only the commit that finds that transaction final puts
the version in force here and queues its leaf: the chain knows first, the database follows.

What officials draft in office goes through `flows.rule_life`, which enacts after the public
notice. A document that founds an installation is drafted from a file and enacted by the second
approval, without an office: see `tanhui rules`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, cast

from backend import incentive, methodology, officials
from backend.chain import (
    ChainTx,
    Purpose,
    Receipt,
    Signer,
    Terms,
    contracts,
    explain_failure,
    keys,
)
from backend.flows.government_lane import (
    Call,
    Deployed,
    Government,
    deployed,
    outcome,
    prepare,
    settle,
    standing,
    terms_now,
)
from backend.kit import canonical
from backend.kit.clock import Clock, day_number, day_number_open
from backend.kit.db import Database, Row, Tx
from backend.kit.ids import new_id
from backend.kit.logs import log
from backend.kit.needs import DocumentError
from backend.kit.problems import Problem
from backend.officials import Official, life, requests

What = Literal["rule", "method"]
CODES: dict[What, int] = {"rule": contracts.WHAT_RULE, "method": contracts.WHAT_METHOD}
FORMATS: dict[str, What] = {
    "tanhui-rule-v1": "rule",
    "tanhui-rule-v2": "rule",
    "tanhui-method-v1": "method",
}
PURPOSE = "enact"
APPROVALS_NEEDED = 2
LEAF_KIND = 2
_GAS = 500_000
_DOCUMENT: dict[What, str] = {
    "rule": "SELECT document FROM rule WHERE rule_id = $1 AND version = $2",
    "method": "SELECT document FROM method WHERE method_id = $1 AND version = $2",
}


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a document: what is signed when it is approved."""

    what: What
    id: str
    version: int
    digest: bytes
    day_from: date
    day_to: date | None

    @property
    def ref(self) -> str:
        """Its name among the chain's transactions."""
        return f"{self.what}/{self.id}/{self.version}"

    @property
    def key(self) -> life.Key:
        """What it is kept under."""
        return CODES[self.what], self.id, self.version

    @property
    def terms(self) -> contracts.EnactmentTerms:
        """The enactment as the contract has it."""
        return contracts.EnactmentTerms(
            CODES[self.what],
            self.id,
            self.version,
            self.digest,
            day_number(self.day_from),
            day_number_open(self.day_to),
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a version stands after an approval; `reason` says why the chain refused it."""

    version: Version
    approvers: tuple[str, ...]
    enacted: bool
    reason: str | None = None


async def draft(db: Database, clock: Clock, text: bytes) -> Version:
    """Publish a rule or method as a draft; drafting the same document again changes nothing.

    `text` is JSON in any spelling; it is kept as canonical JSON.
    Raises Problem 422 named after what is wrong with it (`bad-expression`, `version-exists`, …).
    """
    async with db.transaction() as tx:
        return await publish_draft(tx, clock, text)


async def publish_draft(tx: Tx, clock: Clock, text: bytes) -> Version:
    """`draft` as part of a larger commit."""
    what, document = read_document(text)
    publish = incentive.publish if what == "rule" else methodology.publish
    try:
        made = await publish(tx, canonical.dumps(document), clock.now())
    except DocumentError as error:
        raise _bad_document(error) from error
    log("document_drafted", what=what, id=made.id, version=made.version)
    return Version(what, made.id, made.version, made.digest, made.day_from, made.day_to)


async def approve(
    government: Government, what: What, name: str, version: int, official_id: str, signer: Signer
) -> Standing:
    """Add one official's approval; the second one enacts what was not drafted in office.

    Approving again changes nothing, and sends the enactment again if the chain refused it before.
    Raises Problem: 404 `unknown-document`, 403 `not-an-approver`, `wrong-key`, `own-draft`, 409
    `notice-open` for a method still on public notice, `not-submitted`, 503 `chain-away`.
    """
    terms = await terms_now(government)
    async with government.db.transaction() as tx:
        place = await deployed(tx)
        found = await version_of(tx, what, name, version)
        if what == "method":
            await _refuse_open_notice(tx, found, government.clock)
        steps = await life.steps(tx, found.key)
        signature = signer.sign_digest(enactment_digest(place, found))
        await add_approval(tx, government.clock, place, found, official_id, signature)
        approvals = await counting_approvals(tx, found)
        ready = not steps and len(approvals) >= APPROVALS_NEEDED
        if ready and not await standing(tx, PURPOSE, found.ref):
            await prepare_enactment(tx, government, terms, place, found, approvals)
    approvers = tuple(sorted(row["address"] for row in approvals))
    if not ready:
        return Standing(found, approvers, enacted=False)
    return await settle_enactment(government, found, approvers)


async def prepare_enactment(
    tx: Tx,
    government: Government,
    terms: Terms,
    place: Deployed,
    found: Version,
    approvals: Sequence[Row],
) -> None:
    """Store the signed `enact` call, to be sent by the government's lane."""
    if found.what == "rule":
        now = government.clock.now()
        await incentive.set_status(tx, found.id, found.version, "approved", now)
    first, second = (row["signature"] for row in approvals[:APPROVALS_NEEDED])
    data = contracts.enact_input(found.terms, first, second)
    await prepare(tx, government, terms, Call(PURPOSE, found.ref, place.rule_registry, data, _GAS))


async def settle_enactment(
    government: Government, found: Version, approvers: tuple[str, ...]
) -> Standing:
    """Wait for the chain's word on a prepared enactment. Raises Problem 503 `chain-away`."""
    await settle(government, {PURPOSE: enact_purpose(government.clock)})
    async with government.db.transaction(readonly=True) as tx:
        state = await outcome(tx, PURPOSE, found.ref)
    if state is None:
        raise LookupError(f"the enactment of {found.ref} was prepared and is gone")
    return Standing(found, approvers, enacted=state[0] == "final", reason=state[1])


def enact_purpose(clock: Clock) -> Purpose:
    """What happens when an enactment settles: it takes force, and its leaf is queued."""

    async def on_settled(tx: Tx, done: ChainTx, _receipt: Receipt | None) -> None:
        what, name, version = _read_ref(done.ref)
        if done.state != "final":
            log("enactment_refused", ref=done.ref, reason=done.reason)
            if what == "rule":
                await incentive.set_status(tx, name, version, "draft", clock.now())
            return
        found = await version_of(tx, what, name, version)
        approvals = await counting_approvals(tx, found)
        await _record(tx, clock, found, approvals[:APPROVALS_NEEDED], done)

    return Purpose(on_settled=on_settled, explain=explain_failure)


async def _record(
    tx: Tx, clock: Clock, found: Version, approvals: Sequence[Row], done: ChainTx
) -> None:
    """The version in force, its enactment, and the row that asks for a leaf, in one commit."""
    now = clock.now()
    enactment_id = new_id()
    await tx.execute(
        """INSERT INTO enactment (enactment_id, what, id, version, digest, day_from, day_to,
               approvers, tx_hash, enacted_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
        enactment_id,
        found.what,
        found.id,
        found.version,
        found.digest,
        found.day_from,
        found.day_to,
        sorted(row["address"] for row in approvals),
        done.tx_hash,
        now,
    )
    await tx.execute(
        "INSERT INTO unsealed (kind, ref, queued_at) VALUES ($1, $2, $3)",
        LEAF_KIND,
        enactment_id,
        now,
    )
    if found.what == "rule":
        await incentive.set_status(tx, found.id, found.version, "enacted", now)
    else:
        await methodology.enact(tx, found.id, found.version, now)
    log("document_enacted", what=found.what, id=found.id, version=found.version)


def read_document(text: bytes) -> tuple[What, dict[str, Any]]:
    """What a document is, and its members. Raises Problem 422 `not-json`, `not-canonical`, …"""
    try:
        value: object = canonical.parse_event_json(text)
        canonical.dumps(value)
    except canonical.NotCanonical as error:
        raise Problem(422, "not-canonical", f"文件含有不允许的写法:{error.reason}") from error
    except canonical.NotJson as error:
        raise Problem(422, "not-json", f"文件不是合法的 JSON:{error}") from error
    document = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    what = FORMATS.get(str(document.get("format")))
    if what is None:
        known = ", ".join(FORMATS)
        raise _bad_document(DocumentError("unknown-format", f"the format is one of {known}"))
    return what, document


def _bad_document(error: DocumentError) -> Problem:
    return Problem(422, error.name, f"文件不合规定:{error.detail}")


async def _refuse_open_notice(tx: Tx, found: Version, clock: Clock) -> None:
    try:
        await methodology.check_notice(tx, found.id, found.version, clock.now())
    except DocumentError as error:
        detail = f"公示尚未结束,暂不能审批:{error.detail}"
        raise Problem(409, error.name, detail, id=found.id, version=found.version) from error


def enactment_digest(place: Deployed, found: Version) -> bytes:
    """The EIP-712 digest that approvers of a version sign."""
    return contracts.enactment_digest(place.chain_id, place.rule_registry, found.terms)


async def add_approval(
    tx: Tx, clock: Clock, place: Deployed, found: Version, official_id: str, signature: bytes
) -> None:
    """Keep an approver's signature over the exact digest; the same again changes nothing.

    Raises Problem: 403 `not-an-approver`, `wrong-key`, `own-draft`, 409 `not-submitted`.
    """
    official = await officials.find(tx, official_id)
    if official is None or not official.acts or "approver" not in official.roles:
        raise Problem(403, "not-an-approver", "只有登记的审批人可以审批。", official_id=official_id)
    steps = await life.steps(tx, found.key)
    if any(each.step == "drafted" and each.actor == official_id for each in steps):
        raise Problem(403, "own-draft", "起草人不能审批自己起草的文件。", official_id=official_id)
    if steps and not is_submitted(steps, found.digest):
        raise Problem(409, "not-submitted", "文件尚未提交审批。", id=found.id)
    refuse_other_key(official, enactment_digest(place, found), signature)
    await tx.execute(
        """INSERT INTO approval (approval_id, what, id, version, digest, official_id, address,
               signature, approved_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           ON CONFLICT (what, id, version, address) DO NOTHING""",
        new_id(),
        *found.key,
        found.digest,
        official_id,
        official.address,
        signature,
        clock.now(),
    )


def refuse_other_key(official: Official, digest: bytes, signature: bytes) -> None:
    """Raise Problem 403 `wrong-key` unless the official's own key signed the digest.

    Recovered from the signature, as the contract will do it, not read from the key.
    """
    try:
        signed_by = keys.recover(digest, signature)
    except ValueError as error:
        raise Problem(403, "wrong-key", f"签名无法验证:{error}") from error
    if official.address is None or signed_by != official.address:
        raise Problem(
            403,
            "wrong-key",
            "签名密钥不属于这位人员,或签的不是这一版文件。",
            official_id=official.official_id,
        )


def is_submitted(steps: Sequence[life.StepTaken], digest: bytes) -> bool:
    """Whether a version with this digest waits for approval or is past it."""
    return bool(steps) and steps[-1].step == "submitted" and steps[-1].digest == digest


async def counting_approvals(tx: Tx, found: Version) -> list[Row]:
    """The approvals that count, at most two, in the order in which they were given.

    Not that of who drafted; and not one beside another of an official who took part in making,
    re-roling or resetting the account within 72 hours before.
    """
    drafters = {each.actor for each in await life.steps(tx, found.key) if each.step == "drafted"}
    rows = await tx.fetch(
        """SELECT official_id, address, signature, approved_at FROM approval
           WHERE what = $1 AND id = $2 AND version = $3 AND digest = $4
           ORDER BY approved_at, approval_id""",
        *found.key,
        found.digest,
    )
    others = [row for row in rows if row["official_id"] not in drafters]
    for n, row in enumerate(others):
        for earlier in others[:n]:
            if await independent(tx, earlier, row):
                return [earlier, row]
    return others[:1]


async def independent(tx: Tx, one: Row, other: Row) -> bool:
    """Whether neither of two signers had a hand in the other's account when they signed."""
    for made, by in ((one, other), (other, one)):
        if await requests.touched_by(
            tx, made["official_id"], by["official_id"], made["approved_at"]
        ):
            return False
    return True


async def version_of(tx: Tx, what: What, name: str, version: int, *, lock: bool = True) -> Version:
    """The version as its document has it; locked, so that two approvals of it take turns.

    Raises Problem 404 `unknown-document`.
    """
    row = await tx.fetchrow(_DOCUMENT[what] + (" FOR UPDATE" if lock else ""), name, version)
    if row is None:
        raise Problem(404, "unknown-document", "没有这个版本的文件。", id=name, version=version)
    read = incentive.read_rule if what == "rule" else methodology.read_method
    made = read(row["document"])
    return Version(what, made.id, made.version, made.digest, made.day_from, made.day_to)


def _read_ref(ref: str) -> tuple[What, str, int]:
    what, name, version = ref.split("/")
    return ("rule" if what == "rule" else "method"), name, int(version)
