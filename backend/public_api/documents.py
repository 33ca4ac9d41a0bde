"""Rules, methods, scenarios and keys in public."""

from datetime import date, datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from backend import methodology, officials, partners, proof, views
from backend.flows.rule_words import rule_card
from backend.kit.canonical import loads_strict
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.views import DocumentEntry, What

UNKNOWN_DOCUMENT: Refusal = (404, "unknown-document", "没有这个版本。")
UNKNOWN_SCENARIO: Refusal = (404, "unknown-scenario", "没有这个场景。")

Cursor = Annotated[
    str | None,
    Query(pattern=r"^[a-z][a-z0-9.-]{0,31}/[0-9]{1,9}$", description="`next_cursor` before"),
]
Limit = Annotated[int, Query(ge=1, le=200)]
Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]


class Listed(BaseModel):
    """One version: `status` draft, approved, enacted or stopped; `digest` is on chain."""

    id: str
    version: int
    status: str
    grade: str | None = Field(description="A method's own standing: approved or provisional")
    digest: str
    day_from: date
    day_to: date | None
    published_at: datetime
    enacted_at: datetime | None
    approvers: list[str]
    tx: str | None


class Whole(Listed):
    """The version with its document, whose canonical JSON has that digest, and the plain card."""

    document: dict[str, Any]
    card: str


class DocumentPage(BaseModel):
    """Versions in order of id and version."""

    items: list[Listed]
    next_cursor: str | None


class ScenarioListed(BaseModel):
    """A kind of activity partners may report."""

    type: str
    title: str


class ScenarioPage(BaseModel):
    """Every scenario."""

    items: list[ScenarioListed]
    next_cursor: None = None


class ScenarioWhole(ScenarioListed):
    """A scenario with the JSON Schema of an event's `data`."""

    data_schema: dict[str, Any]
    evidence_level: str
    example: dict[str, Any]


class Keys(BaseModel):
    """Every public key one may need; the ones that count are those of a pinned trust.json."""

    root_keys: list[dict[str, Any]]
    checkpoint_keys: list[dict[str, Any]]
    partner_keys: list[dict[str, Any]]
    approvers: list[str]


def add_documents(public: APIRouter, services: Services) -> None:
    """`/rules`, `/methodologies`, `/scenarios`, `/keys`."""
    _add_versions(public, services, "rule", "/rules")
    _add_versions(public, services, "method", "/methodologies")
    _add_scenarios(public)
    _add_keys(public, services)


def _add_versions(public: APIRouter, services: Services, what: What, path: str) -> None:
    name = "Rules" if what == "rule" else "Methods"

    @public.get(
        path,
        summary=f"{name}: every version and where it stands",
        responses=refusals(BAD_SHAPE),
        operation_id=f"list_{what}s",
    )
    async def listed(  # pyright: ignore[reportUnusedFunction]
        cursor: Cursor = None, limit: Limit = 100
    ) -> DocumentPage:
        after = ("", 0)
        if cursor is not None:
            head, _, tail = cursor.partition("/")
            after = (head, min(int(tail), 2**31 - 1))
        async with services.db.transaction(readonly=True) as tx:
            found = await views.documents_listed(tx, what, after=after, limit=limit + 1)
        more = len(found) > limit
        last = found[limit - 1] if more else None
        return DocumentPage(
            items=[Listed.model_validate(_entry(each)) for each in found[:limit]],
            next_cursor=None if last is None else f"{last.id}/{last.version}",
        )

    @public.get(
        path + "/{name}/{version}",
        summary=f"{name}: one version with its document and plain-language card",
        responses=refusals(UNKNOWN_DOCUMENT, BAD_SHAPE),
        operation_id=f"read_{what}",
    )
    async def whole(name: Name, version: Version) -> Whole:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(readonly=True) as tx:
            found = await views.document_entry(tx, what, name, version)
        if found is None:
            raise Problem(*UNKNOWN_DOCUMENT, id=name, version=version)
        card = rule_card if what == "rule" else methodology.card
        return Whole.model_validate(
            {
                **_entry(found),
                "document": loads_strict(found.document),
                "card": card(found.document),
            }
        )


def _entry(found: DocumentEntry) -> dict[str, Any]:
    return {
        "id": found.id,
        "version": found.version,
        "status": found.status,
        "grade": found.grade,
        "digest": found.digest.hex(),
        "day_from": found.day_from,
        "day_to": found.day_to,
        "published_at": found.published_at,
        "enacted_at": found.enacted_at,
        "approvers": list(found.approvers),
        "tx": None if found.tx_hash is None else f"0x{found.tx_hash.hex()}",
    }


def _add_scenarios(public: APIRouter) -> None:
    @public.get("/scenarios", summary="What partners may report")
    async def listed() -> ScenarioPage:  # pyright: ignore[reportUnusedFunction]
        return ScenarioPage(
            items=[
                ScenarioListed(type=each.type, title=each.title)
                for each in methodology.scenarios().values()
            ]
        )

    @public.get(
        "/scenarios/{scenario}",
        summary="The JSON Schema of a scenario's `data`",
        responses=refusals(UNKNOWN_SCENARIO),
    )
    async def whole(scenario: str) -> ScenarioWhole:  # pyright: ignore[reportUnusedFunction]
        found = methodology.scenarios().get(scenario)
        if found is None:
            raise Problem(*UNKNOWN_SCENARIO)
        return ScenarioWhole(
            type=found.type,
            title=found.title,
            data_schema=found.data_schema,
            evidence_level=found.evidence_level,
            example=found.example,
        )


def _add_keys(public: APIRouter, services: Services) -> None:
    @public.get("/keys", summary="Public keys of the platform, its partners and approvers")
    async def keys() -> Keys:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            trust = await proof.latest_trust(tx)
            known = await partners.key_history(tx)
            people = await officials.listed(tx)
        pinned: dict[str, Any] = {"root_keys": [], "checkpoint_keys": []}
        if trust is not None:
            pinned = cast("dict[str, Any]", loads_strict(trust.document))
        return Keys(
            root_keys=pinned["root_keys"],
            checkpoint_keys=pinned["checkpoint_keys"],
            partner_keys=[
                {
                    "partner": key.partner_id,
                    "key_id": key.key_id,
                    "scheme": key.scheme,
                    "purpose": key.purpose,
                    # A shared secret has no public side: its windows are public, it is not.
                    "public_key": None
                    if key.public_key is None
                    else proof.trust.key_text(key.public_key),
                    "valid_from": key.valid_from,
                    "valid_to": key.valid_to,
                }
                for key in known
            ],
            approvers=sorted(
                each.address
                for each in people
                if each.address is not None and each.acts and "approver" in each.roles
            ),
        )
