"""Goal: over a whole log, the verify page under Node and in Chromium judges as the program does.

Method: 10,000 receipts of one log with different trips, caps, accounts and forms, and 500 that were
damaged or forged; all verdicts of all three must be equal. Seeded; the same papers every time.
"""

import base64
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backend.flows.verify_receipt import verify_receipt
from backend.proof import leaves, merkle
from tests.browser import a_page, chromium
from tests.outside.mutations import flipped_bytes, structures, transplants
from tests.pages.page_server import serving
from tests.pages.test_verifier import HERE_MJS, run
from tests.proof.builders import (
    CITY_TZ,
    Installation,
    Issued,
    a_method,
    a_rule,
    an_award,
    award_fields,
    seed_of,
)

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]
GENUINE, DAMAGED, LOT = 10_000, 500, 250
SEED = 20261122
IN_BROWSER = """async ([papers, trust]) => {
    const { verify } = await import("/verify/check/verify.mjs");
    const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    const found = [];
    for (const paper of papers) {
        const { ok, steps } = await verify(bytes(paper), bytes(trust));
        found.push([ok, ...steps.map(({ verdict }) => verdict)]);
    }
    return found;
}"""


def a_trip(n: int, chance: random.Random) -> dict[str, Any]:
    """The fields of one award: another distance, cap, account, event."""
    fields = award_fields()
    distance_m = chance.randrange(500, 60_000)
    reduction_mg = distance_m * (271_818 - 61_364) // 1000
    short = distance_m < 3000
    before = 1 if short else reduction_mg // 100_000
    used = chance.randrange(30)
    fields["act"] |= {"transfer": f"tr-{n}"}
    fields["inputs"] = {"distance_m": distance_m}
    fields["method"] |= {"reduction_mg": reduction_mg}
    fields["rule"] |= {"row": ["short" if short else "long"], "points_before_caps": before}
    fields["points"] |= {"amount": min(before, 30 - used)}
    fields["stated"]["caps"][0] |= {"used_before": used}
    fields["event"] |= {"id": f"t-{n}", "digest": chance.randbytes(32).hex()}
    return fields | {"account": chance.randbytes(20).hex()}


def a_log(here: Installation, count: int) -> Iterator[bytes]:
    """That many receipts of one log, every fourth in the share form."""
    chance = random.Random(SEED)
    built = [
        leaves.build(leaves.TRANSFER, a_trip(n, chance), seed_of(n), CITY_TZ) for n in range(count)
    ]
    growth = merkle.append(0, {}, [leaf.leaf_hash for leaf in built])
    note, anchor = here.sign(count, growth.root), an_award(here).anchor
    for n, leaf in enumerate(built):
        path = merkle.path_of(merkle.inclusion_ranges(n, count), growth.nodes)
        issued = Issued(
            here, leaf, n, count, path, note, anchor, None, a_method(), a_rule(), "signed-upload"
        )
        yield issued.receipt("share" if n % 4 == 3 else "full")


def damaged(genuine: list[bytes], count: int) -> list[bytes]:
    """Receipts with a bit, a member or a part changed, and whole forged installations."""
    chance = random.Random(SEED + 1)
    papers = [an_award(Installation(shift=1)).receipt()]
    while len(papers) < count:
        one, other = chance.sample(genuine, 2)
        papers += flipped_bytes(one, 3, chance.randrange(2**32))
        papers += chance.sample(list(structures(one, chance.randrange(2**32), 1)), 3)
        papers += chance.sample(list(transplants(one, other)), 2)
    return papers[:count]


def test_ten_thousand_receipts_and_five_hundred_bad_ones(tmp_path: Path) -> None:
    here = Installation()
    trust = here.trust_file()
    genuine = list(a_log(here, GENUINE))
    papers = genuine + damaged(genuine, DAMAGED)
    told = [verify_receipt(paper, trust).document() for paper in papers]
    wanted = [[each["ok"], *(step["verdict"] for step in each["steps"])] for each in told]
    assert all(each[0] for each in wanted[:GENUINE])
    assert sum(not each[0] for each in wanted[GENUINE:]) > 0.8 * DAMAGED
    pinned = tmp_path / "trust.json"
    pinned.write_bytes(trust)
    node = shutil.which("node")
    assert node is not None
    answers = run([node, str(HERE_MJS / "verdicts.mjs"), str(pinned)], papers)
    in_node = [[each["ok"], *(step["verdict"] for step in each["steps"])] for each in answers]
    assert in_node == wanted
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(in_browser, here, papers).result() == wanted


def in_browser(here: Installation, papers: list[bytes]) -> list[list[Any]]:
    """What the page's modules say in Chromium, lot by lot."""
    found: list[list[Any]] = []
    trust = base64.b64encode(here.trust_file()).decode()
    with serving(here) as server, chromium() as browser, a_page(browser) as page:
        page.goto(server.url + "/verify")
        for start in range(0, len(papers), LOT):
            lot = [base64.b64encode(each).decode() for each in papers[start : start + LOT]]
            found += page.evaluate(IN_BROWSER, [lot, trust])
    return found
