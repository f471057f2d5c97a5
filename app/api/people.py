"""Doors to a person's own rights: to be forgotten, and to see what is stored. An admin's."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request
from pydantic import BaseModel, Field

from app.access.keys import KeyRole
from app.api.examples_of_people import EXPORTED, FORGOTTEN, PERSON_BODIES
from app.api.gate import actor_of, needs, no_query
from app.api.house import house_of
from app.api.models import PersonBody
from app.api.problems import OF_A_BODY, Problem, ProblemKind, invalid, responses
from app.bootstrap.names import unknown_names
from app.bootstrap.people_rights import ClueRefused, Forgotten, PeopleRights, PersonClue, SeveralPeople
from app.bootstrap.services import Services
from app.config import Mistake
from app.db.instants import optional_from_ms
from app.privacy.repository import SentRow

doors = APIRouter(prefix="/v1/people", tags=["people"], dependencies=[Depends(needs(KeyRole.ADMIN)), Depends(no_query)])
REFUSALS = responses(*OF_A_BODY, ProblemKind.FORBIDDEN, ProblemKind.AMBIGUOUS)


class SentView(BaseModel):
    """What one platform was told of the person, or may have been: there the operator has to ask for deletion."""

    destination: str
    platform: str
    milestone: str
    state: str = Field(description="`rejected`: it was sent and refused; `uncertain`, `sending`: the platform may have it")
    count: int
    first_at: datetime | None
    last_at: datetime | None

    @classmethod
    def of(cls, row: SentRow) -> "SentView":
        """As it is shown."""
        return cls(
            destination=row.destination,
            platform=row.platform,
            milestone=row.milestone,
            state=row.state,
            count=row.count,
            first_at=optional_from_ms(row.first_at),
            last_at=optional_from_ms(row.last_at),
        )


class ForgottenView(BaseModel):
    """What went, and what platforms had been told."""

    leads: int = Field(description="0 where nothing was stored of the person: they are barred all the same")
    records: int
    deliveries_stopped: int
    sent: Sequence[SentView]

    @classmethod
    def of(cls, found: Forgotten) -> "ForgottenView":
        """As it is shown."""
        erased = found.erased
        sent = [SentView.of(row) for row in erased.sent]
        return cls(leads=erased.leads, records=erased.records, deliveries_stopped=erased.deliveries, sent=sent)


class ExportView(BaseModel):
    """All that is stored of a person, one object a lead."""

    people: Sequence[Mapping[str, object]]


@doors.post(
    "/forget",
    summary="Forget a person for good",
    responses={200: {"content": {"application/json": {"example": FORGOTTEN}}}, **REFUSALS},
)
async def forget_door(request: Request, body: Annotated[PersonBody, Body(openapi_examples=PERSON_BODIES)]) -> ForgottenView:
    """Erase the person in every source and bar them by tombstones; conversions stay as numbers. It cannot be taken back.

    The answer says what platforms were told of them: what stands there, the platform has to delete.
    """
    services = house_of(request.app.state).open()
    clue = await _clue_of(services, body)
    try:
        return ForgottenView.of(await PeopleRights(services).forget(clue, actor=actor_of(request)))
    except (ClueRefused, SeveralPeople) as refused:
        raise _problem(refused, clue) from refused


@doors.post(
    "/export",
    summary="Show all that is stored of a person",
    responses={200: {"content": {"application/json": {"example": EXPORTED}}}, **REFUSALS},
)
async def export_door(request: Request, body: Annotated[PersonBody, Body(openapi_examples=PERSON_BODIES)]) -> ExportView:
    """Opened fields, hashed identifiers, history, conversions and deliveries: the answer to a request for access."""
    services = house_of(request.app.state).open()
    clue = await _clue_of(services, body)
    try:
        return ExportView(people=await PeopleRights(services).export(clue, actor=actor_of(request)))
    except (ClueRefused, SeveralPeople) as refused:
        raise _problem(refused, clue) from refused


async def _clue_of(services: Services, body: PersonBody) -> PersonClue:
    mistakes = await unknown_names(services, source=body.source, destination=None, place="body")
    if mistakes:
        raise invalid(mistakes)
    country = None if body.country is None else body.country.upper()
    return PersonClue(body.source, body.ref, body.email, body.phone, country, body.lead_form_id)


def _problem(refused: ClueRefused | SeveralPeople, clue: PersonClue) -> Problem:
    if isinstance(refused, SeveralPeople):
        return Problem(ProblemKind.AMBIGUOUS, f"{refused}.")
    return invalid([Mistake(clue.way, str(refused))], "body")
