"""The encodings for parking against the contracts themselves, on a node."""

import hashlib

import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from backend.chain import ChainClient, RpcError, deploy, settlements, spaces
from backend.chain import contracts as k
from tests.chain.support import NodeProcess, executed

TX_GAS_MAX = 16_777_216
SCOPE = k.chain_id_text("north-garages")
HEAD = settlements.SettlementHead(SCOPE, 20_779, 0)
CONTRACT = "0x" + "c0" * 20


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def a_statement(party: str, net_fen: int, lines: int = 3) -> settlements.PartyStatement:
    return settlements.PartyStatement(digest(party)[:20], lines, net_fen, digest(f"root {party}"))


def test_settlement_id_by_hand() -> None:
    words = [
        b"tanhui-settlement-v1".ljust(32, b"\0"),
        (20_261).to_bytes(32, "big"),
        int(CONTRACT, 16).to_bytes(32, "big"),
        SCOPE,
        (20_779).to_bytes(32, "big"),
        bytes(32),
        bytes(32),
    ]
    found = settlements.settlement_id(20_261, CONTRACT, HEAD)
    assert found == keccak(b"".join(words))
    assert found.hex() == "7d2016eaac3bec9c0b7302f0f7ab180ac4ff0dc41b1333673077c43b77fd2e14"


nets = st.lists(st.integers(-(2**50), 2**50), min_size=1, max_size=8)


