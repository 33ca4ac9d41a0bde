r"""Figures and records leave the platform: marked, signed, and noted in the audit log.

The signature is by the key that signs the log's heads, so whoever pinned trust.json can check it.
It covers `tanhui-export-v1\n<export id>\n<SM3 of the content>\n`, SM2 with SM3, b64 of DER.
"""

import csv
import io
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal
from uuid import UUID

from backend import incentive, officials, views
from backend.flows.seal_log import CHECKPOINT_KEY
from backend.kit.clock import city_day, day_bounds, to_text
from backend.kit.db import Tx
from backend.kit.ids import new_id
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.kit.sm import sm3
from backend.officials import Session

What = Literal["figures", "effects", "budgets", "rules", "audit"]
Format = Literal["csv", "json"]
AUDIT_ROWS_MAX = 100_000
Table = tuple[Sequence[str], list[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Export:
    """A signed file. `text` is what was signed, `signature` b64 of DER, `public_key` b64."""

    export_id: UUID
    name: str
    media_type: str
    content: bytes
    sm3: str
    text: str
    signature: str
    public_key: str


async def export_records(
    services: Services, by: Session, what: What, form: Format, days: int
) -> Export:
    """Make an export of the last `days` city days, today included: 7, 30 or 365.

    The spans are fixed, so that nobody can be found by taking one export from another.
    Raises Problem 422 `bad-window`, `too-many-rows`.
    """
    if days not in views.WINDOWS_DAYS:
        raise Problem(422, "bad-window", "导出区间为最近 7、30 或 365 天。")
    export_id, now, user = new_id(), services.clock.now(), by.official.official_id
    today = city_day(now, services.settings.city_tz)
    day_from, day_to = today - timedelta(days=days - 1), today + timedelta(days=1)
    async with services.db.transaction(isolation="repeatable_read") as tx:
        head, rows = await _table(tx, services, what, today, days)
        mark = f"碳惠导出 {export_id} · {user} · {to_text(now)} · {day_from} 至 {day_to} 前一日"
        content = _csv(mark, head, rows) if form == "csv" else _json(mark, head, rows)
        digest = sm3(content)
        await officials.note(
            tx,
            actor=user,
            act="export.make",
            about=what,
            detail={
                "export_id": export_id,
                "format": form,
                "day_from": day_from,
                "day_to": day_to,
                "rows": len(rows),
                "sm3": digest,
            },
            at=now,
        )
    key = services.vault.sm2_key(CHECKPOINT_KEY)
    text = f"tanhui-export-v1\n{export_id}\n{digest.hex()}\n"
    return Export(
        export_id,
        f"tanhui-{what}-{day_from}-{day_to}.{form}",
        "text/csv" if form == "csv" else "application/json",
        content,
        digest.hex(),
        text,
        b64encode(key.sign_der(text.encode())).decode(),
        b64encode(key.public_key.to_bytes()).decode(),
    )


async def _table(tx: Tx, services: Services, what: What, today: date, days: int) -> Table:
    day_from, day_to = today - timedelta(days=days - 1), today + timedelta(days=1)
    if what == "figures":
        return await _figures(tx, today, days)
    if what == "effects":
        return await _effects(tx, day_from, day_to, today)
    if what == "budgets":
        head = ("programme_id", "period", "envelope", "issued", "closed")
        return head, [[getattr(e, name) for name in head] for e in await incentive.budgets(tx)]
    if what == "rules":
        return await _rules(tx)
    opens_at, _ = day_bounds(day_from, services.settings.city_tz)
    closes_at, _ = day_bounds(day_to, services.settings.city_tz)
    entries = await officials.audit.entries_between(tx, opens_at, closes_at)
    if len(entries) > AUDIT_ROWS_MAX:
        raise Problem(422, "too-many-rows", "这一区间的记录过多,请缩短区间。")
    head = ("entry_id", "at", "actor", "act", "about", "detail")
    return head, [
        [str(e.entry_id), to_text(e.at), e.actor, e.act, e.about, json.dumps(e.detail)]
        for e in entries
    ]


async def _figures(tx: Tx, today: date, days: int) -> Table:
    found = await views.cockpit(tx, today, days)
    lists = (
        ("total", (found.total,)), ("day", found.by_day), ("scenario", found.by_scenario),
        ("partner", found.by_partner), ("evidence_level", found.by_level),
        ("method_status", found.by_status), ("class", found.by_class),
    )  # fmt: skip
    rows: list[Sequence[Any]] = [
        [kind, cell.name, cell.people, cell.awards, cell.reduction_mg, cell.points]
        for kind, cells in lists
        for cell in cells
    ]
    return ("by", "name", "people", "awards", "reduction_mg", "points"), rows


async def _effects(tx: Tx, day_from: date, day_to: date, today: date) -> Table:
    """Cost and effect of each rule version; money only where the terms give points a worth."""
    calendar = await incentive.terms_calendar(tx)
    rows: list[Sequence[Any]] = []
    for each in await views.effects(tx, day_from, day_to):
        policy = calendar.of(each.programme_id, today).policy
        fen = None if each.points is None else policy.fen_of(each.points)
        price = None
        if each.reduction_mg is not None:
            price = incentive.fen_per_tonne(fen, each.reduction_mg)
        levels = " ".join(f"{name}={count}" for name, count in each.levels.items())
        rows.append([
            each.programme_id, each.rule_id, each.rule_version, each.people, each.awards,
            each.points, each.reduction_mg, fen, price, levels,
        ])  # fmt: skip
    head = (
        "programme_id", "rule_id", "rule_version", "people", "awards", "points", "reduction_mg",
        "fen", "fen_per_tonne", "awards_by_level",
    )  # fmt: skip
    return head, rows


async def _rules(tx: Tx) -> Table:
    rows: list[Sequence[Any]] = []
    kinds: tuple[views.What, ...] = ("rule", "method")
    for what in kinds:
        rows += [
            [
                what,
                each.id,
                each.version,
                each.status,
                each.digest.hex(),
                str(each.day_from),
                "" if each.day_to is None else str(each.day_to),
                " ".join(each.approvers),
            ]
            for each in await views.documents_listed(tx, what)
        ]
    head = ("what", "id", "version", "status", "digest", "day_from", "day_to", "approvers")
    return head, rows


def _csv(mark: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """UTF-8 with a byte order mark, which spreadsheets need; the watermark is the first row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([mark])
    writer.writerow(head)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula is made plain; None is an empty cell."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value


def _json(mark: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    items = [dict(zip(head, row, strict=True)) for row in rows]
    return json.dumps({"watermark": mark, "items": items}, ensure_ascii=False, indent=1).encode()
