"""Rules of the project as checks; each is also shown to notice a planted fault."""

import ast
import json
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import tidy

ROOT = Path(__file__).parent.parent
CODE = {".py", ".sol", ".mjs", ".js", ".css", ".html"}
TEXT = CODE | {".md", ".toml", ".ini", ".yaml", ".yml", ".json", ".in", ".cfg", ".sh", ""}


@cache
def _files() -> dict[str, str]:
    """Every text file that is tracked, or new and not ignored, by its path."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    paths = sorted({name for name in listed.split("\0") if name and (ROOT / name).is_file()})
    return {
        name: (ROOT / name).read_text(encoding="utf-8")
        for name in paths
        if Path(name).suffix in TEXT
    }


@cache
def _trees() -> dict[str, ast.Module]:
    return {path: ast.parse(text) for path, text in _files().items() if path.endswith(".py")}


def _report(faults: Iterator[str]) -> None:
    found = sorted(faults)
    assert not found, "\n" + "\n".join(found)


def _over_trees(rule: Callable[[str, ast.Module], Iterator[str]]) -> None:
    _report(fault for path, tree in _trees().items() for fault in rule(path, tree))


def test_functions_fit_on_a_screen():
    _over_trees(tidy.long_functions)


def test_files_have_one_subject():
    sources = {path: text for path, text in _files().items() if Path(path).suffix in CODE}
    _report(fault for path, text in sources.items() for fault in tidy.long_file(path, text))


def test_amounts_are_integers():
    _over_trees(tidy.floats_near_amounts)


def test_only_the_kit_commits():
    _over_trees(tidy.commits_outside_kit)


def test_rooms_are_imported_from_their_roots():
    _over_trees(tidy.imports_past_the_root)


def test_nothing_is_left_for_later():
    code = {path: text for path, text in _files().items() if Path(path).suffix in CODE}
    _report(fault for path, text in code.items() for fault in tidy.unfinished(path, text))


def test_no_file_knows_a_machine():
    _report(fault for path, text in _files().items() for fault in tidy.machine_places(path, text))


def test_parameters_carry_unit_and_reference():
    documents = {
        path: json.loads(text)
        for path, text in _files().items()
        if path.endswith(".json") and "/documents/" in path
    }
    assert documents, "the product ships no methods and rules"
    _report(fault for path, doc in documents.items() for fault in tidy.bare_parameters(path, doc))


def test_artifacts_match_their_sources():
    contracts = ROOT / "contracts"
    files = {
        str(path.relative_to(contracts)): path.read_bytes()
        for folder in ("src", "artifacts", "scripts")
        for path in (contracts / folder).rglob("*")
        if path.is_file()
    }
    files["package-lock.json"] = (contracts / "package-lock.json").read_bytes()
    manifest = json.loads(files["artifacts/manifest.json"])
    _report(tidy.stale_artifacts(manifest, files))


def test_migrations_are_dated_and_do_not_wait():
    versions = {p: t for p, t in _files().items() if p.startswith("migrations/versions/")}
    _report(
        fault for path, text in versions.items() for fault in tidy.careless_migration(path, text)
    )


# --- every rule against a planted fault, and against its nearest innocent neighbour --------------


def _tree_faults(rule: Callable[[str, ast.Module], Iterator[str]], path: str, code: str) -> int:
    return len(list(rule(path, ast.parse(code))))


@pytest.mark.parametrize(("lines", "faults"), [(70, 0), (71, 1)])
def test_a_long_function_is_noticed(lines: int, faults: int):
    code = "def f():\n" + "    x = 1\n" * (lines - 1)
    assert _tree_faults(tidy.long_functions, "backend/a.py", code) == faults


@pytest.mark.parametrize(("lines", "faults"), [(500, 0), (501, 1)])
def test_a_long_file_is_noticed(lines: int, faults: int):
    assert len(list(tidy.long_file("backend/a.py", "x\n" * lines))) == faults


@pytest.mark.parametrize(
    ("path", "code", "faults"),
    [
        ("backend/flows/a.py", "share = amount_fen / 3", 1),
        ("backend/flows/a.py", "share = row['amount'] / 3", 0),  # a path, as far as one can see
        ("backend/flows/a.py", "share = amount_fen // 3", 0),
        ("backend/flows/a.py", "points = points * 1.5", 1),
        ("backend/flows/a.py", "x = float(reduction_mg)", 1),
        ("backend/flows/a.py", "reduction_mg: float = 0", 1),
        ("backend/flows/a.py", "def f(points: float): ...", 1),
        ("backend/flows/a.py", "wait_s = 0.5 * tries", 0),
        ("backend/ledger/a.py", "x = y * 0.5", 1),
        ("backend/ledger/a.py", "x = y / z", 1),
        ("backend/ledger/a.py", "x = Path(__file__).parent / 'documents'", 0),
        ("backend/bench/a.py", "rate = points / seconds", 0),
        ("tests/a.py", "rate = points / 2", 0),
    ],
)
def test_a_float_near_an_amount_is_noticed(path: str, code: str, faults: int):
    assert bool(_tree_faults(tidy.floats_near_amounts, path, code)) == bool(faults)


@pytest.mark.parametrize(
    ("path", "code", "faults"),
    [
        ("backend/flows/a.py", "await tx.commit()", 1),
        ("backend/flows/a.py", "await tx.execute('COMMIT')", 1),
        ("backend/flows/a.py", "await tx.execute('  BEGIN; DELETE FROM t')", 1),
        ("backend/flows/a.py", "note = 'beginning'", 0),
        ("backend/kit/db.py", "connection.commit()", 0),
        ("backend/chain/node/store.py", "blocks.commit()", 0),
        ("backend/chain/sender.py", "blocks.commit()", 1),
        ("backend/bench/record_orm.py", "session.commit()", 0),
        ("backend/bench/record.py", "session.commit()", 1),
    ],
)
def test_a_commit_outside_the_kit_is_noticed(path: str, code: str, faults: int):
    assert _tree_faults(tidy.commits_outside_kit, path, code) == faults


@pytest.mark.parametrize(
    ("path", "code", "faults"),
    [
        ("backend/flows/a.py", "from backend.ledger.journal import post", 1),
        ("backend/flows/a.py", "import backend.ledger.journal", 1),
        ("backend/flows/a.py", "from backend.ledger import post", 0),
        ("backend/ledger/a.py", "from backend.ledger.journal import post", 0),
        ("backend/flows/a.py", "from backend.kit.db import Tx", 0),
        ("backend/flows/a.py", "from backend.kit.sm.fast import sm3", 1),
        ("backend/commands/node.py", "from backend.chain.node import serve", 0),
        ("backend/bench/record_orm.py", "from backend.evidence.models import Evidence", 0),
        ("backend/bench/record_orm.py", "from backend.evidence.bodies import seal", 1),
        ("backend/commands/node.py", "from backend.chain.node.store import Store", 1),
        ("backend/app.py", "from miniapp_api.login import router", 1),
        ("backend/app.py", "from backend.flows.seal_log import seal", 0),
    ],
)
def test_an_import_past_the_root_is_noticed(path: str, code: str, faults: int):
    assert _tree_faults(tidy.imports_past_the_root, path, code) == faults


def test_an_unfinished_line_is_noticed():
    assert len(list(tidy.unfinished("a.py", "x = 1  # TO" + "DO later\n"))) == 1
    assert not list(tidy.unfinished("a.py", "method = 'TODOS'\n"))


@pytest.mark.parametrize(
    "line",
    ["see /wo" + "rk/main/x", "--index https://registry.npm" + "js.org", "/ro" + "ot/.venv"],
)
def test_a_machine_in_a_file_is_noticed(line: str):
    assert len(list(tidy.machine_places("a.md", f"fine\n{line}\n"))) == 1


def test_a_parameter_without_a_source_is_noticed():
    good = {"value": 1, "unit": "mg", "date": "2026", "reference": "x", "grade": "A"}
    for member in good:
        document = {"needs": {"params": {"p": {k: v for k, v in good.items() if k != member}}}}
        assert len(list(tidy.bare_parameters("m.json", document))) == 1
    assert not list(tidy.bare_parameters("m.json", {"needs": {"params": {"p": good}}}))
    assert list(tidy.bare_parameters("m.json", {"needs": {"params": {"p": good | {"value": 1.5}}}}))


def test_an_artifact_that_lags_behind_is_noticed():
    files = {"src/A.sol": b"contract A {}", "package-lock.json": b"{}", "artifacts/A.json": b"{1}"}
    sha = tidy.hashlib.sha256
    sources = b"package-lock.json\n2\n{}\nsrc/A.sol\n13\ncontract A {}\n"
    manifest = {
        "sourceFiles": ["package-lock.json", "src/A.sol"],
        "sourceDigest": sha(sources).hexdigest(),
        "artifacts": {"A.json": sha(b"{1}").hexdigest()},
    }
    assert not list(tidy.stale_artifacts(manifest, files))
    assert list(tidy.stale_artifacts(manifest, files | {"src/A.sol": b"contract A { }"}))
    assert list(tidy.stale_artifacts(manifest, files | {"src/B.sol": b""}))
    assert list(tidy.stale_artifacts(manifest, files | {"artifacts/A.json": b"{2}"}))


def test_a_careless_migration_is_noticed():
    good = "op.execute(\"SET LOCAL lock_timeout = '5s'\")"
    path = "migrations/versions/2026_11_22_0001_a.py"
    assert not list(tidy.careless_migration(path, good))
    assert list(tidy.careless_migration(path, ""))
    assert list(tidy.careless_migration("migrations/versions/0001_a.py", good))
