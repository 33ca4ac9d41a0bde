"""预算: envelopes, what is spent, when they are expected to end, and the alarms."""

# pyright: standard

from datetime import date, timedelta

from nicegui import ui

from backend import incentive
from backend.flows.fund_programme import Envelope, set_envelope
from backend.gov_panel.desk import Again, Desk, Visit, renewal
from backend.gov_panel.dialogs import ask
from backend.gov_panel.frame import card, chip, failed, pairs, place, progress
from backend.incentive import BudgetState
from backend.kit.clock import city_day
from backend.kit.problems import Problem
from backend.officials import Session

BASIS_DAYS = 56
"""Days of spending that the forecast looks back on."""


def register(desk: Desk) -> None:
    """Serve the page."""

    @place(desk, "/budgets", "预算", "programmes.read")
    async def page(visit: Visit) -> None:
        @ui.refreshable
        async def whole() -> None:
            await _whole(visit, renewal(whole.refresh))

        await whole()


async def _whole(visit: Visit, again: Again) -> None:
    services = visit.services
    today = city_day(services.clock.now(), services.settings.city_tz)
    async with services.db.transaction(readonly=True, isolation="repeatable_read") as tx:
        states = await incentive.budgets(tx)
        names = {
            row["programme_id"]: row["name"]
            for row in await tx.fetch("SELECT programme_id, name FROM programme")
        }
        spent = {
            state.programme_id: {
                row["city_day"]: row["points"]
                for row in await tx.fetch(
                    """SELECT city_day, sum(amount)::bigint AS points FROM award
                       WHERE programme_id = $1 AND city_day >= $2 GROUP BY 1""",
                    state.programme_id,
                    today - timedelta(days=BASIS_DAYS),
                )
            }
            for state in states
        }
    if not states:
        failed("还没有设定任何预算。", icon="savings")
    for state in states:
        _budget(visit, state, names[state.programme_id], spent[state.programme_id], today, again)


def _budget(
    visit: Visit,
    state: BudgetState,
    name: str,
    spent: dict[date, int],
    today: date,
    again: Again,
) -> None:
    left = state.envelope - state.issued
    share = 100 * state.issued // state.envelope if state.envelope else 100
    with card(f"{name} · {'总额' if state.period == 'total' else state.period + ' 年'}"):
        with ui.element("div").classes("th-row"):
            if state.closed:
                chip("已关闭", "grey")
            elif left <= 0:
                chip("已用完,不再发放", "bad")
            elif share >= 80:
                chip(f"已用 {share}%", "warn")
            else:
                chip(f"已用 {share}%")
        progress(min(state.issued, state.envelope), state.envelope or 1)
        shown: dict[str, object] = {
            "额度": f"{state.envelope:,} 分",
            "已发": f"{state.issued:,} 分",
            "剩余": f"{left:,} 分",
        }
        days = [spent.get(today - timedelta(days=n), 0) for n in range(BASIS_DAYS, 0, -1)]
        if left > 0 and any(days[-14:]):
            ends = incentive.exhaustion(days, left, today - timedelta(days=1))
            shown["预计用完"] = (
                f"{ends.expected or '五年内不会用完'}"
                f"(80% 的可能在 {ends.early or '五年以后'} 至 {ends.late or '五年以后'})"
            )
            shown["依据"] = f"前 {BASIS_DAYS} 天每日发放,按星期重复,以滚动回测的误差为带宽"
        pairs(shown)
        if visit.may("budgets.set") and not state.closed:

            async def set_to(_by: Session, points: str) -> str:
                if not points.strip().isdecimal():
                    raise Problem(422, "bad-shape", "额度须为整数积分。")
                envelope = Envelope(state.programme_id, state.period, int(points))
                await set_envelope(visit.desk.government, envelope)
                return "额度已更新,链上与账上一致。"

            ask(visit, "调整额度", "新的额度(分)", "budgets.set", set_to, again)
