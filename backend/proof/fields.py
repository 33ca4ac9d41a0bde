"""What each field of a leaf may hold (formats.md §4), judged for whatever fields are at hand."""

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from backend.kit.canonical import INTEGER_MAX
from backend.kit.clock import city_day, parse_time
from backend.proof.shape import (
    ADDRESS,
    HEX32,
    ID,
    NAME,
    VERSION_MAX,
    ShapeError,
    day,
    integer,
    members,
    text,
)

_ACCOUNT = re.compile(r"[0-9a-f]{40}")
_TRANSFER = re.compile(r"[0-9a-z-]{1,64}")

ACT_REASON = {"award": 0, "redeem": 0, "expire": 1, "reverse": 2, "erase": 3, "refund": 4}
"""The acts a transfer can be, each with its reason code."""

ACT_BATCH_KIND = {"award": 1, "refund": 1, "redeem": 2, "expire": 3, "reverse": 3, "erase": 3}
"""The kind of batch that an act falls in: 1 issue, 2 redeem, 3 retire."""

ORIGINS = ("signed-upload", "shared-secret")
"""How an upload can have been authenticated."""

_OF_NEVER = frozenset({"award", "redeem"})
_OF_ALWAYS = frozenset({"reverse", "refund"})
_LEVELS = ("L0", "L1", "L2", "L3", "L4")
_AWARD_ONLY = ("method", "rule", "inputs", "stated", "event")


_ACT = frozenset({"act", "transfer", "of", "reason"})
_POINTS = frozenset({"class", "amount"})
_METHOD = frozenset(
    {"id", "version", "digest", "status", "scenario", "evidence_level", "origin", "reduction_mg"}
)
_RULE = frozenset({"programme", "id", "version", "digest", "row", "points_before_caps"})
_STATED = frozenset({"history", "counters", "caps"})
_CAP = frozenset({"name", "limit", "used_before"})
_OCCURRENCE = frozenset({"time", "originaltime", "city_day", "place"})
_EVENT = frozenset({"partner", "source", "id", "digest"})
_ENACTMENT = frozenset({"what", "id", "version", "digest", "day_from", "day_to", "approvers"})
_AUDIT = frozenset({"day", "count", "head"})


def _check_act(value: Any) -> None:
    act = members(value, _ACT, "act")
    name = act["act"]
    if type(name) is not str or name not in ACT_REASON:
        raise ShapeError("act.act is none of award, refund, redeem, expire, reverse, erase")
    text(act["transfer"], _TRANSFER, "act.transfer")
    if act["of"] is not None:
        text(act["of"], _TRANSFER, "act.of")
    if (name in _OF_NEVER and act["of"] is not None) or (name in _OF_ALWAYS and act["of"] is None):
        raise ShapeError(f"act.of does not suit the act {name}")
    if type(act["reason"]) is not int or act["reason"] != ACT_REASON[name]:
        raise ShapeError(f"act.reason of the act {name} is {ACT_REASON[name]}")


def _check_points(value: Any) -> None:
    points = members(value, _POINTS, "points")
    text(points["class"], ID, "points.class")
    integer(points["amount"], 1, INTEGER_MAX, "points.amount")


def _check_method(value: Any) -> None:
    method = members(value, _METHOD, "method")
    text(method["id"], ID, "method.id")
    integer(method["version"], 1, VERSION_MAX, "method.version")
    text(method["digest"], HEX32, "method.digest")
    text(method["status"], None, "method.status")
    text(method["scenario"], None, "method.scenario")
    if method["evidence_level"] not in _LEVELS:
        raise ShapeError("method.evidence_level is none of L0 to L4")
    if method["origin"] not in ORIGINS:
        raise ShapeError("method.origin is neither signed-upload nor shared-secret")
    integer(method["reduction_mg"], 0, INTEGER_MAX, "method.reduction_mg")


def _check_rule(value: Any) -> None:
    rule = members(value, _RULE, "rule")
    text(rule["programme"], ID, "rule.programme")
    text(rule["id"], ID, "rule.id")
    integer(rule["version"], 1, VERSION_MAX, "rule.version")
    text(rule["digest"], HEX32, "rule.digest")
    rows = rule["row"]
    if type(rows) is not list or any(type(row) is not str for row in cast("list[Any]", rows)):
        raise ShapeError("rule.row is not a list of row ids")
    integer(rule["points_before_caps"], 0, INTEGER_MAX, "rule.points_before_caps")


