"""The project's own rules as functions from a file to its faults. `test_tidy.py` runs them.

Each fault is one sentence: where, what, and why the rule exists.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500

# An amount is known by its unit or its noun as a whole word of the name.
AMOUNT = re.compile(
    r"(?:^|_)(?:mg|ug|fen|wh|points?|amounts?|balances?|envelope|issued|leased|redeemed|retired|"
    r"distance_m|open|input|output|total)(?:_|$)"
)
# In these rooms every number is an amount, a count or a day.
INTEGER_ROOMS = (
    "backend/ledger/",
    "backend/incentive/",
    "backend/methodology/",
    "backend/kit/expr",
)
# Ratios and seconds are what these are about.
MEASURING_ROOMS = ("backend/bench/", "backend/commands/bench")

# A folder's own modules are its private matter, except where each module is a tool, a sentence, a
# command or a benchmark of its own.
MODULES_ARE_ROOTS = {"kit", "flows", "commands", "bench", "demo"}

# Only their own commands load them: the embedded node's libraries take a second, and a network
# starts programs of others.
FURTHER_ROOTS = ("backend.chain.network", "backend.chain.node")

# The embedded chain keeps blocks in SQLite: that file is a chain's storage, not the platform's.
COMMITS = ("backend/kit/", "backend/chain/node/")

# The benchmark's opponent is an ORM that works row by row: it commits, and uses declared tables.
OPPONENT = re.compile(r"backend/bench/\w+_orm\.py")

# Written with one-letter classes, so that these lines do not find themselves.
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|raise NotImplemented[E]rror)\b")
PLACES = re.compile(
    r"/(?:work|farm)/(?!\*)|/roo[t]/|/home/[a-z]|registry\.npm[j]s|files\.python[h]osted|"
    r"deb\.deb[i]an|pypi\.org/sim[p]le"
)


def long_functions(path: str, tree: ast.Module) -> Iterator[str]:
    """Functions of more than 70 lines, docstring included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield (
                    f"{path}:{node.lineno}: {node.name} has {lines} lines, at most "
                    f"{FUNCTION_LINES_MAX}: a function that fits on a screen is judged at once; "
                    "leave control flow in it and move arithmetic out"
                )


def long_file(path: str, text: str) -> Iterator[str]:
    """A source file of more than 500 lines."""
    lines = text.count("\n")
    if lines > FILE_LINES_MAX:
        yield (
            f"{path}: {lines} lines, at most {FILE_LINES_MAX}: a longer file has a second subject, "
            "which deserves a file of its own"
        )


def floats_near_amounts(path: str, tree: ast.Module) -> Iterator[str]:
    """Floats, `float(…)` and true division where amounts are counted."""
    if not path.startswith(("backend/", "miniapp_api/")) or path.startswith(MEASURING_ROOMS):
        return
    everywhere = path.startswith(INTEGER_ROOMS)
    for node in ast.walk(tree):
        if not _makes_float(node):
            continue
        names = sorted(name for name in _names(node) if AMOUNT.search(name))
        if everywhere or names:
            near = f" near {', '.join(names)}" if names else ""
            yield (
                f"{path}:{getattr(node, 'lineno', 0)}: a float{near}: amounts are integers with "
                "the unit in the name, because a float differs between runtimes and loses a unit "
                "above 2^53; use // and round once, at the end"
            )


def _makes_float(node: ast.AST) -> bool:
    match node:
        case ast.BinOp(op=ast.Div()):
            # `folder / "file"` joins paths.
            return not any(
                (isinstance(part, ast.Constant) and isinstance(part.value, str))
                or isinstance(part, ast.JoinedStr)
                for part in ast.walk(node)
            )
        case ast.BinOp() | ast.Compare() | ast.AugAssign():
            return any(
                isinstance(part, ast.Constant) and isinstance(part.value, float)
                for part in ast.iter_child_nodes(node)
            )
        case ast.Call(func=ast.Name(id="float")):
            return True
        case ast.AnnAssign(annotation=ast.Name(id="float")):
            return True
        case ast.arg(annotation=ast.Name(id="float")):
            return True
        case _:
            return False


def _names(node: ast.AST) -> set[str]:
    names: set[str] = set()
    for part in ast.walk(node):
        match part:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                names.add(name)
            case ast.Constant(value=str(name)):
                names.add(name)
            case _:
                pass
    return names


