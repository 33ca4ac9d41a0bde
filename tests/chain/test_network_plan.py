"""What a network is made of, without the engine: where it is looked for, its first block, peers."""

import json
from pathlib import Path

import pytest

from backend.chain.contracts import post_gas
from backend.chain.encoding import rlp_list
from backend.chain.network import KAIA_RELEASE, EngineMissing, Network, NetworkError, find_kcn
from backend.chain.network.genesis import genesis_document, static_peers, validator_of
from backend.chain.profile import PROFILES, ProfileName
from tests.chain.support import ROOT

FUNDED = "0x" + "ab" * 20


def a_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_engine_is_given_or_found_or_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(EngineMissing, match="make engine"):
        find_kcn()
    with pytest.raises(EngineMissing, match="TANHUI_KCN names"):
        find_kcn(tmp_path / "nothing")
    built = a_program(tmp_path / "cache" / "tanhui" / "engine" / f"kaia-{KAIA_RELEASE}" / "kcn")
    assert find_kcn() == built
    on_path = a_program(tmp_path / "bin" / "kcn")
    assert find_kcn() == on_path
    given = a_program(tmp_path / "mine")
    assert find_kcn(given) == given


def test_the_build_pins_the_release_that_is_looked_for() -> None:
    assert f"kaiachain/kaia {KAIA_RELEASE}\n" in (ROOT / "engine/kaia/go.mod").read_text()


def test_the_first_block_names_validators_and_funds_keys() -> None:
    validators = [validator_of(bytes([n]) * 32, n, p2p_port=n, rpc_port=n) for n in range(1, 5)]
    document = genesis_document(20_261, [v.address for v in validators], [FUNDED], 1)
    extra = bytes.fromhex(document["extraData"][2:])
    seated, seal, committed = rlp_list(extra[32:])
    assert sorted("0x" + bytes(a).hex() for a in seated) == sorted(v.address for v in validators)
    assert (extra[:32], seal, committed) == (bytes(32), bytes(65), [])
    assert document["config"]["cancunCompatibleBlock"] == 0
    assert document["config"]["governance"]["governanceMode"] == "ballot"
    assert list(document["alloc"]) == [FUNDED[2:]]
    first = static_peers(validators[0], validators, lambda of, peer: 100 * of.number + peer.number)
    assert [address.split("@")[1].split("?")[0] for address in first] == [
        "127.0.0.1:102",
        "127.0.0.1:103",
        "127.0.0.1:104",
    ]


def test_a_first_block_that_the_engine_refuses_leaves_no_network(tmp_path: Path) -> None:
    refusing = a_program(tmp_path / "kcn")
    refusing.write_text("#!/bin/sh\necho no such genesis >&2\nexit 1\n")
    with pytest.raises(NetworkError, match="no such genesis"):
        Network.create(tmp_path / "n", refusing, chain_id=1, funded=[], count=4, port=1)
    assert Network.load(tmp_path / "n", refusing) is None
    assert not (tmp_path / "n").exists()


def test_keys_are_the_owner_s_alone(tmp_path: Path) -> None:
    made = Network.create(
        tmp_path / "n", a_program(tmp_path / "kcn"), chain_id=1, funded=[], count=4, port=100
    )
    for validator in made.validators:
        key = tmp_path / "n" / str(validator.number) / "nodekey"
        assert key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "n").stat().st_mode & 0o777 == 0o700
    kept = json.loads((tmp_path / "n" / "network.json").read_text())
    assert [v["rpc_port"] for v in kept["validators"]] == [101, 103, 105, 107]
    found = Network.load(tmp_path / "n", tmp_path / "kcn")
    assert found is not None
    assert found.validators == made.validators
    with pytest.raises(NetworkError, match="there is no validator 9; there are 1, 2, 3, 4"):
        found.process(9)


async def test_nobody_to_vote_is_said_before_a_key_is_made(tmp_path: Path) -> None:
    made = Network.create(
        tmp_path / "n", a_program(tmp_path / "kcn"), chain_id=1, funded=[], count=4, port=100
    )
    with pytest.raises(NetworkError, match="no validator runs"):
        await made.add()
    assert not (tmp_path / "n" / "5").exists()
    assert [(s.running, s.block, s.validates) for s in await made.status()] == [
        (False, -1, False)
    ] * 4


@pytest.mark.parametrize("name", PROFILES)
def test_a_full_batch_fits_its_profile(name: ProfileName) -> None:
    profile = PROFILES[name]
    full = profile.accounts_per_batch_max
    assert post_gas(full, profile.input_byte_gas) <= profile.tx_gas_max
    assert full * 24 + 700 <= profile.input_bytes_max
