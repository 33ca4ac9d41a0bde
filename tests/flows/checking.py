"""What the tests of a check share."""

from backend.flows.verify_receipt import check_receipt
from backend.proof import STEPS, Verdict
from tests.proof.builders import Installation
from tests.proof.fake_node import FakeNode

HERE = Installation()
TRUST = HERE.trust_file()


async def check(data: bytes, node: FakeNode | None = None, trust: bytes = TRUST) -> Verdict:
    """The verdict, whose shape is always the same."""
    verdict = await check_receipt(data, trust, node)
    assert tuple(each.step for each in verdict.steps) == STEPS
    assert verdict.document()["ok"] is verdict.ok
    return verdict


def outcomes(verdict: Verdict) -> dict[str, str]:
    return {each.step: each.verdict for each in verdict.steps}


def failed(verdict: Verdict) -> set[str]:
    return {each.step for each in verdict.steps if each.verdict == "failed"}