def _check_values(value: Any, where: str) -> None:
    if type(value) is not dict:
        raise ShapeError(f"{where} is not an object of named values")
    for name, one in cast("dict[str, Any]", value).items():
        if not NAME.fullmatch(name):
            raise ShapeError(f"{where} holds a name that no expression can use")
        if type(one) not in {int, bool, str}:
            raise ShapeError(f"{where}.{name} is neither integer, boolean nor string")


def _check_stated(value: Any) -> None:
    stated = members(value, _STATED, "stated")
    _check_values(stated["history"], "stated.history")
    _check_values(stated["counters"], "stated.counters")
    if type(stated["caps"]) is not list:
        raise ShapeError("stated.caps is not a list")
    for item in cast("list[Any]", stated["caps"]):
        cap = members(item, _CAP, "a cap")
        text(cap["name"], None, "a cap's name")
        integer(cap["limit"], 0, INTEGER_MAX, "a cap's limit")
        integer(cap["used_before"], 0, INTEGER_MAX, "a cap's used_before")


def _check_occurrence(value: Any, city_tz: str) -> None:
    occurrence = members(value, _OCCURRENCE, "occurrence")
    civil = day(occurrence["city_day"], "occurrence.city_day")
    for name in ("time", "originaltime"):
        spelled = occurrence[name]
        if spelled is None:
            continue
        try:
            instant = parse_time(text(spelled, None, f"occurrence.{name}")).instant
        except (ValueError, OverflowError) as error:
            raise ShapeError(f"occurrence.{name} is not a time") from error
        if name == "time" and city_day(instant, city_tz) != civil:
            raise ShapeError("occurrence.city_day is not the city's day of occurrence.time")


def _check_event(value: Any) -> None:
    event = members(value, _EVENT, "event")
    text(event["partner"], ID, "event.partner")
    text(event["source"], None, "event.source")
    text(event["id"], None, "event.id")
    text(event["digest"], HEX32, "event.digest")


_TRANSFER_CHECKS: dict[str, Callable[[Any], None]] = {
    "points": _check_points,
    "method": _check_method,
    "rule": _check_rule,
    "inputs": lambda value: _check_values(value, "inputs"),
    "stated": _check_stated,
    "event": _check_event,
    "account": lambda value: cast(None, text(value, _ACCOUNT, "account")),
}


def _check_transfer(values: Mapping[str, Any], city_tz: str) -> None:
    _check_act(values.get("act"))
    award = values["act"]["act"] == "award"
    for name, value in values.items():
        if name == "act":
            continue
        if name in _AWARD_ONLY and not award:
            if value is not None:
                raise ShapeError(f"{name} must be null in an act other than award")
        elif name == "occurrence":
            _check_occurrence(value, city_tz)
            if award and value["time"] is None:
                raise ShapeError("occurrence.time of an award is not null")
        else:
            _TRANSFER_CHECKS[name](value)


def _check_enactment(value: Any) -> None:
    enactment = members(value, _ENACTMENT, "enactment")
    if enactment["what"] not in ("rule", "method", "stop"):
        raise ShapeError("enactment.what is none of rule, method, stop")
    text(enactment["id"], ID, "enactment.id")
    integer(enactment["version"], 1, VERSION_MAX, "enactment.version")
    text(enactment["digest"], HEX32, "enactment.digest")
    start = day(enactment["day_from"], "enactment.day_from")
    if enactment["day_to"] is not None:
        end = day(enactment["day_to"], "enactment.day_to")
        # A stop may close a window on its very first day.
        if end < start or (end == start and enactment["what"] != "stop"):
            raise ShapeError("enactment.day_to does not follow day_from")
    approvers = enactment["approvers"]
    if type(approvers) is not list or len(cast("list[Any]", approvers)) != 2:
        raise ShapeError("enactment.approvers are two addresses")
    first, second = (text(item, ADDRESS, "an approver") for item in cast("list[Any]", approvers))
    if not first < second:
        raise ShapeError("enactment.approvers are not two addresses in ascending order")


def _check_audit(value: Any) -> None:
    audit = members(value, _AUDIT, "audit")
    day(audit["day"], "audit.day")
    integer(audit["count"], 0, INTEGER_MAX, "audit.count")
    text(audit["head"], HEX32, "audit.head")


def check_fields(kind: int, values: Mapping[str, Any], city_tz: str) -> None:
    """Judge the fields at hand: all of them, or the first six of a transfer.

    `city_tz` ties an occurrence's city_day to its time. Raises `ShapeError`.
    """
    if kind == 1:
        _check_transfer(values, city_tz)
    elif kind == 2:
        _check_enactment(values.get("enactment"))
    elif kind == 3:
        _check_audit(values.get("audit"))
    else:
        raise ShapeError("a leaf's kind is 1, 2 or 3")
