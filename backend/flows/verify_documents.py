"""The method and rule steps of a check: the whole documents redone with the leaf's own values."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from backend.incentive import Reduction, Rule, RuleRefused, apply_rule, read_rule
from backend.kit.canonical import dumps
from backend.kit.clock import day_number, day_number_open
from backend.kit.needs import DocumentError, Needs
from backend.methodology import Method, Refused, quantify, read_method
from backend.proof import Enacted, Outcome, Receipt, StepFailed, leaves, onchain

AskEnacted = Callable[[int, str, int], Awaitable[Enacted]]
"""(what, id, version) → what RuleRegistry holds; raises StepFailed or ChainFault."""

Judged = tuple[Outcome, str]


async def judge_method(
    receipt: Receipt, values: Mapping[str, Any], ask: AskEnacted | None
) -> Judged:
    """The method document gives this reduction. Raises `StepFailed` (and what `ask` raises)."""
    if receipt.kind == leaves.ENACTMENT:
        return await _judge_enacted("method", receipt.method, values["enactment"], ask)
    field = None if receipt.kind == leaves.AUDIT_HEAD else values["method"]
    if field is None:
        return _nothing_named("method", receipt.method)
    method = _read_method(receipt.method)
    _same("method", field, method, ("id", "version", "status"))
    if field["scenario"] not in method.scenarios:
        raise StepFailed(f"the method does not cover the scenario {field['scenario']}")
    window = _check_window("method", method, values)
    _check_reduction(method, field, values)
    _check_union(receipt, values)
    chain = await _check_enacted(onchain.ENACTED_METHOD, method, values, ask)
    stated = bool(method.needs.history or method.needs.counters)
    reason = f"{method.id} v{method.version} gives {field['reduction_mg']} mg{window}{chain}"
    return ("stated" if stated else "ok"), reason


async def judge_rule(receipt: Receipt, values: Mapping[str, Any], ask: AskEnacted | None) -> Judged:
    """The rule document gives these points. Raises `StepFailed` (and what `ask` raises)."""
    if receipt.kind == leaves.ENACTMENT:
        return await _judge_enacted("rule", receipt.rule, values["enactment"], ask)
    field = None if receipt.kind == leaves.AUDIT_HEAD else values["rule"]
    if field is None:
        return _nothing_named("rule", receipt.rule)
    rule = _read_rule(receipt.rule)
    _same("rule", field, rule, ("id", "version", "programme"))
    if rule.points_class != values["points"]["class"]:
        raise StepFailed("the rule awards points of another class")
    window = _check_window("rule", rule, values)
    _check_points(rule, field, values)
    _check_caps(rule, field, values)
    _check_union(receipt, values)
    chain = await _check_enacted(onchain.ENACTED_RULE, rule, values, ask)
    stated = bool(rule.needs.history or rule.needs.counters or rule.caps)
    amount, rows = values["points"]["amount"], ", ".join(field["row"])
    reason = f"{rule.id} v{rule.version} pays {amount} by row {rows}{window}{chain}"
    return ("stated" if stated else "ok"), reason


def _nothing_named(what: str, document: Mapping[str, Any] | None) -> Judged:
    if document is not None:
        raise StepFailed(f"the leaf names no {what}, yet a document is there")
    return "stated", f"an act without a {what}"


def _read_method(document: Mapping[str, Any] | None) -> Method:
    if document is None:
        raise StepFailed("the leaf names a method, yet its document is not there")
    try:
        return read_method(dumps(document))
    except DocumentError as error:
        raise StepFailed(f"the method document: {error}") from error


def _read_rule(document: Mapping[str, Any] | None) -> Rule:
    if document is None:
        raise StepFailed("the leaf names a rule, yet its document is not there")
    try:
        return read_rule(dumps(document))
    except DocumentError as error:
        raise StepFailed(f"the rule document: {error}") from error


def _same(
    what: str, field: Mapping[str, Any], document: Method | Rule, members: tuple[str, ...]
) -> None:
    if document.digest.hex() != field["digest"]:
        raise StepFailed(f"the {what} document's digest is not the leaf's")
    for name in members:
        if getattr(document, name) != field[name]:
            raise StepFailed(f"the {what} document's {name} is not the leaf's")


def _check_window(what: str, document: Method | Rule, values: Mapping[str, Any]) -> str:
    """A remark for the reason: in the share form the day is hidden."""
    occurrence = values.get("occurrence")
    if occurrence is None:
        return "; window not checked (share form)"
    if not document.covers(date.fromisoformat(occurrence["city_day"])):
        raise StepFailed(f"the leaf's city_day lies outside the {what}'s window")
    return ""


def _check_reduction(method: Method, field: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    stated = values["stated"]
    # §9 lets a method declare counters too; to its formula they are values like history's.
    needs = method.needs
    looked_up = replace(needs, history={**needs.history, **needs.counters}, counters={})
    found = quantify(
        replace(method, needs=looked_up),
        values["inputs"],
        {**stated["history"], **stated["counters"]},
    )
    if isinstance(found, Refused):
        raise StepFailed(f"the method refuses these values: {found.reason}")
    if found.reduction_mg != field["reduction_mg"]:
        raise StepFailed(
            f"the method gives {found.reduction_mg} mg, the leaf says {field['reduction_mg']}"
        )


def _check_points(rule: Rule, field: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    method, stated = values["method"], values["stated"]
    reduction = Reduction(
        method["reduction_mg"], method["scenario"], method["evidence_level"], method["status"]
    )
    paid = apply_rule(rule, reduction, values["inputs"], stated["history"], stated["counters"])
    if isinstance(paid, RuleRefused):
        raise StepFailed(f"the rule refuses these values: {paid.reason}")
    if list(paid.rows) != field["row"]:
        raise StepFailed(f"the rule pays by the rows {list(paid.rows)}, the leaf names others")
    if paid.points_before_caps != field["points_before_caps"]:
        raise StepFailed(f"the rows pay {paid.points_before_caps} before caps, the leaf differs")


def _check_caps(rule: Rule, field: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    caps, method = values["stated"]["caps"], values["method"]
    concerned = rule.caps_of(method["scenario"], method["evidence_level"], field["row"])
    if [(cap["name"], cap["limit"]) for cap in caps] != [(c.name, c.limit) for c in concerned]:
        raise StepFailed("the stated caps are not the rule's, in its order, with its limits")
    left = [cap["limit"] - cap["used_before"] for cap in caps]
    amount = min([field["points_before_caps"], *left])
    if amount != values["points"]["amount"]:
        raise StepFailed(f"after the caps {amount} points are left, the leaf differs")


def _check_union(receipt: Receipt, values: Mapping[str, Any]) -> None:
    """The leaf states what the two documents need, and nothing beyond (§4)."""
    needs: list[Needs] = [_read_method(receipt.method).needs, _read_rule(receipt.rule).needs]
    stated = values["stated"]
    for name, given, declared in (
        ("inputs", values["inputs"], [each.event for each in needs]),
        ("stated.history", stated["history"], [each.history for each in needs]),
        ("stated.counters", stated["counters"], [each.counters for each in needs]),
    ):
        wanted = set[str]().union(*declared)
        if given.keys() != wanted:
            odd = ", ".join(sorted(given.keys() ^ wanted))
            raise StepFailed(f"{name} is not exactly what the documents need: {odd}")


async def _check_enacted(
    what: int, document: Method | Rule, values: Mapping[str, Any], ask: AskEnacted | None
) -> str:
    """A remark for the reason: whether RuleRegistry was asked."""
    if ask is None:
        return ""
    held = await _ask_same(what, document, ask)
    occurrence = values.get("occurrence")
    if occurrence is not None:
        civil = day_number(date.fromisoformat(occurrence["city_day"]))
        if not held.day_from <= civil < held.day_to:
            raise StepFailed("the leaf's city_day lies outside the window enacted on chain")
    return "; as enacted on chain"


async def _ask_same(what: int, document: Method | Rule, ask: AskEnacted) -> Enacted:
    held = await ask(what, document.id, document.version)
    if held.digest != document.digest:
        raise StepFailed("RuleRegistry holds another digest for that version")
    # A stop lowers the end on chain; nothing ever moves the beginning or raises the end.
    if held.day_from != day_number(document.day_from):
        raise StepFailed("RuleRegistry holds another first day")
    if held.day_to > day_number_open(document.day_to):
        raise StepFailed("RuleRegistry holds a later last day than the document")
    return held


async def _judge_enacted(
    what: str,
    document: Mapping[str, Any] | None,
    field: Mapping[str, Any],
    ask: AskEnacted | None,
) -> Judged:
    """An enactment's own document: the one that was put in force, or stopped."""
    if document is None:
        if field["what"] == what:
            raise StepFailed(f"the leaf enacts a {what}, yet its document is not there")
        return "stated", f"an enactment without a {what}"
    if field["what"] not in (what, "stop"):
        raise StepFailed(f"the leaf enacts a {field['what']}, yet a {what} document is there")
    read = _read_method(document) if what == "method" else _read_rule(document)
    _same(what, field, read, ("id", "version"))
    if field["day_from"] != read.day_from.isoformat():
        raise StepFailed("the enacted window begins on another day than the document's")
    end = None if field["day_to"] is None else date.fromisoformat(field["day_to"])
    if day_number_open(end) > day_number_open(read.day_to):
        raise StepFailed("the enacted window ends after the document's")
    verb = "stopped" if field["what"] == "stop" else "enacted"
    reason = f"{read.id} v{read.version} {verb}"
    if ask is None:
        return "ok", reason
    held = await _ask_same(
        onchain.ENACTED_METHOD if what == "method" else onchain.ENACTED_RULE, read, ask
    )
    if held.day_to > day_number_open(end):
        raise StepFailed("RuleRegistry holds a later last day than the leaf")
    return "ok", f"{reason}; as on chain"
