"""A simulation as people and programs read it: one JSON object, and plain Chinese lines."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from backend import incentive
from backend.flows.simulate_rule import Simulated
from backend.incentive import Outcome, Shift

MG_PER_KG = 1_000_000


def as_document(found: Simulated) -> dict[str, Any]:
    """The simulation as JSON: integers with their unit in the name, shares in thousandths.

    `difference` is the draft less the version in force; null where none was. Money is null where
    the programme's points have no money value.
    """
    draft = _outcome(found, found.draft)
    in_force = None if found.in_force is None else _outcome(found, found.in_force)
    by = ("points", "points_before_caps", "people", "awards", "reduction_mg", "fen")
    ends = found.exhaustion
    return {
        "rule": {
            "id": found.rule.id,
            "version": found.rule.version,
            "digest": found.rule.digest.hex(),
        },
        "programme": found.programme.programme_id,
        "class": found.programme.points_class,
        "day_from": found.day_from.isoformat(),
        "day_to": found.day_to.isoformat(),
        "events": found.events,
        "set_aside": found.set_aside,
        "erased": found.erased,
        "points_paid_then": found.paid_then,
        "draft": draft,
        "in_force": in_force,
        "difference": None
        if in_force is None
        else {name: _less(draft[name], in_force[name]) for name in by},
        "winners": sum(by > 0 for by in found.people.values()),
        "losers": sum(by < 0 for by in found.people.values()),
        "by_scenario": _shifts(found.by_scenario),
        "by_district": _shifts(found.by_district),
        "budget": {
            "envelope": found.envelope,
            "left_before": found.budget_left,
            "exhausted_on": _text(found.draft.exhausted_on),
            "ends": None
            if ends is None
            else {
                "early": _text(ends.early),
                "expected": _text(ends.expected),
                "late": _text(ends.late),
            },
        },
    }


def in_lines(found: Simulated, words: incentive.Words) -> list[str]:
    """The simulation in plain Chinese, line by line."""
    document = as_document(found)
    lines = [
        f"规则 {found.rule.id} 第 {found.rule.version} 版(草案)试算:{found.programme.name}",
        (
            f"行为日 {found.day_from} 至 {found.day_to},{found.events} 件"
            f"(另 {found.set_aside} 件因授权、更正或重复申领不计,{found.erased} 件已删除)"
        ),
        _line("草案", document["draft"]),
    ]
    if document["in_force"] is not None:
        lines.append(_line("现行", document["in_force"]))
        lines.append(
            f"相差 {document['difference']['points']:+} 分;"
            f"{document['winners']} 人增加,{document['losers']} 人减少"
        )
    else:
        lines.append("本活动没有现行规则,无从比较")
    lines += [
        f"上限 {name}:{cut['times']} 次,少发 {cut['points']} 分"
        for name, cut in document["draft"]["caps"].items()
    ]
    lines += [f"未计分 {r}:{n} 件" for r, n in sorted(document["draft"]["refused"].items())]
    spread = document["draft"]["concentration"]
    lines.append(
        f"集中度:前 1% 的人得 {_share(spread['top_1_percent'])},"
        f"前 10% 的人得 {_share(spread['top_10_percent'])},基尼系数 {_share(spread['gini'])}"
    )
    for title, part in (("场景", "by_scenario"), ("区域", "by_district")):
        for name, shift in document[part].items():
            shown = words.scenarios.get(name, name)
            lines.append(
                f"{title} {shown}:{shift['events']} 件,{shift['before']} → {shift['after']} 分,"
                f"{shift['winners']} 人增加,{shift['losers']} 人减少"
            )
    lines.append(_budget_line(found))
    return lines


def _outcome(found: Simulated, outcome: Outcome) -> dict[str, Any]:
    fen = found.terms.policy.fen_of(outcome.points)
    spread = incentive.concentration(outcome.by_person.values())
    return {
        "points": outcome.points,
        "points_before_caps": outcome.points_before_caps,
        "people": len(outcome.by_person),
        "awards": outcome.awards,
        "reduction_mg": outcome.reduction_mg,
        "fen": fen,
        "fen_per_tonne": incentive.fen_per_tonne(fen, outcome.reduction_mg),
        "caps": {n: {"times": t, "points": p} for n, (t, p) in sorted(outcome.cut.items())},
        "rows": {n: {"times": t, "points": p} for n, (t, p) in sorted(outcome.rows.items())},
        "refused": dict(sorted(outcome.refused.items())),
        "evidence_levels": dict(sorted(outcome.levels.items())),
        "concentration": {
            "gini": spread.gini,
            "top_1_percent": spread.top_1_percent,
            "top_10_percent": spread.top_10_percent,
            "top_person": spread.top_person,
        },
        "by_day": {day.isoformat(): points for day, points in sorted(outcome.by_day.items())},
    }


def _shifts(shifts: Mapping[str, Shift]) -> dict[str, dict[str, int]]:
    return {
        name: {
            "events": shift.events,
            "before": shift.before,
            "after": shift.after,
            "winners": shift.winners,
            "losers": shift.losers,
            "reduction_mg": shift.reduction_mg,
        }
        for name, shift in sorted(shifts.items())
    }


def _less(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one - other


def _line(title: str, outcome: Mapping[str, Any]) -> str:
    money = ""
    if outcome["fen"] is not None:
        money = f",折合 {_yuan(outcome['fen'])} 元"
        if outcome["fen_per_tonne"] is not None:
            money += f",每吨 {_yuan(outcome['fen_per_tonne'])} 元"
    kilograms = outcome["reduction_mg"] // MG_PER_KG
    return (
        f"{title}:{outcome['people']} 人,{outcome['awards']} 次,{outcome['points']} 分"
        f"(上限前 {outcome['points_before_caps']} 分),减排 {kilograms} 千克{money}"
    )


def _budget_line(found: Simulated) -> str:
    if found.envelope is None:
        return "预算:本期未设预算"
    line = f"预算:总额 {found.envelope} 分,期初余 {found.budget_left} 分"
    if found.draft.exhausted_on is not None:
        return f"{line};按草案于 {found.draft.exhausted_on} 用完"
    if found.exhaustion is None:
        return f"{line};时间窗不足三周,不作预测"
    early, expected, late = (day or "五年之后" for day in found.exhaustion)
    return f"{line};预计 {expected} 用完(八成把握在 {early} 与 {late} 之间)"


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _share(thousandths: int) -> str:
    return f"{thousandths // 10}.{thousandths % 10}%"


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
