"""What a citizen reads about an activity: why it stands where it stands, and what to do."""

from collections.abc import Set as AbstractSet

from backend.methodology import scenarios

NEXT_STEPS = {
    "recorded": "已收到合作平台的上报,正在核算,通常几秒内完成。",
    "awarded": "积分已发放,等待写入公开日志。",
    "logged": "已写入公开日志,等待上链存证。",
    "confirmed": "已上链存证,可以下载回执;正在记入链上账户。",
    "posted": "已记入链上账户。可以下载回执,任何人都能核验。",
    "refused": "本次行为未计积分。",
    "refused_by_chain": "链上暂未接受,工作人员已收到告警,积分不会丢失。",
    "reversed": "这笔积分已冲正,如有疑问请联系主管部门。",
}

ACTS = {
    "award": "发放",
    "redeem": "兑换",
    "refund": "兑换退回",
    "expire": "到期注销",
    "reverse": "冲正",
    "erase": "注销账户",
}
"""What a movement is called."""

NO_POINTS = "减排量已核算,按规则本次不计积分。"

REASONS = {
    "missing-field": "上报内容缺少核算所需的数据,请向合作平台核实。",
    "rule-error": "规则计算出错,工作人员会复核。",
    "no-method-in-force": "这一天没有适用的核算方法。",
    "no-rule-in-force": "这一天没有进行中的激励活动。",
    "consent-withdrawn": "您已撤回对该合作平台的授权;如需继续累计,请重新授权。",
    "evidence-erased": "上报内容已按要求删除,无法核算。",
    "budget-period-closed": "该期间的预算已结清,逾期上报不再计分。",
    "budget-exhausted": "本期激励预算已用完。",
    "scenario-not-covered": "这类行为不在本激励活动的范围内。",
    "evidence-level-not-covered": "上报的证据等级不够,本激励活动不计分。",
    "claim-too-late": "上报超过了本激励活动的申领期限。",
    "not-eligible": "您还不符合参加条件(如实名、年龄、区域或车型);补齐后新的行为可以计分。",
    "blacklisted": "因违反本激励活动的约定,这段时间内暂不计分;如有异议可以申诉。",
    "double-claim": "同一时段或同一行程另有更可靠的上报,不重复计分。",
    "corrected": "合作平台已更正这条上报,以更正后的为准。",
    "retracted": "合作平台已撤回这条上报。",
    "bad-month": "上报的月份或天数有误,请向合作平台核实。",
    "partial-month": "当月用电数据不完整,满一个自然月才能核算。",
    "estimated-reading": "当月电表为估抄读数,实抄后由合作平台更正即可核算。",
    "base-month-missing": "没有去年同月的用电数据可比;本月数据已留存,明年同月即可核算。",
    "base-month-estimated": "去年同月为估抄读数,不能作为比较基准。",
    "meter-changed": "去年同月之后更换过电表,暂无可比数据;本月数据已留存。",
}
"""Refusals that any activity can meet; those of one scenario stand with the scenario."""

PROVISIONAL = "按暂行方法核算(provisional):方法未经主管部门批准,积分仅供参考。"

CAP_REACHED = "cap-reached"
"""The reason of an award that a cap cut; the cap's own name is for the sentence."""


def reason_in_words(
    reason: str | None, cut_by: str | None, scenario: str | None = None
) -> str | None:
    """A sentence for a refusal's name in a scenario, or for the cap that cut the points."""
    if reason is None:
        return None if cut_by is None else f"已达“{cut_by}”,超出部分不计分。"
    spec = scenarios().get(scenario or "")
    sentence = REASONS.get(reason) if spec is None else spec.refusals.get(reason)
    unknown = f"数据未通过合理性检查({reason}),请向合作平台核实。"
    return sentence or REASONS.get(reason, unknown)


def method_note(statuses: AbstractSet[str]) -> str | None:
    """What a citizen is told about the standing of the methods behind an activity's awards."""
    return PROVISIONAL if "provisional" in statuses else None


def next_step(state: str, points: int | None) -> str:
    """What happens next, or what the citizen can do."""
    if state == "awarded" and points == 0:
        return NO_POINTS
    return NEXT_STEPS[state]
