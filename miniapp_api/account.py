"""The account over time: a past day's balance, the month's report, a certificate to print."""

import io
from base64 import b64encode
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal
from uuid import UUID
from xml.sax.saxutils import escape

import segno
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from backend import citizens, views
from backend.flows.seal_log import CHECKPOINT_KEY
from backend.kit.clock import city_day, day_bounds
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.methodology import scenarios
from miniapp_api.once import SIGNED_OUT, Who

TREND_MONTHS = 13
"""The month itself, the eleven before, and the same month of last year."""

FUTURE_DAY: Refusal = (422, "future-day", "不能查询将来的日期或月份。")
NOTHING_YET: Refusal = (409, "nothing-yet", "这个月还没有计入的低碳行为,暂无证书。")

Month = Annotated[str, Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")]
Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2099, 12, 31))]
Need = Literal["clothing", "food", "home", "travel", "goods"]

NEEDS: dict[Need, str] = {
    "clothing": "衣",
    "food": "食",
    "home": "住",
    "travel": "行",
    "goods": "用",
}
_BY_PREFIX: dict[str, Need] = {
    "energy.": "home",
    "transit.": "travel",
    "bike.": "travel",
    "ev.": "travel",
    "parking.": "travel",
}


class PointsThen(BaseModel):
    """Points of one class at the end of a past day; below 0 is a debt."""

    points_class: str = Field(serialization_alias="class")
    points: int


class BalanceThen(BaseModel):
    """The balance as all movements up to the end of that city day left it."""

    day: date
    items: list[PointsThen]


class ScenarioSum(BaseModel):
    """One scenario's part of a month."""

    scenario: str
    title: str
    activities: int
    reduction_mg: int
    points: int


class NeedSum(BaseModel):
    """One of 衣食住行用; `scenarios` is empty where nothing is reported yet."""

    need: Need
    title: str
    reduction_mg: int
    scenarios: list[ScenarioSum]


class MonthPoint(BaseModel):
    """One month of the trend."""

    month: str
    reduction_mg: int


class Report(BaseModel):
    """A month by needs, against one's own past, with goal and forecast.

    `forecast_mg` continues the days so far evenly to the month's end; null once it is over.
    """

    month: str
    activities: int
    reduction_mg: int
    points: int
    needs: list[NeedSum]
    trend: list[MonthPoint]
    previous_month_mg: int
    same_month_last_year_mg: int
    goal_mg: int | None
    forecast_mg: int | None


def add_account(door: APIRouter, services: Services, who: Who) -> None:
    """`GET /points/at`, `/report`, `/certificate`."""
    _add_balance(door, services, who)
    _add_report(door, services, who)
    _add_certificate(door, services, who)


def _add_balance(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/points/at",
        summary="The balance at the end of a past day",
        responses=refusals(SIGNED_OUT, FUTURE_DAY, BAD_SHAPE),
    )
    async def balance(
        citizen_id: Annotated[UUID, Depends(who)],
        day: Day,
    ) -> BalanceThen:
        zone = services.settings.city_tz
        if day > city_day(services.clock.now(), zone):
            raise Problem(*FUTURE_DAY)
        _, end = day_bounds(day, zone)
        async with services.db.transaction(readonly=True) as tx:
            held = await views.balances_before(tx, citizen_id, end)
        items = [PointsThen(points_class=name, points=points) for name, points in held.items()]
        return BalanceThen(day=day, items=items)


def _add_report(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/report",
        summary="A month by 衣食住行用, against one's own past, with goal and forecast",
        responses=refusals(SIGNED_OUT, FUTURE_DAY, BAD_SHAPE),
    )
    async def report(
        citizen_id: Annotated[UUID, Depends(who)],
        month: Annotated[Month | None, Query(description="Default: this month")] = None,
    ) -> Report:
        return await _report(services, citizen_id, month)


async def _report(services: Services, citizen_id: UUID, month: str | None) -> Report:
    today = city_day(services.clock.now(), services.settings.city_tz)
    first = today.replace(day=1) if month is None else date.fromisoformat(f"{month}-01")
    if first > today:
        raise Problem(*FUTURE_DAY)
    months = [months_before(first, back) for back in range(TREND_MONTHS - 1, -1, -1)]
    async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
        sums = await views.month_sums(tx, citizen_id, months[0], months_before(first, -1))
        chosen = await citizens.notices.settings_of(tx, citizen_id)
    by_month = dict.fromkeys(months, 0)
    for each in sums:
        by_month[each.month] += each.reduction_mg
    mine = [each for each in sums if each.month == first]
    so_far = by_month[first]
    return Report(
        month=f"{first:%Y-%m}",
        activities=sum(each.activities for each in mine),
        reduction_mg=so_far,
        points=sum(each.points for each in mine),
        needs=_needs(mine),
        trend=[MonthPoint(month=f"{at:%Y-%m}", reduction_mg=mg) for at, mg in by_month.items()],
        previous_month_mg=by_month[months[-2]],
        same_month_last_year_mg=by_month[months[0]],
        goal_mg=chosen.goal_mg,
        forecast_mg=_forecast(so_far, first, today),
    )


