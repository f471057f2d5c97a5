"""Doors to a source's past: read on request, and what of it could still be sent, planned and then made owed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request
from pydantic import BaseModel

from app.access.keys import KeyRole
from app.api.connecting import UNKNOWN, Name, not_found
from app.api.examples_of_sources import BACKFILL, BACKFILL_BODIES, PAST, PAST_BODIES
from app.api.gate import actor_of, needs, no_query
from app.api.house import house_of
from app.api.models import BackfillBody, PastBody
from app.api.problems import OF_A_BODY, Problem, ProblemKind, responses, sentence
from app.bootstrap.backfilling import BackfillRefused, BackfillState
from app.bootstrap.failures import NameUnknown
from app.bootstrap.past_sending import PastSending, sentence_of

doors = APIRouter(prefix="/v1/sources", tags=["sources"])

MAY_CHANGE = Depends(needs(KeyRole.OPERATOR))
BARE = Depends(no_query)


class BackfillKindView(BaseModel):
    """How far one kind of record is read."""

    object: str
    share: float
    seen: int
    records: int
    conversions: int
    error: str | None


class BackfillView(BaseModel):
    """How a source's newest backfill stands. `share`: how much of its time was read, 0 to 1."""

    since: datetime
    share: float
    is_done: bool
    kinds: Sequence[BackfillKindView]

    @classmethod
    def of(cls, state: BackfillState, now: datetime) -> "BackfillView":
        """As it is shown."""
        kinds = [
            BackfillKindView(
                object=one.kind.value,
                share=round(one.share(now), 4),
                seen=one.seen,
                records=one.records,
                conversions=one.conversions,
                error=one.error,
            )
            for one in state.kinds
        ]
        return cls(since=state.since, share=round(state.share, 4), is_done=state.is_done, kinds=kinds)


class OutcomeView(BaseModel):
    """What becomes of some of the past at a destination."""

    outcome: str
    deliveries: int
    sentence: str


class PastView(BaseModel):
    """What of the past would go, by destination; `owed`: how many deliveries were made owed (none by a dry run)."""

    since: datetime
    dry_run: bool
    owed: int
    destinations: Mapping[str, Sequence[OutcomeView]]


@doors.get(
    "/{name}/backfill",
    dependencies=[BARE],
    summary="How the newest backfill stands",
    responses={200: {"content": {"application/json": {"example": BACKFILL}}}, **UNKNOWN},
)
async def backfill_state_door(request: Request, name: Name) -> BackfillView:
    """How much of the past was read, kind by kind."""
    services = house_of(request.app.state).open()
    try:
        row = await services.connecting().source(name)
    except NameUnknown as unknown:
        raise not_found(unknown) from unknown
    state = await services.backfills.state(row.id)
    if state is None:
        raise Problem(ProblemKind.NOT_FOUND, f"{name!r} was not backfilled yet.")
    return BackfillView.of(state, services.clock())


@doors.post(
    "/{name}/backfill",
    status_code=202,
    dependencies=[MAY_CHANGE, BARE],
    summary="Read the past",
    responses={
        202: {"content": {"application/json": {"example": BACKFILL}}},
        **responses(ProblemKind.FORBIDDEN, ProblemKind.NOT_FOUND, ProblemKind.CONFLICT, *OF_A_BODY),
    },
)
async def backfill_door(
    request: Request, name: Name, body: Annotated[BackfillBody, Body(openapi_examples=BACKFILL_BODIES)]
) -> BackfillView:
    """Let the server read what was modified since then, turn by turn beside its polls; asking again goes on with it. Nothing
    from before the mapping's start is sent by it.
    """  # noqa: D205 one paragraph for the contract's page
    services = house_of(request.app.state).open()
    try:
        await services.connecting().source(name)
        _, context = await services.backfills.source(name)
        state = await services.backfills.ask(context, body.since, restarts=body.restart)
    except NameUnknown as unknown:
        raise not_found(unknown) from unknown
    except BackfillRefused as refused:
        raise Problem(ProblemKind.CONFLICT, sentence(refused)) from refused
    return BackfillView.of(state, services.clock())


@doors.post(
    "/{name}/past",
    dependencies=[MAY_CHANGE, BARE],
    summary="Send the past",
    responses={
        200: {"content": {"application/json": {"example": PAST}}},
        **responses(ProblemKind.FORBIDDEN, ProblemKind.NOT_FOUND, ProblemKind.CONFLICT, *OF_A_BODY),
    },
)
async def past_door(request: Request, name: Name, body: Annotated[PastBody, Body(openapi_examples=PAST_BODIES)]) -> PastView:
    """Tell what of the conversions from before the start could still go, and, without `dry_run`, make it owed. What platforms
    accept cannot be taken back by Leadloop.
    """  # noqa: D205 one paragraph for the contract's page
    services = house_of(request.app.state).open()
    try:
        await services.connecting().source(name)
        _, context = await services.backfills.source(name)
        past = PastSending(services, context, body.since, actor_of(request))
        plan = await past.plan()
        owed = 0 if body.dry_run else (await past.send())[0]
    except NameUnknown as unknown:
        raise not_found(unknown) from unknown
    except BackfillRefused as refused:
        raise Problem(ProblemKind.CONFLICT, sentence(refused)) from refused
    return PastView(
        since=body.since,
        dry_run=body.dry_run,
        owed=owed,
        destinations={
            destination: [
                OutcomeView(outcome=outcome, deliveries=count, sentence=sentence_of(outcome))
                for outcome, count in sorted(counts.items())
            ]
            for destination, counts in plan.by_destination.items()
        },
    )
