"""The table of roles in docs/contracts.md, every cell of it tried on a deployed city."""

import json
import re
from typing import Any

import pytest
from eth_abi.abi import encode

from backend.chain import ChainClient, ChainKeys, RpcError, Signer, deploy, planned_timelock
from backend.chain import contracts as k
from tests.chain.support import ROOT, NodeProcess

pytestmark = pytest.mark.chain

STRANGER = Signer(b"\x77" * 32).address
UNAUTHORISED = ("AccessControlUnauthorizedAccount", "TimelockUnauthorizedCaller")
TIMELOCK = "TimelockController"


def table() -> dict[str, set[str]]:
    """Function → columns with a tick, as the document says."""
    text = (ROOT / "docs/contracts.md").read_text("utf-8")
    section = text[text.index("## Who may do what") : text.index("## Upgrades")]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {
        row[0].strip("`"): {who for who, cell in zip(head[1:], row[1:], strict=True) if cell == "✓"}
        for row in rows
    }


def changing(name: str) -> dict[str, dict[str, Any]]:
    """The functions of an artifact that are neither view nor pure, by name."""
    abi = json.loads((k.ARTIFACTS / f"{name}.json").read_text("utf-8"))["abi"]
    found = [
        it
        for it in abi
        if it["type"] == "function" and it["stateMutability"] not in ("view", "pure")
    ]
    assert len({it["name"] for it in found}) == len(found), "no function is overloaded"
    return {it["name"]: it for it in found}


def type_of(part: dict[str, Any]) -> str:
    if part["type"].startswith("tuple"):
        inner = ",".join(type_of(each) for each in part["components"])
        return f"({inner}){part['type'].removeprefix('tuple')}"
    return part["type"]


def nothing_of(kind: str) -> Any:
    """Zero, empty or false of an ABI type."""
    if kind.endswith("[]"):
        return []
    if kind.startswith("("):
        parts = re.findall(r"\([^()]*\)\[?\]?|[^,()]+(?:\[\])?", kind[1:-1])
        return tuple(nothing_of(part) for part in parts)
    if kind == "bytes":
        return b""
    if kind.startswith("bytes"):
        return bytes(int(kind.removeprefix("bytes")))
    if kind == "address":
        return "0x" + "00" * 20
    return False if kind == "bool" else 0


def input_of(function: dict[str, Any]) -> bytes:
    """A call with nothing in it: a role is looked at before any argument."""
    kinds = [type_of(part) for part in function["inputs"]]
    called = k.selector(f"{function['name']}({','.join(kinds)})")
    return called + encode(kinds, [nothing_of(kind) for kind in kinds])


def callers(keys: ChainKeys) -> list[tuple[str, str]]:
    """Column of the table → an address that stands for it."""
    return [
        ("CHAIN_SENDER", keys.post.address),
        ("CHAIN_SENDER", keys.anchor.address),
        ("GOVERNMENT", keys.government.address),
        ("AUDITOR", keys.auditor.address),
        ("timelock", planned_timelock(keys)),
        ("admin key", keys.admin.address),
        ("anyone", STRANGER),
    ]


async def stopped(client: ChainClient, to: str, data: bytes, sender: str) -> bool:
    """Whether the caller is refused for who it is."""
    try:
        await client.call(to, data, sender=sender)
    except RpcError as error:
        return k.explain_revert(error.revert_data or b"").startswith(UNAUTHORISED)
    return False


def test_the_table_names_every_function() -> None:
    rows = set(table())
    shared = set.intersection(*(set(changing(name)) for name in k.CONTRACT_NAMES))
    own = {f"{name}.{each}" for name in k.CONTRACT_NAMES for each in set(changing(name)) - shared}
    assert rows == shared | own | {f"{TIMELOCK}.{each}" for each in changing(TIMELOCK)}


async def test_every_cell_of_the_table(client: ChainClient, shared_node: NodeProcess) -> None:
    places = {d.name: d.address for d in await deploy(client, shared_node.keys)}
    places[TIMELOCK] = planned_timelock(shared_node.keys)
    allowed, tried = table(), 0
    for name, address in places.items():
        for function, described in changing(name).items():
            row = allowed.get(f"{name}.{function}")
            ticked = allowed[function] if row is None else row
            data = input_of(described)
            if function == "initialize":
                await refuses_again(client, address, data)
                continue
            for column, sender in callers(shared_node.keys):
                refused = await stopped(client, address, data, sender)
                assert refused == (column not in ticked), f"{name}.{function} by {column}"
                tried += 1
    assert tried > 300


async def refuses_again(client: ChainClient, address: str, data: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        await client.call(address, data, sender=STRANGER)
    assert caught.value.revert_data is not None
    assert k.explain_revert(caught.value.revert_data).startswith("InvalidInitialization")


async def test_a_wrong_table_is_found(client: ChainClient, shared_node: NodeProcess) -> None:
    """Negative control: the walk tells a holder from a stranger, and a tick from none."""
    places = {d.name: d.address for d in await deploy(client, shared_node.keys)}
    data = input_of(changing("CarbonPoints")["setBudget"])
    assert await stopped(client, places["CarbonPoints"], data, STRANGER)
    government = shared_node.keys.government.address
    assert not await stopped(client, places["CarbonPoints"], data, government)
