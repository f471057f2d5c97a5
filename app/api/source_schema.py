"""Doors to what a source's CRM has: all that a mapping may name, and a first mapping drafted from it."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from app.access.keys import KeyRole
from app.api.connecting import UNKNOWN, Name, not_found
from app.api.examples_of_sources import SCHEMA, SUGGESTION
from app.api.gate import needs, no_query
from app.api.house import house_of
from app.api.models import SchemaQuery
from app.api.problems import OF_NO_BODY, Problem, ProblemKind, responses
from app.bootstrap.failures import NameUnknown
from app.bootstrap.suggesting import suggested
from connectors.contract.errors import ConnectorError
from connectors.contract.source import PipelineSchema, PropertySchema

doors = APIRouter(prefix="/v1/sources", tags=["sources"])

BARE = Depends(no_query)


class OptionView(BaseModel):
    """A value that a property may have."""

    value: str
    label: str


class PropertyView(BaseModel):
    """A property that a mapping may name as `object.name`."""

    name: str
    label: str
    type: str
    options: Sequence[OptionView]

    @classmethod
    def of(cls, one: PropertySchema) -> "PropertyView":
        """As it is shown."""
        options = [OptionView(value=option.value, label=option.label) for option in one.options]
        return cls(name=one.name, label=one.label, type=one.type.value, options=options)


class StageView(BaseModel):
    """A stage that a trigger may name in `enters`."""

    id: str
    label: str
    probability: float | None
    is_won: bool
    is_lost: bool


class PipelineView(BaseModel):
    """A pipeline with its stages; its triggers name `property` and `pipeline`."""

    id: str
    label: str
    object: str
    property: str
    stages: Sequence[StageView]

    @classmethod
    def of(cls, one: PipelineSchema) -> "PipelineView":
        """As it is shown."""
        stages = [
            StageView(id=stage.id, label=stage.label, probability=stage.probability, is_won=stage.is_won, is_lost=stage.is_lost)
            for stage in one.stages
        ]
        return cls(id=one.id, label=one.label, object=one.kind.value, property=one.stage_property, stages=stages)


class SchemaView(BaseModel):
    """What the CRM said of itself last: all that a mapping may name."""

    account: str
    currency: str
    time_zone: str
    notices: Sequence[str] = Field(description="What the account lacks, and how to get it")
    objects: Mapping[str, Sequence[PropertyView]]
    pipelines: Sequence[PipelineView]


class SuggestionView(BaseModel):
    """A drafted mapping with the reason for its lines, by path. Its `consent` is an operator's to write where it is empty."""

    document: Mapping[str, object]
    reasons: Mapping[str, str]
    notices: Sequence[str]
    needs_consent: bool


@doors.get(
    "/{name}/schema",
    summary="What a mapping may name",
    responses={200: {"content": {"application/json": {"example": SCHEMA}}}, **UNKNOWN},
)
async def schema_door(request: Request, name: Name, query: Annotated[SchemaQuery, Query()]) -> SchemaView:
    """The CRM's properties, options, pipelines and stages as it said them last (each day, and at each check)."""
    try:
        schema = await house_of(request.app.state).open().connecting().schema(name)
    except NameUnknown as unknown:
        raise not_found(unknown) from unknown
    if schema is None:
        raise Problem(ProblemKind.NOT_FOUND, f"The CRM of {name!r} was not asked yet; check the source first.")
    wanted = {kind: found for kind, found in schema.properties.items() if query.object in (None, kind)}
    return SchemaView(
        account=schema.account_ref,
        currency=schema.currency,
        time_zone=schema.time_zone,
        notices=list(schema.notices),
        objects={kind.value: [PropertyView.of(one) for one in found.values()] for kind, found in wanted.items()},
        pipelines=[PipelineView.of(one) for one in schema.pipelines if query.object in (None, one.kind)],
    )


@doors.post(
    "/{name}/suggest",
    dependencies=[Depends(needs(KeyRole.OPERATOR)), BARE],
    summary="Draft a first mapping",
    responses={
        200: {"content": {"application/json": {"example": SUGGESTION}}},
        **responses(ProblemKind.FORBIDDEN, ProblemKind.NOT_FOUND, ProblemKind.UPSTREAM, *OF_NO_BODY),
    },
)
async def suggest_door(request: Request, name: Name) -> SuggestionView:
    """Ask the CRM what it has, and draft a mapping from it. Nothing is stored: edit it, store it as a version, preview it."""
    services = house_of(request.app.state).open()
    try:
        await services.connecting().source(name)
        found = await suggested(services, name)
    except NameUnknown as unknown:
        raise not_found(unknown) from unknown
    except ConnectorError as error:
        raise Problem(ProblemKind.UPSTREAM, f"{name} could not be read: {error.message}") from error
    return SuggestionView(
        document=found.document, reasons=found.reasons, notices=list(found.notices), needs_consent=found.needs_consent
    )
