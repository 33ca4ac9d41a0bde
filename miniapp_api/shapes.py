"""What goes in and out of the citizens' door. Times are RFC 3339, points are whole."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Header
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
Scenario = Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]{0,63}$")]


def _printable(text: str) -> str:
    """Text without control and direction characters: what is shown is what was sent."""
    if not text.isprintable():
        raise ValueError("control characters")
    return text


ShownText = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]


def _language(
    accept_language: Annotated[
        str | None, Header(description="`zh` (default) or `en`", examples=["zh-CN,en;q=0.5"])
    ] = None,
) -> Literal["zh", "en"]:
    """The first language of the header that we speak."""
    for part in (accept_language or "").split(","):
        tag = part.split(";")[0].strip().lower()[:2]
        if tag in ("zh", "en"):
            return "zh" if tag == "zh" else "en"
    return "zh"


Spoken = Annotated[Literal["zh", "en"], Depends(_language)]
"""The language the answer's sentences are in."""


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class LoginIn(_In):
    """A provider's one-time code; in the demo `sandbox` takes `<name>-<nonce>`."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"provider": "sandbox", "code": "demo-01-7f3a"}]},
    )

    provider: Literal["wechat", "alipay", "sandbox"]
    code: Annotated[str, Field(min_length=1, max_length=256)]
    device: ShownText | None = Field(
        default=None, description="What the device is called, for the list of sign-ins"
    )


class RefreshIn(_In):
    """The refresh token of the last answer; it works once."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"refresh_token": "q8d0GmB2x4mQyJ3n8F1c5vWkR7tL9sZpXbHaUeIoYwM"}]
        },
    )

    refresh_token: Annotated[str, Field(min_length=1, max_length=256)]


class ConsentIn(_In):
    """Which partner may report which scenario."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"partner_id": "metro", "scenario": "transit.metro.trip"}]},
    )

    partner_id: Id
    scenario: Scenario
    text_version: Annotated[str, Field(max_length=32)] | None = Field(
        default=None, description="The version that was read; another one is refused"
    )


class Tokens(BaseModel):
    """A short access token and the refresh token that follows it."""

    access_token: str
    expires_at: datetime
    refresh_token: str


class Account(BaseModel):
    """The citizen's account on chain for one class, as 40 hex digits."""

    points_class: str = Field(serialization_alias="class")
    account: str


class Me(BaseModel):
    """The citizen as the platform knows them: no name, and the phone masked."""

    citizen_id: UUID
    provider: str
    created_at: datetime
    accounts: list[Account]
    phone: str | None = Field(description="Bound phone, masked")
    under_14: bool | None = Field(description="As declared; null before")


class ConsentOut(BaseModel):
    """One consent; it stands while `withdrawn_at` is null."""

    consent_id: UUID
    partner_id: str
    partner_name: str | None
    scenario: str
    given_at: datetime
    withdrawn_at: datetime | None


class ConsentGiven(BaseModel):
    """A consent with the one-time code the citizen hands to the partner."""

    consent_id: UUID
    partner_id: str
    scenario: str
    given_at: datetime
    binding_code: str
    binding_code_expires_at: datetime


class ConsentPage(BaseModel):
    """Consents, newest first."""

    items: list[ConsentOut]
    next_cursor: str | None


class Expiring(BaseModel):
    """Points that lapse at the end of a month, `YYYY-MM`."""

    month: str
    points: int


class Holding(BaseModel):
    """Points of one class. `pending` is the part of them the chain does not show yet."""

    points_class: str = Field(serialization_alias="class")
    available: int
    held: int
    debt: int
    pending: int
    expiring: list[Expiring]


class Points(BaseModel):
    """What the citizen holds, by class."""

    items: list[Holding]


class MovementOut(BaseModel):
    """One change of a balance; `points` is signed."""

    movement_id: UUID
    act: str
    points_class: str = Field(serialization_alias="class")
    points: int
    programme_id: str | None
    activity_id: UUID | None
    of_movement: UUID | None
    city_day: date
    act_text: str
    note: str | None = Field(description="Why an official did it, in their words")
    created_at: datetime


class MovementPage(BaseModel):
    """Movements, newest first."""

    items: list[MovementOut]
    next_cursor: str | None


class AwardOut(BaseModel):
    """Points of one programme; `cut_by` names the cap that cut them."""

    programme_id: str
    points_class: str = Field(serialization_alias="class")
    points: int
    cut_by: str | None
    state: str
    method_status: Literal["approved", "provisional"]


class StandsInstead(BaseModel):
    """The activity that counts in the place of another."""

    activity_id: UUID
    partner_id: str
    event_id: str


class ActivityOut(BaseModel):
    """One activity. `reason` is the name of a refusal or of the cap that cut the points."""

    activity_id: UUID
    event_id: str
    partner_id: str
    scenario: str
    city_day: date
    occurred_at: str
    state: Literal[
        "recorded",
        "refused",
        "awarded",
        "logged",
        "confirmed",
        "posted",
        "refused_by_chain",
        "reversed",
    ]
    reduction_mg: int | None
    points: int | None
    reason: str | None
    reason_text: str | None
    method_note: str | None = Field(description="Set when a method is provisional")
    next_step: str
    stands_instead: StandsInstead | None = Field(
        description="Set when it was corrected, retracted, or contradicted by a stronger report"
    )
    awards: list[AwardOut]


class ActivityPage(BaseModel):
    """Activities, last recorded first."""

    items: list[ActivityOut]
    next_cursor: str | None
