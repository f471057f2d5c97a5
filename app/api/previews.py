"""Doors that show what a version of a mapping would do, and apply it again to what is stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request
from pydantic import BaseModel, Field

from app.access.keys import KeyRole
from app.api.examples_of_previews import PREVIEW, PREVIEW_BODIES, REAPPLY, REAPPLY_BODIES
from app.api.gate import actor_of, needs, no_query
from app.api.house import house_of
from app.api.mappings import Number, Source, unknown_version
from app.api.models import PreviewBody, ReapplyBody
from app.api.problems import OF_A_BODY, Problem, ProblemKind, responses, sentence
from app.bootstrap.mapping_versions import VersionChanged, VersionUnknown
from app.bootstrap.preview_model import DestinationPreview, Fate, MilestonePreview, Origin, Preview, Sample
from app.bootstrap.previewing import PreviewOrder, PreviewRefused
from app.bootstrap.reapplying import ReapplyRefused
from app.ingest.pull_lease import SourceBusy
from app.ingest.reapply_repository import ReapplyRow
from connectors.contract.conversions import Money
from connectors.contract.errors import ConnectorError

doors = APIRouter(prefix="/v1/mappings", tags=["mappings"])

MAY_CHANGE = Depends(needs(KeyRole.OPERATOR))
BUSY_SECONDS = "30"


class MoneyView(BaseModel):
    """An amount in millionths of its currency."""

    amount_micros: int
    currency: str

    @classmethod
    def of(cls, money: Money) -> "MoneyView":
        """As it is shown."""
        return cls(amount_micros=money.amount_micros, currency=money.currency)


class MilestoneView(BaseModel):
    """One milestone: how many of its conversions count before and after, what changes, and their worth by currency."""

    name: str
    is_mapped: bool = Field(description="False: this version does not name it; what was counted of it stays counted")
    before: int
    after: int
    new: int
    revalued: int
    ended: int
    worth_before: Sequence[MoneyView]
    worth_after: Sequence[MoneyView]

    @classmethod
    def of(cls, name: str, one: MilestonePreview) -> "MilestoneView":
        """As it is shown."""
        before, after = one.worth()
        return cls(
            name=name,
            is_mapped=one.is_mapped,
            before=one.before,
            after=one.after,
            new=one.new,
            revalued=one.revalued,
            ended=one.ended,
            worth_before=[MoneyView.of(money) for money in before],
            worth_after=[MoneyView.of(money) for money in after],
        )


class PreviewedDestination(BaseModel):
    """One destination: what of it would go now, what would wait and why, what would not go and why."""

    name: str
    sendable: int = Field(description="Uploads that would go now")
    waits: Mapping[str, int] = Field(description="Uploads that would wait, by reason")
    stopped: Mapping[str, int] = Field(description="Uploads that would not go, by reason")
    restates: int = Field(description="Changed values that it would be told, where it can be")
    retracts: int = Field(description="Conversions that would be taken back there, where it can be")
    people: int = Field(description="People who were looked at")
    identifiers: Mapping[str, int] = Field(description="Of what it takes, how many of these people have each")

    @classmethod
    def of(cls, name: str, one: DestinationPreview) -> "PreviewedDestination":
        """As it is shown."""
        return cls(
            name=name,
            sendable=one.sendable,
            waits=dict(one.waits),
            stopped=dict(one.stopped),
            restates=one.restates,
            retracts=one.retracts,
            people=one.people,
            identifiers=dict(one.identifiers),
        )


class SampleView(BaseModel):
    """One conversion as an example."""

    ref: str
    milestone: str
    occurred_at: datetime
    fate: Fate
    is_implied: bool
    why: str = Field(description="Which rule made it")
    value: MoneyView | None
    value_why: str
    excluded: str = Field(description="The condition that excludes it, empty where none does")
    destinations: Mapping[str, str] = Field(description="What becomes of its upload: `sendable`, `waits: ...` or the reason")

    @classmethod
    def of(cls, one: Sample) -> "SampleView":
        """As it is shown."""
        return cls(
            ref=f"{one.ref.kind.value}:{one.ref.external_id}",
            milestone=one.milestone,
            occurred_at=one.occurred_at,
            fate=one.fate,
            is_implied=one.is_implied,
            why=one.why,
            value=None if one.value is None else MoneyView.of(one.value),
            value_why=one.value_why,
            excluded=one.excluded,
            destinations=dict(one.destinations),
        )


class PreviewView(BaseModel):
    """What a version would do to the records that were looked at."""

    version: int
    against: int | None = Field(description="The version that is active")
    origin: Origin
    records: int = Field(description="How many records were looked at")
    is_whole: bool = Field(description="There are no others")
    active_since: datetime = Field(description="What happened before is counted and not sent")
    restates: bool
    reads_more: Sequence[str] = Field(
        description="Kinds of which it reads what is not stored: this tells too little, look at the CRM's (`origin`: `crm`)"
    )
    milestones: Sequence[MilestoneView]
    destinations: Sequence[PreviewedDestination]
    samples: Sequence[SampleView]

    @classmethod
    def of(cls, one: Preview) -> "PreviewView":
        """As it is shown."""
        return cls(
            version=one.version,
            against=one.against,
            origin=one.origin,
            records=one.records,
            is_whole=one.is_whole,
            active_since=one.active_since,
            restates=one.restates,
            reads_more=one.reads_more,
            milestones=[MilestoneView.of(name, found) for name, found in one.milestones.items()],
            destinations=[PreviewedDestination.of(name, found) for name, found in one.destinations.items()],
            samples=[SampleView.of(sample) for sample in one.samples],
        )


class ReapplyView(BaseModel):
    """How a reapply stands."""

    version: int
    restates: bool
    requested_by: str
    requested_at: datetime
    done_at: datetime | None
    given_up: str | None = Field(description="Why it ended before its end")
    seen: int = Field(description="Records that were looked at again")
    conversions: int = Field(description="New conversions")
    revalued: int
    ended: int
    deliveries: int = Field(description="Deliveries that were added; none of what was sent is sent again")

    @classmethod
    def of(cls, row: ReapplyRow) -> "ReapplyView":
        """As it is shown."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