@given(nets)
def test_statements_read_back_as_they_were(amounts: list[int]) -> None:
    amounts = [*amounts, -sum(amounts)]
    made = [a_statement(str(n), amount, n + 1) for n, amount in enumerate(amounts)]
    records = settlements.make_statements(made)
    assert settlements.read_statements(records) == sorted(made, key=lambda each: each.party)
    assert settlements.make_statements(list(reversed(made))) == records


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ([], "1 to 700 parties"),
        ([a_statement("a", 5), a_statement("b", -4)], "sum to 1 fen"),
        ([a_statement("a", 5), a_statement("a", -5)], "twice"),
        ([a_statement("a", 0, lines=0)], "no lines"),
        ([settlements.PartyStatement(bytes(20), 1, 0, digest("r"))], "no account"),
        ([settlements.PartyStatement(digest("p")[:20], 1, 0, bytes(32))], "no root"),
        ([settlements.PartyStatement(digest("p"), 1, 0, digest("r"))], "20 bytes"),
    ],
)
def test_what_the_contract_would_refuse_is_refused_here(
    made: list[settlements.PartyStatement], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        settlements.make_statements(made)


def test_a_torn_record_is_no_statement() -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        settlements.read_statements(bytes(65))


@pytest.fixture
async def places(client: ChainClient, shared_node: NodeProcess) -> dict[str, str]:
    return {d.name: d.address for d in await deploy(client, shared_node.keys)}


async def refusal(client: ChainClient, to: str, data: bytes, sender: str) -> str:
    with pytest.raises(RpcError) as caught:
        await client.call(to, data, sender=sender)
    assert caught.value.revert_data is not None
    return k.explain_revert(caught.value.revert_data)


@pytest.mark.chain
async def test_a_settlement_from_books_to_a_decided_dispute(
    client: ChainClient, shared_node: NodeProcess, places: dict[str, str]
) -> None:
    keys, to = shared_node.keys, places["ParkingSettlement"]
    identity = settlements.settlement_id(await client.chain_id(), to, HEAD)
    made = [a_statement("payers", -1_000), a_statement("owner", 700), a_statement("platform", 300)]
    records = settlements.make_statements(made)
    assert settlements.read_settlement(await _settlement(client, to, identity)) is None
    for _ in range(2):
        await executed(client, keys.post, to, settlements.settle_input(HEAD, records))
    settled = settlements.read_settlement(await _settlement(client, to, identity))
    assert settled is not None
    assert (settled.content, settled.party_count, settled.volume_fen, settled.disputes_open) == (
        settlements.content_hash(records),
        3,
        1_000,
        0,
    )
    assert settled.disputable_until - settled.settled_at == k.DISPUTE_WINDOW_S
    for statement in made:
        output = await client.call(to, settlements.statement_call(identity, statement.party))
        assert settlements.read_statement(output, statement.party) == (statement, 0)
    other = digest("nobody")[:20]
    output = await client.call(to, settlements.statement_call(identity, other))
    assert settlements.read_statement(output, other) is None
    changed = settlements.make_statements([a_statement("a", 1), a_statement("b", -1)])
    reason = await refusal(client, to, settlements.settle_input(HEAD, changed), keys.post.address)
    assert reason == f"ParkingSettlementConflict({identity.hex()})"

    await _dispute(client, shared_node, to, identity, made[1].party)
    assert await client.call(to, settlements.is_final_call(identity)) == bytes(32), "still open"


async def _settlement(client: ChainClient, to: str, identity: bytes) -> bytes:
    return await client.call(to, settlements.settlement_call(identity))


async def _dispute(
    client: ChainClient, node: NodeProcess, to: str, identity: bytes, party: bytes
) -> None:
    """Two lines disputed, one decided against the party, one for it with a correction."""
    claim, decision = digest("claim"), digest("decision")
    for line in (0, 2):
        data = settlements.open_dispute_input(identity, party, line, claim)
        receipt = await executed(client, node.keys.post, to, data)
        assert receipt.gas_used < settlements.DISPUTE_GAS
    correcting = settlements.SettlementHead(SCOPE, 20_779, 1, corrects=identity)
    correction = settlements.settlement_id(await client.chain_id(), to, correcting)
    records = settlements.make_statements([a_statement("owner", 50), a_statement("platform", -50)])
    await executed(client, node.keys.post, to, settlements.settle_input(correcting, records))
    decisions = ((0, False, bytes(32)), (2, True, correction))
    for line, upheld, named in decisions:
        data = settlements.resolve_dispute_input(
            identity, party, line, upheld=upheld, decision=decision, correction=named
        )
        await executed(client, node.keys.government, to, data)
        output = await client.call(to, settlements.dispute_call(identity, party, line))
        found = settlements.read_dispute(output)
        assert found is not None
        assert (found.claim, found.decision, found.correction, found.state) == (
            claim,
            decision,
            named,
            settlements.UPHELD if upheld else settlements.REJECTED,
        )
    untouched = await client.call(to, settlements.dispute_call(identity, party, 1))
    assert settlements.read_dispute(untouched) is None
    settled = settlements.read_settlement(await _settlement(client, to, correction))
    assert settled is not None
    assert settled.corrects == identity


@pytest.mark.chain
async def test_the_window_is_the_governments(
    client: ChainClient, shared_node: NodeProcess, places: dict[str, str]
) -> None:
    to, government = places["ParkingSettlement"], shared_node.keys.government
    await executed(client, government, to, settlements.set_window_input(60))
    found = await client.call(to, k.selector("disputeWindowSeconds()"))
    assert int.from_bytes(found, "big") == 60


@pytest.mark.chain
async def test_full_transactions_fit_the_gas_allowed(
    client: ChainClient, shared_node: NodeProcess, places: dict[str, str]
) -> None:
    count = settlements.parties_at_once(TX_GAS_MAX)
    made = [a_statement(f"p{n}", 2**40 + n, 2**31 + n) for n in range(count - 1)]
    made.append(a_statement("payers", -sum(each.net_fen for each in made)))
    data = settlements.settle_input(
        settlements.SettlementHead(SCOPE, 20_800, 0), settlements.make_statements(made)
    )
    gas = settlements.settle_gas(count)
    receipt = await executed(
        client, shared_node.keys.post, places["ParkingSettlement"], data, gas=gas
    )
    assert receipt.gas_used <= gas <= TX_GAS_MAX
    assert settlements.parties_at_once(60_000_000) == settlements.PARTIES_MAX

    count = spaces.spaces_at_once(TX_GAS_MAX)
    some = [a_space(f"full {n}") for n in range(count)]
    gas = spaces.register_gas(count)
    receipt = await executed(
        client,
        shared_node.keys.post,
        places["SpaceRegistry"],
        spaces.register_input(some),
        gas=gas,
    )
    assert receipt.gas_used <= gas <= TX_GAS_MAX
    assert spaces.spaces_at_once(60_000_000) == spaces.SPACES_MAX


def a_space(name: str) -> spaces.Space:
    return spaces.Space(
        digest(name), digest("owner " + name)[:20], digest("lot"), digest("nights " + name)
    )


@pytest.mark.chain
async def test_a_right_from_registration_to_a_new_owner(
    client: ChainClient, shared_node: NodeProcess, places: dict[str, str]
) -> None:
    to, sender = places["SpaceRegistry"], shared_node.keys.post
    bay, new_owner = a_space("bay 7"), digest("neighbour")[:20]
    assert spaces.read_right(await client.call(to, spaces.right_call(bay.space))) is None
    before = int.from_bytes(await client.call(to, spaces.registered_call()), "big")
    acts = [
        spaces.register_input([bay, a_space("bay 8")]),
        spaces.suspend_input(bay.space, 2, digest("why")),
        spaces.hand_over_input(bay.space, 3, bay.owner, new_owner, digest("both signed")),
        spaces.set_policy_input(bay.space, 4, digest("weekends")),
        spaces.resume_input(bay.space, 5),
    ]
    for data in acts:
        for _ in range(2):
            await executed(client, sender, to, data, gas=500_000)
    after = int.from_bytes(await client.call(to, spaces.registered_call()), "big")
    assert after == before + 2
    right = spaces.read_right(await client.call(to, spaces.right_call(bay.space)))
    assert right is not None
    assert right == spaces.Right(
        new_owner, spaces.ACTIVE, 5, bay.lot, digest("weekends"), right.block
    )
    reason = await refusal(client, to, acts[1], sender.address)
    assert reason == f"SpaceRegistrySeqMismatch({bay.space.hex()}, 2, 5)"