def _needs(sums: Sequence[views.MonthSum]) -> list[NeedSum]:
    by_need: dict[Need, list[ScenarioSum]] = {need: [] for need in NEEDS}
    known = scenarios()
    for each in sums:
        prefix = each.scenario.partition(".")[0] + "."
        spec = known.get(each.scenario)
        by_need[_BY_PREFIX.get(prefix, "goods")].append(
            ScenarioSum(
                scenario=each.scenario,
                title=each.scenario if spec is None else spec.title,
                activities=each.activities,
                reduction_mg=each.reduction_mg,
                points=each.points,
            )
        )
    return [
        NeedSum(
            need=need,
            title=title,
            reduction_mg=sum(each.reduction_mg for each in by_need[need]),
            scenarios=by_need[need],
        )
        for need, title in NEEDS.items()
    ]


def _forecast(so_far: int, first: date, today: date) -> int | None:
    after = months_before(first, -1)
    if today >= after:
        return None
    days_gone = (today - first).days + 1
    return so_far * (after - first).days // days_gone


def months_before(first: date, count: int) -> date:
    """The first day of the month `count` months before; below 0 after."""
    index = first.year * 12 + first.month - 1 - count
    return date(index // 12, index % 12 + 1, 1)


def _add_certificate(door: APIRouter, services: Services, who: Who) -> None:
    @door.get(
        "/certificate",
        summary="A month's certificate as SVG, A4, signed; its QR code holds text and signature",
        response_class=Response,
        responses={
            200: {
                "description": "A printable page",
                "content": {"image/svg+xml": {"schema": {"type": "string"}}},
            },
            **refusals(SIGNED_OUT, FUTURE_DAY, NOTHING_YET, BAD_SHAPE),
        },
    )
    async def certificate(
        citizen_id: Annotated[UUID, Depends(who)],
        month: Annotated[Month | None, Query(description="Default: this month")] = None,
    ) -> Response:
        found = await _report(services, citizen_id, month)
        if not found.activities:
            raise Problem(*NOTHING_YET)
        async with services.db.transaction(readonly=True) as tx:
            person = await views.person_of(tx, citizen_id)
        account = next(iter(person.accounts.values())).hex() if person and person.accounts else "-"
        return Response(_page(services, found, account), media_type="image/svg+xml")


def _page(services: Services, found: Report, account: str) -> str:
    settings = services.settings
    made = city_day(services.clock.now(), settings.city_tz)
    text = (
        f"tanhui-certificate-v1\n{settings.issuer_id}\n{account}\n{found.month}\n"
        f"{found.activities}\n{found.reduction_mg}\n{made}\n"
    )
    key = services.vault.sm2_key(CHECKPOINT_KEY)
    signature = b64encode(key.sign_der(text.encode())).decode()
    drawn = io.BytesIO()
    segno.make(f"{text}{signature}", error="m").save(
        drawn, kind="svg", xmldecl=False, svgns=False, border=0, scale=1, omitsize=True
    )
    first = date.fromisoformat(f"{found.month}-01")
    lines = [
        (44, f"{first:%Y} 年 {first.month} 月,链上账户 {account[:8]}…{account[-4:]} 的持有人"),
        (56, f"完成 {found.activities} 次低碳行为,经核算减少二氧化碳排放"),
        (124, "本证书由平台以国密 SM2 签名;二维码内含全文与签名,可用信任文件中的公钥核验。"),
        (132, f"签发:{settings.issuer_name}({settings.issuer_id}) · {made}"),
    ]
    if settings.profile != "production":
        lines.append((140, "演示环境签发,不具有任何效力。"))
    body = "".join(
        f'<text x="105" y="{at}" font-size="5" text-anchor="middle">{escape(line)}</text>'
        for at, line in lines
    )
    grams = f"{found.reduction_mg // 1_000:,} 克"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="210mm" height="148mm" viewBox="0 0 210 148"'
        ' font-family="sans-serif" fill="#123">'
        '<rect x="4" y="4" width="202" height="140" fill="#fff" stroke="#1a7f5a"/>'
        '<text x="105" y="28" font-size="12" text-anchor="middle" fill="#1a7f5a">'
        "低碳行为证书</text>"
        f'<text x="105" y="76" font-size="14" text-anchor="middle">{escape(grams)}</text>'
        f'<svg x="89" y="84" width="32" height="32">{drawn.getvalue().decode()}</svg>{body}</svg>'
    )
