"""Milestones of a first mapping: which entries make them, by what the CRM says of its stages and statuses (pure)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.mapping.suggest_words import CONTACT, DEAL, LEAD, is_disqualified, is_opportunity, is_qualified, words
from connectors.contract.records import ObjectKind
from connectors.contract.source import Option, PipelineSchema, PropertyType, SourceSchema, StageSchema

PIPEDRIVE, SALESFORCE = "pipedrive", "salesforce"
# From this chance on an open stage counts as an opportunity.
LEAST_PROBABILITY = 0.25
_STATUSES = ("lifecyclestage", "lifecycle stage", "status", "lead status", "lead stage")
_AMOUNTS = ("amount", "value", "deal value")

# Whether a value and its label say what is looked for.
_Fits = Callable[..., bool]


@dataclass(frozen=True, slots=True)
class Enters:
    """A trigger on the values of a property, with what the CRM calls each value. Without a property: the creation."""

    kind: ObjectKind
    property: str | None = None
    pipeline: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    def document(self) -> dict[str, object]:
        """As the mapping document says it."""
        if self.property is None:
            return {"object": str(self.kind), "created": True}
        pipeline = {} if self.pipeline is None else {"pipeline": self.pipeline}
        return {"object": str(self.kind), "property": self.property, **pipeline, "enters": list(self.values)}


@dataclass(frozen=True, slots=True)
class Step:
    """A milestone with the triggers that make it, and why its value is as it is."""

    name: str
    when: tuple[Enters, ...]
    value: Mapping[str, str] | None = None
    value_why: str = ""


def steps_of(kind: str, schema: SourceSchema) -> tuple[Step, ...]:
    """The milestones that this account can tell of, by rank; those without a trigger are left out."""
    pipelines = [one for one in schema.pipelines if one.kind is DEAL and not one.is_archived]
    # Pipedrive spreads chances evenly over whatever stages there are: they say nothing of what a stage is.
    opportunities = tuple(_opportunities(pipelines, by_chance=kind != PIPEDRIVE))
    qualified = tuple(_statuses(schema, is_qualified, _is_won, "a qualified lead by its name"))
    amount = amount_of(schema)
    steps = (
        Step("lead", _leads(kind, schema)),
        Step("qualified_lead", qualified or tuple(_early(pipelines, opportunities))),
        Step("opportunity", opportunities, *_weighted(amount, pipelines)),
        Step("closed_revenue", tuple(_won(schema, pipelines)), *_whole(amount)),
        Step("disqualified", tuple(_statuses(schema, is_disqualified, _is_lost, "nothing will come of it"))),
    )
    return tuple(step for step in steps if step.when)


def amount_of(schema: SourceSchema) -> str | None:
    """The property that holds what a deal is worth."""
    money = [one for one in schema.properties.get(DEAL, {}).values() if one.type in (PropertyType.MONEY, PropertyType.NUMBER)]
    named = [one for word in _AMOUNTS for one in money if words(one.name) == word]
    only = [one for one in money if one.type is PropertyType.MONEY]
    return named[0].name if named else only[0].name if len(only) == 1 else None


def _leads(kind: str, schema: SourceSchema) -> tuple[Enters, ...]:
    """Where people come in: Salesforce's Leads, Pipedrive's persons and leads, else contacts."""
    kinds = {SALESFORCE: (LEAD,), PIPEDRIVE: (CONTACT, LEAD)}.get(kind, (CONTACT,))
    there = [one for one in kinds if one in schema.properties] or [one for one in (CONTACT, LEAD) if one in schema.properties]
    return tuple(Enters(one, why=f"every new {one}") for one in there)


# Statuses of people ---------------------------------------------------------------------------------------------------


def _is_won(stage: StageSchema) -> bool:
    return stage.is_won


def _is_lost(stage: StageSchema) -> bool:
    return stage.is_lost


def _statuses(schema: SourceSchema, fits: _Fits, ends: Callable[[StageSchema], bool], why: str) -> Iterator[Enters]:
    """Statuses of people: HubSpot's lifecycle stage and lead status, Salesforce's Lead status, a field of that name.

    The stages of HubSpot's Leads stand in only where no status of a contact fits: one person would reach both.
    """
    found = False
    for kind in (CONTACT, LEAD):
        for one in schema.properties.get(kind, {}).values():
            if not {words(one.name), words(one.label)} & set(_STATUSES) or _is_of_a_pipeline(schema, kind, one.name):
                continue
            values = _fitting(one.options, fits)
            if values:
                found = True
                yield Enters(kind, one.name, values=values, why=why)
    if found:
        return
    for pipeline in schema.pipelines:
        if pipeline.kind in (CONTACT, LEAD) and not pipeline.is_archived:
            stages = [one for one in pipeline.stages if not one.is_archived and (ends(one) or fits(one.id, one.label))]
            values = {one.id: one.label for one in stages}
            if values:
                yield Enters(pipeline.kind, pipeline.stage_property, pipeline.id, values, why)


def _is_of_a_pipeline(schema: SourceSchema, kind: ObjectKind, name: str) -> bool:
    return any((one.kind, one.stage_property) == (kind, name) for one in schema.pipelines)


def _fitting(options: Iterable[Option], fits: _Fits) -> Mapping[str, str]:
    return {one.value: one.label for one in options if one.value and fits(one.value, one.label)}


# Stages of deals ------------------------------------------------------------------------------------------------------


def _open(pipeline: PipelineSchema) -> Sequence[StageSchema]:
    return [one for one in pipeline.stages if not (one.is_won or one.is_lost or one.is_archived)]


def has_chances(pipeline: PipelineSchema) -> bool:
    """Whether its open stages say chances: Pipedrive's default is 100 % in each, which says nothing."""
    stages = _open(pipeline)
    return all(one.probability is not None for one in stages) and {one.probability for one in stages} != {1.0}


