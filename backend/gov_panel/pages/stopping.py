"""停用: an order with its reason, signed by two persons with their own keys."""

# pyright: standard

from typing import Any

from nicegui import ui

from backend.flows import stop_rule
from backend.flows.enact_rule import What
from backend.flows.rule_life import Life
from backend.gov_panel.desk import Again, Visit
from backend.gov_panel.dialogs import ask, signing
from backend.gov_panel.frame import card, moment
from backend.officials import Session, life


def button(visit: Visit, what: What, at: Life, again: Again) -> None:
    """The button that orders a stop."""

    async def order(by: Session, reason: str) -> str:
        stop, _ = await stop_rule.order_stop(
            visit.services, by, what, at.version.id, at.version.version, reason
        )
        return f"停用令已下达,自 {stop.day_to} 起停用;需两位审批人签名。"

    ask(visit, "停用", "停用的原因(公开)", "rules.stop", order, again)


async def orders(visit: Visit, at: Life, again: Again) -> None:
    """Orders to stop this version, with the signatures they still need."""
    async with visit.services.db.transaction(readonly=True) as tx:
        found = await life.stops(tx, at.version.key)
        signed = {each.stop_id: await life.stop_signatures(tx, each.stop_id) for each in found}
    for each in found:
        with card(f"停用令:自 {each.day_to} 起"):
            ui.label(each.reason).style("white-space:pre-wrap")
            ui.label(f"{each.asked_by} 于 {moment(visit, each.asked_at)} 下达").classes("th-sub")
            names = "、".join(row["official_id"] for row in signed[each.stop_id]) or "尚无"
            ui.label(f"签名:{names}")

            async def sign(by: Session, signer: Any, stop_id: Any = each.stop_id) -> str:
                desk = visit.desk
                await stop_rule.sign_stop(visit.services, desk.government, by, stop_id, signer)
                return "已签名。"

            if at.state == "enacted" and visit.may("rules.stop"):
                signing(visit, "签署停用令", "rules.stop", sign, again)
