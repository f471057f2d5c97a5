"""The door to learnt values: what a source's own history teaches of its milestones, as of the newest fit."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from app.api.examples_of_values import LEARNT
from app.api.gate import no_query
from app.api.house import house_of
from app.api.mappings import UNKNOWN, Source, unknown_version
from app.bootstrap.mapping_versions import VersionUnknown
from app.bootstrap.value_fits import LearntValue, LearntValues
from app.mapping.fits import Figures

doors = APIRouter(prefix="/v1/mappings", tags=["mappings"])


class FitView(BaseModel):
    """Which fit, and when it was made by which version of the mapping."""

    version: int
    fitted_at: datetime
    mapping_version: int


class FiguresView(BaseModel):
    """What is known of leads that reached a milestone. A segment's figures are drawn to those of all."""

    leads: int
    won: int
    lost: int
    chance: str = Field(description="That such a lead comes to be won: a decimal text between 0 and 1")
    average_micros: int | None = Field(description="Won revenue per lead, in millionths of the currency")
    won_micros: int | None = Field(description="Won revenue per lead that was won")


class SegmentView(FiguresView):
    """The figures of one segment."""

    of: Mapping[str, str] = Field(description="The segment's parts by name, empty where a lead has none")


class LearntValueView(BaseModel):
    """A milestone's model and its figures."""

    milestone: str
    model: str
    by: Sequence[str]
    currency: str | None
    why_fallback: str | None = Field(description="Why its fallback values new conversions, null where it does not")
    unconverted: int = Field(description="Sales that no currency rate converts")
    unvalued: int = Field(description="Sales without an amount")
    whole: FiguresView | None
    segments: Sequence[SegmentView]

    @classmethod
    def of(cls, value: LearntValue) -> "LearntValueView":
        """As it is shown, the largest segments first."""
        found = value.fit
        return cls(
            milestone=value.milestone,
            model=value.model.model,
            by=value.model.by,
            currency=None if found is None else found.currency,
            why_fallback=value.why_not,
            unconverted=0 if found is None else found.unconverted,
            unvalued=0 if found is None else found.unvalued,
            whole=None if found is None else FiguresView.model_validate(_told(found.whole)),
            segments=[
                SegmentView.model_validate({**_told(one), "of": dict(zip(value.model.by, segment, strict=True))})
                for segment, one in (() if found is None else found.largest)
            ],
        )


class LearntValuesView(BaseModel):
    """What a source's history teaches of the milestones whose value is learnt; `fit` is null before there is one."""

    source: str
    fit: FitView | None
    milestones: Sequence[LearntValueView]

    @classmethod
    def of(cls, learnt: LearntValues) -> "LearntValuesView":
        """As it is shown."""
        fit = learnt.fit
        told = None if fit is None else FitView(**{name: getattr(fit, name) for name in FitView.model_fields})
        return cls(source=learnt.source, fit=told, milestones=[LearntValueView.of(one) for one in learnt.values])


@doors.get(
    "/{source}/values",
    dependencies=[Depends(no_query)],
    summary="Learnt values",
    responses={200: {"content": {"application/json": {"example": LEARNT}}}, **UNKNOWN},
)
async def values_door(request: Request, source: Source) -> LearntValuesView:
    """The newest figures behind the models `average` and `predicted`, by milestone and segment. They are learnt every night, and
    within a minute where a mapping has none; a conversion keeps the figures by which it was valued first.
    """  # noqa: D205 one paragraph for the contract's page
    try:
        (found,) = await house_of(request.app.state).open().value_fits().shown(source)
    except VersionUnknown as unknown:
        raise unknown_version(unknown) from unknown
    return LearntValuesView.of(found)


def _told(one: Figures) -> dict[str, object]:
    return {name: getattr(one, name) for name in FiguresView.model_fields if name != "chance"} | {"chance": str(one.chance)}