def _opportunities(pipelines: Sequence[PipelineSchema], *, by_chance: bool) -> Iterator[Enters]:
    for pipeline in pipelines:
        stages, why = _late(pipeline, by_chance=by_chance)
        if stages:
            yield _entering(pipeline, stages, f"{pipeline.label}: {why}")


def _late(pipeline: PipelineSchema, *, by_chance: bool) -> tuple[Sequence[StageSchema], str]:
    stages = _open(pipeline)
    if by_chance and has_chances(pipeline):
        likely = [one for one in stages if (one.probability or 0) >= LEAST_PROBABILITY]
        if likely:
            return likely, f"open, from a chance of {LEAST_PROBABILITY:.0%} on"
    start = next((place for place, one in enumerate(stages) if is_opportunity(one.label)), len(stages))
    half = len(stages) // 2
    return stages[min(start, half) :], "an offer by its name" if start < half else "the second half of the open stages"


def _early(pipelines: Sequence[PipelineSchema], opportunities: Sequence[Enters]) -> Iterator[Enters]:
    """Stages that are called qualified and come before the opportunity, where no status of a person says so."""
    later = {(one.pipeline, value) for one in opportunities for value in one.values}
    for pipeline in pipelines:
        stages = [one for one in _open(pipeline) if is_qualified(one.label) and (pipeline.id, one.id) not in later]
        if stages:
            yield _entering(pipeline, stages, f"{pipeline.label}: qualified by its name")


def _won(schema: SourceSchema, pipelines: Sequence[PipelineSchema]) -> Iterator[Enters]:
    status = schema.properties.get(DEAL, {}).get("status")
    won = {} if status is None else {one.value: one.label for one in status.options if one.value.casefold() == "won"}
    if status is not None and won:
        yield Enters(DEAL, "status", values=won, why="won is a status here, no stage")
        return
    for pipeline in pipelines:
        stages = [one for one in pipeline.stages if one.is_won and not one.is_archived]
        if stages:
            yield _entering(pipeline, stages, f"{pipeline.label}: won, as the CRM says")


def _entering(pipeline: PipelineSchema, stages: Sequence[StageSchema], why: str) -> Enters:
    return Enters(pipeline.kind, pipeline.stage_property, pipeline.id, {one.id: _labelled(one) for one in stages}, why)


def _labelled(stage: StageSchema) -> str:
    """What its id does not say: label and chance."""
    label = [] if stage.label == stage.id else [stage.label]
    chance = [] if stage.probability is None else [f"{stage.probability:.0%}"]
    return ", ".join((*label, *chance))


# Values ---------------------------------------------------------------------------------------------------------------


def _weighted(amount: str | None, pipelines: Sequence[PipelineSchema]) -> tuple[Mapping[str, str] | None, str]:
    if amount is None or not all(map(has_chances, pipelines)):
        return None, "without a value: the stages say no chances; `model: fixed` gives one"
    value = {"model": "weighted", "field": f"{DEAL}.{amount}", "probability": "stage", "if_missing": "send_without"}
    return value, "the amount times the stage's chance; without a value where the deal has no amount"


def _whole(amount: str | None) -> tuple[Mapping[str, str] | None, str]:
    if amount is None:
        return None, "without a value: no property of a deal is its amount"
    return {"model": "field", "field": f"{DEAL}.{amount}"}, "the amount when it was won; waits while there is none"
