"""What goes in and out of the parking routes of the citizens' door. Amounts are fen."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

VehicleClass = Literal["small", "large", "motorcycle"]
SpaceClass = Literal["standard", "large", "accessible", "charging"]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class LotOut(BaseModel):
    """A lot with free shared spaces; `price_fen` is what the whole time would cost."""

    lot_id: str
    name: str
    latitude_udeg: int
    longitude_udeg: int
    distance_m: int
    free: int
    price_fen: int | None


class LotPage(BaseModel):
    """Lots, nearest or cheapest first."""

    items: list[LotOut]
    next_cursor: None = None


class SpaceOut(BaseModel):
    """A space that is free for the time asked for."""

    space_id: UUID
    label: str
    space_class: SpaceClass = Field(serialization_alias="class")


class SpacePage(BaseModel):
    """Free spaces of a lot."""

    items: list[SpaceOut]
    next_cursor: None = None


class Span(BaseModel):
    """From one instant up to another."""

    starts_at: datetime
    ends_at: datetime


class Windows(BaseModel):
    """When a space is open to others, and when of that it is taken."""

    open: list[Span]
    taken: list[Span]


class VehicleIn(_In):
    """A vehicle of one's own."""

    plate: str = Field(min_length=1, max_length=32, examples=["粤B12345"])
    vehicle_class: VehicleClass = Field(default="small", alias="class")
    fuel: Literal["petrol", "electric", "hybrid"] = "petrol"


class VehicleOut(BaseModel):
    """A bound vehicle; the plate is shown in part only."""

    vehicle_id: str
    plate: str
    vehicle_class: VehicleClass = Field(serialization_alias="class")
    fuel: str


class VehiclePage(BaseModel):
    """One's vehicles."""

    items: list[VehicleOut]
    next_cursor: None = None


class ReservationIn(BaseModel):
    """Which space, for which car, when; without `confirm` it is held for five minutes."""

    model_config = ConfigDict(extra="forbid")

    space_id: UUID
    plate: str = Field(min_length=1, max_length=32, examples=["粤B12345"])
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    confirm: bool = False


class ReservationOut(BaseModel):
    """A reservation as it stands."""

    reservation_id: UUID
    lot_id: str
    label: str
    starts_at: datetime
    ends_at: datetime
    state: Literal["held", "confirmed", "used", "cancelled", "expired", "no-show"]
    held_until: datetime


class ReservationPage(BaseModel):
    """Reservations, newest first."""

    items: list[ReservationOut]
    next_cursor: str | None


class CancelledOut(BaseModel):
    """A cancelled reservation and what cancelling costs by the lot's price (0: nothing)."""

    reservation_id: UUID
    fee_fen: int


class StayOut(BaseModel):
    """A stay: `paid` open (nothing owed yet), due, paid or free; `refunded_fen` of it is back."""

    stay_id: UUID
    lot_id: str
    lot_name: str
    entered_at: datetime
    left_at: datetime | None
    charge_fen: int | None
    payment: Literal["inside", "due", "paid", "free", "being-checked"]
    refunded_fen: int
    overstay_s: int


class StayPage(BaseModel):
    """Stays, newest first."""

    items: list[StayOut]
    next_cursor: str | None


class StandingOut(BaseModel):
    """Whether one may leave first and pay later (信用停车), and every reason why not."""

    trusted: bool
    limit_fen: int
    owed_fen: int
    reasons: list[str]
    appeal: str


class PayOut(BaseModel):
    """An order: paid once the rail has told so."""

    order_id: UUID
    amount_fen: int
    state: Literal["open", "paid"]
