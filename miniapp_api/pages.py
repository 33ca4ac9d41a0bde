"""From what the views know to what the citizen sees, and pages of it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TypeVar

from backend import views
from miniapp_api import shapes
from miniapp_api.words import ACTS, CAP_REACHED, method_note, next_step, reason_in_words

Item = TypeVar("Item")


def page_of(items: Sequence[Item], limit: int, cursors: Sequence[object]) -> str | None:
    """The cursor after a page, or None when it was the last: asked for were `limit` + 1."""
    return str(cursors[limit - 1]) if len(items) > limit else None


def activity_out(known: views.Activity) -> shapes.ActivityOut:
    """One activity in the citizen's words."""
    cut_by = next((award.cut_by for award in known.awards if award.cut_by), None)
    reason = known.reason or (CAP_REACHED if cut_by else None)
    return shapes.ActivityOut.model_validate(
        {
            "activity_id": known.activity_id,
            "event_id": known.event_id,
            "partner_id": known.partner_id,
            "scenario": known.scenario,
            "city_day": known.city_day,
            "occurred_at": known.occurred_text,
            "state": known.state,
            "reduction_mg": known.reduction_mg,
            "points": known.points,
            "reason": reason,
            "reason_text": reason_in_words(known.reason, cut_by, known.scenario),
            "method_note": method_note({award.method_status for award in known.awards}),
            "next_step": next_step(known.state, known.points),
            "stands_instead": None
            if known.stands_instead is None
            else asdict(known.stands_instead),
            "awards": [
                {
                    "programme_id": award.programme_id,
                    "points_class": award.points_class,
                    "points": award.points,
                    "cut_by": award.cut_by,
                    "state": award.state,
                    "method_status": award.method_status,
                }
                for award in known.awards
            ],
        }
    )


def holding_out(known: views.Holding) -> shapes.Holding:
    """One class of points; months as `YYYY-MM`."""
    return shapes.Holding(
        points_class=known.points_class,
        available=known.available,
        held=known.held,
        debt=known.debt,
        pending=known.pending,
        expiring=[
            shapes.Expiring(month=f"{month:%Y-%m}", points=points)
            for month, points in known.expiring
        ],
    )


def movement_out(known: views.Movement) -> shapes.MovementOut:
    """One movement."""
    return shapes.MovementOut(
        movement_id=known.movement_id,
        act=known.act,
        points_class=known.points_class,
        points=known.points,
        programme_id=known.programme_id,
        activity_id=known.activity_id,
        of_movement=known.of_movement,
        city_day=known.city_day,
        act_text=ACTS[known.act],
        note=known.note,
        created_at=known.created_at,
    )