def commits_outside_kit(path: str, tree: ast.Module) -> Iterator[str]:
    """Transactions ended or begun by hand outside `backend/kit`."""
    if not path.startswith(("backend/", "miniapp_api/")) or path.startswith(COMMITS):
        return
    if OPPONENT.fullmatch(path):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="commit" | "rollback" as name)):
                found = f".{name}("
            case ast.Constant(value=str(sql)) if re.match(
                r"\s*(BEGIN|COMMIT|ROLLBACK)\b\s*;?", sql
            ):
                found = sql.split(maxsplit=1)[0]
            case _:
                continue
        yield (
            f"{path}:{node.lineno}: {found}: only Database.transaction() in kit/db ends a "
            "transaction, so that a unit of work commits once, at the edge, or not at all"
        )


def imports_past_the_root(path: str, tree: ast.Module) -> Iterator[str]:
    """Imports from inside another room instead of from its root."""
    if not path.startswith(("backend/", "miniapp_api/")):
        return
    here = PurePosixPath(path).with_suffix("").parts
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules = [node.module]
        for module in modules:
            if module.endswith(".models") and OPPONENT.fullmatch(path):
                continue
            root = _root_of(module)
            if (
                root is not None
                and module != root
                and here[: root.count(".") + 1] != tuple(root.split("."))
            ):
                yield (
                    f"{path}:{getattr(node, 'lineno', 0)}: imports {module}: import {root}, whose "
                    "few names are its interface; what lies behind them must stay free to change"
                )


def _root_of(module: str) -> str | None:
    for root in FURTHER_ROOTS:
        if module == root or module.startswith(f"{root}."):
            return root
    parts = module.split(".")
    if parts[0] == "miniapp_api":
        return "miniapp_api"
    if parts[0] != "backend" or len(parts) < 2:
        return None
    return ".".join(parts[: 3 if parts[1] in MODULES_ARE_ROOTS else 2])


def unfinished(path: str, text: str) -> Iterator[str]:
    """Words that mark something left for later."""
    for number, line in enumerate(text.splitlines(), start=1):
        if found := UNFINISHED.search(line):
            yield (
                f"{path}:{number}: {found[0]}: what stands in the tree works today; what does not "
                "belongs in an issue"
            )


def machine_places(path: str, text: str) -> Iterator[str]:
    """Paths of somebody's machine and addresses of package registries."""
    for number, line in enumerate(text.splitlines(), start=1):
        if found := PLACES.search(line):
            yield (
                f"{path}:{number}: {found[0]}: a path or registry of one machine is wrong on every "
                "other; name it by a setting, or leave it out"
            )


def bare_parameters(path: str, document: Any) -> Iterator[str]:
    """Parameters of a method or rule without value, unit, date, reference or grade."""
    if not isinstance(document, dict) or not isinstance(document.get("needs"), dict):
        return
    for name, parameter in document["needs"].get("params", {}).items():
        missing = [
            member
            for member in ("unit", "date", "reference", "grade")
            if not (isinstance(parameter.get(member), str) and parameter[member].strip())
        ]
        if type(parameter.get("value")) is not int:
            missing.insert(0, "an integer value")
        if missing:
            yield (
                f"{path}: parameter {name} lacks {', '.join(missing)}: a number that moves points "
                "is dated and cites its source, or nobody can object to it"
            )


def stale_artifacts(manifest: Any, files: dict[str, bytes]) -> Iterator[str]:
    """Contract artifacts that were not compiled from the sources beside them.

    `files` are the bytes of everything under contracts/ by path.
    """
    why = "a verifier compares code hashes with these files: run `make contracts` and commit both"
    sources = [
        path
        for path in files
        if path in {"package-lock.json", "scripts/compiler.mjs"}
        or (path.startswith("src/") and path.endswith(".sol"))
    ]
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(f"{path}\n{len(files[path])}\n".encode() + files[path] + b"\n")
    if sorted(sources) != sorted(manifest["sourceFiles"]):
        yield f"contracts: the manifest lists other sources than there are: {why}"
    elif digest.hexdigest() != manifest["sourceDigest"]:
        yield f"contracts: the sources changed after the artifacts were compiled: {why}"
    for name, wanted in manifest["artifacts"].items():
        found = files.get(f"artifacts/{name}")
        if found is None or hashlib.sha256(found).hexdigest() != wanted:
            yield f"contracts/artifacts/{name} is not what was compiled: {why}"


def careless_migration(path: str, text: str) -> Iterator[str]:
    """A migration without a date in its name, or that may wait for a lock without end."""
    name = PurePosixPath(path).name
    if not re.match(r"20\d\d_\d\d_\d\d_\d{4}_[a-z0-9_]+\.py$", name):
        yield f"{path}: not named YYYY_MM_DD_NNNN_what.py: the list of files is the table's history"
    if "lock_timeout" not in text:
        yield (
            f"{path}: no SET LOCAL lock_timeout: a migration that waits for a lock makes every "
            "request behind it wait too"
        )