@doors.post(
    "/{source}/versions/{version}/preview",
    dependencies=[MAY_CHANGE, Depends(no_query)],
    summary="What a version would do",
    responses={
        200: {"content": {"application/json": {"example": PREVIEW}}},
        **responses(
            ProblemKind.FORBIDDEN,
            ProblemKind.NOT_FOUND,
            ProblemKind.CONFLICT,
            ProblemKind.UPSTREAM,
            ProblemKind.NOT_READY,
            *OF_A_BODY,
        ),
    },
)
async def preview_door(
    request: Request, source: Source, version: Number, body: Annotated[PreviewBody, Body(openapi_examples=PREVIEW_BODIES)]
) -> PreviewView:
    """Record real records by this version in a transaction that is undone: which conversions it would make or change, what
    would go where and why not, with examples. Nothing is stored, owed or sent. Without `origin` it looks at what is stored, or,
    where nothing is, at what the CRM changed in the last `days`.
    """  # noqa: D205 one paragraph for the contract's page
    order = PreviewOrder(records=body.records, origin=body.origin, days=body.days, restates=body.restates)
    try:
        return PreviewView.of(await house_of(request.app.state).open().previews().preview(source, version, order))
    except VersionUnknown as unknown:
        raise unknown_version(unknown) from unknown
    except PreviewRefused as refused:
        raise Problem(ProblemKind.CONFLICT, sentence(refused)) from refused
    except SourceBusy as busy:
        said = f"{source} is being read all the time; ask again."
        raise Problem(ProblemKind.NOT_READY, said, headers={"Retry-After": BUSY_SECONDS}) from busy
    except ConnectorError as error:
        raise Problem(ProblemKind.UPSTREAM, f"{source} could not be read: {error.message}") from error


@doors.post(
    "/{source}/versions/{version}/reapply",
    status_code=202,
    dependencies=[MAY_CHANGE, Depends(no_query)],
    summary="Apply the active version again to what is stored",
    responses={
        202: {"content": {"application/json": {"example": REAPPLY}}},
        **responses(ProblemKind.FORBIDDEN, ProblemKind.NOT_FOUND, ProblemKind.CONFLICT, *OF_A_BODY),
    },
)
async def reapply_door(
    request: Request, source: Source, version: Number, body: Annotated[ReapplyBody, Body(openapi_examples=REAPPLY_BODIES)]
) -> ReapplyView:
    """Let the active version judge everything that is stored once more, turn by turn; asking again tells how it stands. What was
    sent is not sent again. `restates`: values that the version makes otherwise are told to platforms that take corrections;
    a preview with `restates` shows how many.
    """  # noqa: D205 one paragraph for the contract's page
    reapplies = house_of(request.app.state).open().reapplies()
    try:
        asked = await reapplies.ask(source, version, restates=body.restates, actor=actor_of(request))
    except VersionUnknown as unknown:
        raise unknown_version(unknown) from unknown
    except (VersionChanged, ReapplyRefused) as refused:
        raise Problem(ProblemKind.CONFLICT, sentence(refused)) from refused
    return ReapplyView.of(asked)


@doors.get(
    "/{source}/reapply",
    dependencies=[Depends(no_query)],
    summary="How the newest reapply stands",
    responses={
        200: {"content": {"application/json": {"example": REAPPLY}}},
        **responses(ProblemKind.NOT_FOUND, ProblemKind.INVALID),
    },
)
async def reapply_state_door(request: Request, source: Source) -> ReapplyView:
    """How far it has come and what it did."""
    try:
        found = await house_of(request.app.state).open().reapplies().state(source)
    except VersionUnknown as unknown:
        raise unknown_version(unknown) from unknown
    if found is None:
        raise Problem(ProblemKind.NOT_FOUND, f"No version of the mapping of {source!r} was reapplied yet.")
    return ReapplyView.of(found)
