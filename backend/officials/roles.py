"""Roles, and the one table that says which role may do what. API and panel both ask here."""

from collections.abc import Sequence
from typing import Literal

from backend.kit.problems import Problem

Kind = Literal["business", "system"]

BUSINESS = ("drafter", "approver", "finance", "auditor", "partner_manager")
SYSTEM = ("system_admin", "security_admin", "audit_admin")
ROLES = BUSINESS + SYSTEM

TITLES = {
    "drafter": "规则起草人",
    "approver": "规则审批人",
    "finance": "财务",
    "auditor": "审计员",
    "partner_manager": "合作方管理员",
    "system_admin": "系统管理员",
    "security_admin": "安全管理员",
    "audit_admin": "审计管理员",
}

_OFFICE = frozenset(BUSINESS)
_ADMINS = frozenset({"system_admin", "security_admin"})

ACTS: dict[str, frozenset[str]] = {
    # Accounts: asked for by one administrator, settled by another.
    "officials.read": frozenset(SYSTEM) | {"auditor"},
    "officials.request": _ADMINS,
    "officials.settle": _ADMINS,
    # Rules and methods.
    "rules.read": _OFFICE,
    "rules.draft": frozenset({"drafter"}),
    "rules.simulate": frozenset({"drafter", "approver", "finance"}),
    "rules.submit": frozenset({"drafter"}),
    "rules.approve": frozenset({"approver"}),
    "rules.return": frozenset({"approver"}),
    "rules.notice": frozenset({"drafter", "approver"}),
    "rules.answer": frozenset({"drafter", "approver"}),
    "rules.enact": frozenset({"approver"}),
    "rules.stop": frozenset({"approver"}),
    # Money.
    "programmes.read": _OFFICE,
    "programmes.open": frozenset({"finance"}),
    "budgets.set": frozenset({"finance"}),
    # Partners.
    "partners.read": frozenset({"partner_manager", "auditor"}),
    "partners.manage": frozenset({"partner_manager"}),
    # Evidence, figures, cases.
    "evidence.read": frozenset({"auditor", "approver", "partner_manager"}),
    "corrections.read": frozenset({"auditor", "approver", "partner_manager"}),
    "figures.read": _OFFICE,
    "cases.read": frozenset({"auditor", "approver", "partner_manager"}),
    "cases.decide": frozenset({"approver", "partner_manager"}),
    "cases.clawback": frozenset({"approver"}),
    "rewards.read": frozenset({"partner_manager", "finance", "auditor"}),
    "rewards.manage": frozenset({"partner_manager"}),
    "parking.read": frozenset({"finance", "partner_manager", "auditor"}),
    "parking.settle": frozenset({"finance"}),
    "parking.manage": frozenset({"partner_manager"}),
    "devices.manage": frozenset({"partner_manager"}),
    # Records.
    "audit.read": frozenset({"auditor", "audit_admin"}),
    "exports.make": frozenset({"finance", "auditor"}),
}
"""Which roles may do an act. A route or a page names its act; nothing else decides."""


def kind_of(role: str) -> Kind:
    """Business or system; an account's roles are all of one kind."""
    return "system" if role in SYSTEM else "business"


def conflict(kind: str, held: Sequence[str], role: str) -> str | None:
    """Why someone of this kind with these roles cannot have this one too, or None."""
    others = [each for each in held if each != role]
    if kind != kind_of(role):
        return "管理类角色与业务角色不得由同一人担任。"
    if kind == "system" and others:
        return "系统、安全、审计三员须由三人分别担任。"
    if {role, *others} >= {"drafter", "approver"}:
        return "起草与审批不得由同一人担任。"
    return None


def may(roles: tuple[str, ...], act: str) -> bool:
    """Whether someone with these roles may do an act. Raises KeyError for an unknown act."""
    return not ACTS[act].isdisjoint(roles)


def refuse_unless_may(roles: tuple[str, ...], act: str) -> None:
    """Raise Problem 403 `not-your-role` unless one of the roles may do the act."""
    if not may(roles, act):
        raise Problem(
            403, "not-your-role", "您的角色不能做这件事。", act=act, roles=sorted(ACTS[act])
        )
