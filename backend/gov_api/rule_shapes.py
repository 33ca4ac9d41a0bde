"""What goes in and out of the routes about rules and methods."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from backend.gov_api.accounts import Password, Signature, Totp
from backend.gov_api.writing import In, example

VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Words = Annotated[str, Field(min_length=1, max_length=2_000)]


class VersionIn(In):
    """Which version of the document in the path."""

    model_config = example({"version": 2})

    version: VersionNumber


class ReturnIn(VersionIn):
    """Why a submitted version goes back to its drafter."""

    model_config = example({"version": 2, "reason": "每日上限与预算不符,请复核。"})

    reason: Words


class NoticeIn(VersionIn):
    """For how many days it lies open; without it, for those that its programme's terms ask."""

    model_config = example({"version": 2, "days": 7})

    days: Annotated[int, Field(ge=0, le=365)] | None = None


class SignIn(In):
    """One's own key: unlocked by password and a fresh TOTP code, or a signature made elsewhere."""

    model_config = example({"password": "correct horse staple", "totp": "492039"})

    password: Password | None = None
    totp: Totp | None = None
    signature: Signature | None = None


class ApproveIn(SignIn):
    """The version and the digest that was read: another digest is refused."""

    model_config = example(
        {"version": 2, "digest": "ab" * 32, "password": "correct horse staple", "totp": "492039"}
    )

    version: VersionNumber
    digest: Digest


class StopIn(VersionIn):
    """Why it is stopped, and from which day; without a day, from the earliest possible."""

    model_config = example({"version": 2, "reason": "里程数据异常,暂停发放。"})

    reason: Words
    day_to: date | None = None


class AnswerIn(In):
    """The public answer to an objection; `upheld` sends the document back for good."""

    model_config = example({"answer": "上限依据见附件二。", "upheld": False})

    answer: Words
    upheld: bool


class Step(BaseModel):
    """One step of the way: drafted, submitted or returned (with the reason)."""

    step: str
    actor: str
    at: datetime
    digest: str
    reason: str | None


class Approval(BaseModel):
    """An approval that counts."""

    user: str
    address: str
    approved_at: datetime


class Notice(BaseModel):
    """The public notice, with how many objections have no answer and how many were upheld."""

    notice_id: UUID
    opens_at: datetime
    closes_at: datetime
    open_objections: int
    upheld_objections: int


class Stop(BaseModel):
    """An order to stop; two approvers sign `typed_data`."""

    stop_id: UUID
    day_to: date
    reason: str
    asked_by: str
    asked_at: datetime
    approvers: list[str] = []
    stopped: bool = False
    typed_data: dict[str, Any] | None = None


class DocumentListed(BaseModel):
    """A version and where it stands."""

    id: str
    version: int
    state: Literal[
        "draft",
        "simulated",
        "submitted",
        "approved",
        "notice",
        "enacting",
        "enacted",
        "superseded",
        "stopped",
    ]
    digest: str
    day_from: date
    day_to: date | None
    drafters: list[str]
    approvals: list[Approval]
    notice: Notice | None
    refused: str | None = Field(description="Why the chain refused the last enactment")


class Finding(BaseModel):
    """What is wrong with a decision table, with an input that shows it."""

    name: str
    rows: list[str]
    text: str


class DocumentWhole(DocumentListed):
    """The version with its document, its plain-language card and what led here."""

    document: dict[str, Any]
    card: str
    steps: list[Step]
    stops: list[Stop]
    findings: list[Finding]
    signing: dict[str, Any] | None = Field(description="EIP-712 typed data that approvers sign")


class DocumentPage(BaseModel):
    """Versions in order of id and version."""

    items: list[DocumentListed]
    next_cursor: str | None


class Objection(BaseModel):
    """An objection with its answer, once there is one."""

    objection_id: UUID
    notice_id: UUID
    text: str
    contact: str | None
    filed_at: datetime
    answer: str | None
    upheld: bool | None
    answered_by: str | None
    answered_at: datetime | None


class ObjectionPage(BaseModel):
    """The objections to one notice, in the order in which they came."""

    items: list[Objection]
    next_cursor: None = None
