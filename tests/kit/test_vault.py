"""The vault: what it seals opens only where it belongs, and its files are private and whole."""

import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kit.sm import SealBroken, Sm2PrivateKey
from backend.kit.vault import KeyFileDamaged, KeyFileExposed, Vault, write_secret_file


@pytest.fixture(scope="module")
def a_vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return Vault.open(tmp_path_factory.mktemp("vault") / "keys")


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_what_is_sealed_opens_in_its_context(a_vault: Vault, plain: bytes, context: bytes):
    sealed = a_vault.seal(plain, context)
    assert len(sealed) == len(plain) + 29
    assert a_vault.open_sealed(sealed, context) == plain
    assert a_vault.seal(plain, context) != sealed
    with pytest.raises(SealBroken):
        a_vault.open_sealed(sealed, context + b"x")


def test_every_changed_byte_is_noticed(a_vault: Vault):
    sealed = a_vault.seal(b"secret", b"row 1")
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 0x40
        with pytest.raises(SealBroken):
            a_vault.open_sealed(bytes(broken), b"row 1")
    for short in (b"", sealed[:1], sealed[:13], sealed[:28], sealed + b"\x00"):
        with pytest.raises(SealBroken):
            a_vault.open_sealed(short, b"row 1")


def test_another_vault_opens_nothing(a_vault: Vault, tmp_path: Path):
    with pytest.raises(SealBroken):
        Vault(tmp_path / "keys").open_sealed(a_vault.seal(b"x", b"c"), b"c")


def test_keys_persist_and_are_private(tmp_path: Path):
    folder = tmp_path / "var" / "keys"
    first = Vault(folder)
    sealed, key, secret = first.seal(b"x", b"c"), first.sm2_key("log-1"), first.secret("lane-1")
    again = Vault(folder)
    assert again.open_sealed(sealed, b"c") == b"x"
    assert again.sm2_key("log-1").public_key == key.public_key
    assert again.secret("lane-1") == secret
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["lane-1.key", "log-1.pem", "master.key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert "master" not in repr(again)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_file_others_can_read_is_refused(tmp_path: Path, mode: int):
    Vault(tmp_path / "keys")
    (tmp_path / "keys" / "master.key").chmod(mode)
    with pytest.raises(KeyFileExposed, match=r"master\.key"):
        Vault(tmp_path / "keys")


def test_a_folder_others_can_change_is_refused(tmp_path: Path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(0o770)
    with pytest.raises(KeyFileExposed):
        Vault(tmp_path / "keys")


def test_a_damaged_key_file_is_named_and_kept(tmp_path: Path):
    vault = Vault(tmp_path / "keys")
    write_secret_file(tmp_path / "keys" / "log.pem", b"not a key")
    with pytest.raises(KeyFileDamaged, match=r"log\.pem"):
        vault.sm2_key("log")
    write_secret_file(tmp_path / "keys" / "master.key", b"short", replace=True)
    with pytest.raises(KeyFileDamaged, match=r"master\.key"):
        Vault(tmp_path / "keys")
    assert (tmp_path / "keys" / "master.key").read_bytes() == b"short"


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "A", "a" * 65, "x\n"])
def test_names_never_leave_the_folder(a_vault: Vault, name: str):
    with pytest.raises(ValueError, match="a key is named"):
        a_vault.sm2_key(name)


def test_a_secret_file_is_written_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "secret"
    write_secret_file(path, b"first")
    with pytest.raises(FileExistsError):
        write_secret_file(path, b"second")
    assert path.read_bytes() == b"first"
    write_secret_file(path, b"third", replace=True)
    assert path.read_bytes() == b"third"
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_a_generous_umask_does_not_open_the_file(tmp_path: Path):
    before = os.umask(0)
    try:
        write_secret_file(tmp_path / "secret", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def _public_key(folder: str) -> bytes:
    return Vault(Path(folder)).sm2_key("log").public_key.to_bytes()


def test_processes_that_start_together_agree_on_their_keys(tmp_path: Path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(_public_key, [str(tmp_path / "keys")] * 8, chunksize=1)
    assert len(set(keys)) == 1


def test_a_key_made_elsewhere_can_be_put_in_place(tmp_path: Path):
    vault, key = Vault(tmp_path / "keys"), Sm2PrivateKey.generate()
    write_secret_file(tmp_path / "keys" / "log.pem", key.to_pem())
    assert vault.sm2_key("log").public_key == key.public_key
