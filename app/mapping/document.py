"""The mapping document as YAML or JSON becomes typed values; a mistake names its place and the nearest valid word."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from app.mapping.condition_model import Condition, Scored
from app.mapping.mistakes import DocumentInvalid, Mistake, nearest
from app.mapping.value_model import TOUCH, PlainModel, ValueModel
from app.mapping.words import Amount, Duration, Instant, Part, Texts, read_amount
from connectors.contract.records import ObjectKind

SEND_WHEN = ("any", "own_click_or_lead_id")
# The milestones from which values are learnt: what was won, and who never will be.
WON, DISQUALIFIED = "closed_revenue", "disqualified"


class Trigger(Part):
    """What makes a milestone: a property entering a set of values, the creation of the record, or a condition that it meets."""

    object: ObjectKind
    property: str | None = None
    pipeline: str | None = None
    enters: tuple[str, ...] | None = None
    created: bool = False
    where: Condition | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "Trigger":
        if sum((self.created, self.property is not None, self.where is not None)) != 1:
            raise ValueError("a trigger has one of `created: true`, a property with the values it `enters`, or `where`")
        if self.where is not None and self.object is ObjectKind.COMPANY:
            raise ValueError("companies are not read by themselves: let the condition look at a contact, lead or deal")
        if self.property is None and (self.pipeline is not None or self.enters is not None):
            raise ValueError("`pipeline` and `enters` go with a property")
        if self.property is not None and not self.enters:
            raise ValueError("a trigger on a property needs `enters`, a list of values")
        return self


class Milestone(Part):
    """One milestone; its place in the list is its rank."""

    name: str = Field(pattern="^[a-z][a-z0-9_]{0,39}$")
    when: tuple[Trigger, ...] = Field(min_length=1)
    where: Condition | None = None
    value: ValueModel | None = None
    minimum_value: Amount | None = None
    once_per: Literal["person", "deal", "company"] = "person"
    repeat: Literal["first_only", "every_entry"] = "first_only"
    implied: Literal["ignore", "report", "send"] = "report"
    on_leave: Literal["keep", "retract"] = "keep"
    on_delete: Literal["keep", "retract"] = "keep"
    renamed_from: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which its conversions are filed: its own, and the one before it was renamed."""
        return (self.name,) if self.renamed_from is None else (self.name, self.renamed_from)

    @model_validator(mode="after")
    def _tellable(self) -> "Milestone":
        if self.repeat == "every_entry" and any(trigger.where is not None for trigger in self.when):
            raise ValueError("a trigger by condition alone fires once, so `every_entry` cannot be told")
        return self

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, data: Any) -> Any:
        """Deals count by deal, everything else by person; revenue is withdrawn where the CRM withdraws it."""
        if not isinstance(data, dict):
            return data
        filled = dict(data)
        triggers = filled.get("when") if isinstance(filled.get("when"), list) else []
        by_deal = any(isinstance(one, dict) and one.get("object") == "deal" for one in triggers or [])
        person_milestones = {"lead", "qualified_lead", "disqualified"}
        if "once_per" not in filled and by_deal and filled.get("name") not in person_milestones:
            filled["once_per"] = "deal"
        if filled.get("name") == "closed_revenue":
            filled.setdefault("on_leave", "retract")
            filled.setdefault("on_delete", "retract")
        return filled


class Triggers:
    """Which milestones a value is inside of, and which triggers a kind of record may meet. Milestones go by rank."""

    def __init__(self, milestones: Sequence[Milestone]) -> None:
        self._inside: dict[tuple[ObjectKind, str], dict[str, list[tuple[int, str | None]]]] = {}
        self._of: dict[tuple[int, ObjectKind], list[Trigger]] = {}
        for rank, milestone in enumerate(milestones):
            for trigger in milestone.when:
                self._of.setdefault((rank, trigger.object), []).append(trigger)
                for value in trigger.enters or ():
                    known = self._inside.setdefault((trigger.object, trigger.property or ""), {})
                    known.setdefault(value, []).append((rank, trigger.pipeline))

    def of(self, rank: int, kind: ObjectKind) -> Sequence[Trigger]:
        """The triggers of a milestone on this kind of record."""
        return self._of.get((rank, kind), ())

    def ranks(self, kind: ObjectKind, name: str, value: str, pipeline: str | None) -> list[int]:
        """The milestones that a property's value is inside of."""
        known = self._inside.get((kind, name), {}).get(value, ())
        return [rank for rank, wanted in known if wanted is None or pipeline is None or pipeline == wanted]


class ConsentRule(Part):
    """A purpose: the field that says it and the values that grant it."""

    field: str
    granted: Texts


class ConsentRules(Part):
    """Consent by purpose, or the reason why none is needed."""

    ad_user_data: ConsentRule | None = None
    ad_personalization: ConsentRule | None = None
    where_required: tuple[str, ...] | None = None
    not_required: bool = False
    because: str | None = None
    on_withdrawal: Literal["keep", "retract"] = "keep"

    @model_validator(mode="after")
    def _said(self) -> "ConsentRules":
        if self.not_required and not self.because:
            raise ValueError("`not_required: true` needs `because`, the reason in words")
        if not self.not_required and self.ad_user_data is None:
            raise ValueError("name the field that grants `ad_user_data`, or say `not_required: true` and `because`")
        if self.not_required and self.recalls:
            raise ValueError("`on_withdrawal: retract` needs the field that grants: without it nobody can withdraw")
        return self

    @property
    def recalls(self) -> bool:
        """True where who withdraws has taken back what was sent of them."""
        return self.on_withdrawal == "retract"


class IdentityRules(Part):
    """Which record fields give which identifier; the first valid value wins."""

    email: Texts = ()
    phone: Texts = ()
    first_name: Texts = ()
    last_name: Texts = ()
    postal_code: Texts = ()
    country: Texts = ()
    city: Texts = ()
    state: Texts = ()
    external_id: Texts = ()
    gclid: Texts = ()
    gbraid: Texts = ()
    wbraid: Texts = ()
    fbclid: Texts = ()
    fbc: Texts = ()
    fbp: Texts = ()
    meta_lead_id: Texts = ()
    msclkid: Texts = ()
    li_fat_id: Texts = ()
    linkedin_lead_id: Texts = ()
    ttclid: Texts = ()
    tiktok_lead_id: Texts = ()
    clicked_at: Texts = ()
    default_country: str | None = Field(default=None, pattern="^[A-Z]{2}$")


class PlatformRule(Part):
    """A field whose values name the platform."""

    field: str
    map: dict[str, str]


class Attribution(Part):
    """Where a lead came from; frozen at first touch."""

    platform: PlatformRule | None = None
    campaign_id: Texts = ()
    utm_campaign: Texts = ()


class PersonChoice(Part):
    """Which person of a deal counts."""

    prefer: tuple[str, ...] = ("has_identifier", "primary", "earliest")


class MappingDocument(Part):
    """The whole document."""

    start: Instant = None
    history: Duration = timedelta(days=90)
    identity: IdentityRules
    attribution: Attribution = Attribution()
    dimensions: dict[str, str] = Field(default_factory=dict)
    consent: ConsentRules
    exclude: tuple[Condition, ...] = ()
    person: PersonChoice = PersonChoice()
    value_mode: Literal["absolute", "incremental"] = "absolute"
    minimum_value: Amount | None = None
    milestones: tuple[Milestone, ...] = Field(min_length=1)
    destinations: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> "MappingDocument":
        names = [milestone.name for milestone in self.milestones]
        doubled = {name for name in names if names.count(name) > 1}
        if doubled:
            raise ValueError(f"milestones named twice: {', '.join(sorted(doubled))}")
        kept = [milestone.name for milestone in self.milestones if milestone.renamed_from in names]
        if kept:
            raise ValueError(f"`renamed_from` of {', '.join(kept)} names a milestone that is still there")
        return self

    @property
    def is_incremental(self) -> bool:
        """True where a conversion carries what it adds to the worth of its lead."""
        return self.value_mode == "incremental"

    @cached_property
    def value_models(self) -> "tuple[PlainModel | ValueModel, ...]":
        """The value models of all milestones, with their fallbacks."""
        return tuple(part for one in self.milestones if one.value is not None for part in one.value.parts())

    @cached_property
    def learns(self) -> "Mapping[str, ValueModel]":
        """By milestone, the models that are learnt from our own history."""
        return {one.name: one.value for one in self.milestones if one.value is not None and one.value.is_fitted}

    @cached_property
    def destination_conditions(self) -> dict[str, Condition]:
        """The condition of each destination that has one of its own."""
        return {
            name: Condition.model_validate(targets["where"])
            for name, targets in self.destinations.items()
            if targets.get("where") is not None
        }

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {milestone.name: place for place, milestone in enumerate(self.milestones)}

    def rank(self, name: str) -> int:
        """The place of a milestone, -1 where the document has none of this name."""
        return self._ranks.get(name, -1)

    @cached_property
    def triggers(self) -> "Triggers":
        """The triggers of all milestones, made quick to ask."""
        return Triggers(self.milestones)

    def named(self, name: str) -> Milestone | None:
        """The milestone of this name, or the one that was renamed from it."""
        place = self._ranks.get(name)
        if place is not None:
            return self.milestones[place]
        return next((milestone for milestone in self.milestones if milestone.renamed_from == name), None)


def parse_document(data: object) -> MappingDocument:
    """Read a document; DocumentInvalid lists every mistake with its path."""
    try:
        document = MappingDocument.model_validate(data)
    except ValidationError as error:
        raise DocumentInvalid([_mistake(dict(one)) for one in error.errors()]) from error
    mistakes = [*_targets(document), *_learnt_values(document)]
    if mistakes:
        raise DocumentInvalid(mistakes)
    return document


def _mistake(error: dict[str, Any]) -> Mistake:
    path = ""
    for part in error["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return Mistake(path, "there is no such key here", nearest(str(error["loc"][-1]), _known_keys()))
    if error["type"] == "missing":
        return Mistake(path, "is missing")
    return Mistake(path or "document", message)


def _known_keys() -> list[str]:
    models: tuple[type[Part], ...] = (
        MappingDocument, IdentityRules, Attribution, ConsentRules, Milestone, ValueModel, Trigger, Condition, Scored
    )  # fmt: skip
    return sorted({name for model in models for name in model.model_fields})


def _targets(document: MappingDocument) -> list[Mistake]:
    known = [milestone.name for milestone in document.milestones]
    extras = {"where", "send_when", "minimum_value"}
    mistakes = [
        Mistake(f"destinations.{name}.{key}", "no milestone has this name", nearest(key, known))
        for name, targets in document.destinations.items()
        for key, target in targets.items()
        if (key not in known and key not in extras) or not isinstance(target, dict | str | int | float | None)
    ]
    for name, targets in document.destinations.items():
        mistakes += _own_settings(name, targets)
        if targets.get("where") is None:
            continue
        try:
            Condition.model_validate(targets["where"])
        except ValidationError as error:
            for one in error.errors():
                found = _mistake(dict(one))
                inner = "" if found.path == "document" else f".{found.path}"
                mistakes.append(Mistake(f"destinations.{name}.where{inner}", found.message, found.nearest))
    return mistakes


def _learnt_values(document: MappingDocument) -> Iterator[Mistake]:
    """What keeps a value from being learnt: nothing to learn from, or a segment that is unknown or known only by hindsight."""
    for place, milestone in enumerate(document.milestones):
        model, path = document.learns.get(milestone.name), f"milestones[{place}].value"
        if model is None:
            continue
        if milestone.name in (WON, DISQUALIFIED):
            said = f"`{model.model}` says what may become of a lead, and at `{milestone.name}` that is known"
            yield Mistake(f"{path}.model", said, "field" if milestone.name == WON else None)
        elif document.rank(WON) < 0:
            said = f"`{model.model}` is learnt from the milestone `{WON}`, and there is none"
            yield Mistake(f"{path}.model", said, nearest(WON, [one.name for one in document.milestones]))
        by_deals = all(trigger.object is ObjectKind.DEAL for trigger in milestone.when)
        for number, name in enumerate(model.by):
            if name not in document.dimensions and name not in TOUCH:
                said = (
                    f"no dimension has this name; declare it in `dimensions`, or use {' or '.join(f'`{one}`' for one in TOUCH)}"
                )
                yield Mistake(f"{path}.by[{number}]", said, nearest(name, [*document.dimensions, *TOUCH]))
            elif not by_deals and document.dimensions.get(name, "").startswith(f"{ObjectKind.DEAL}."):
                said = f"`{name}` is a deal's, and who reaches `{milestone.name}` has none yet: only who got one would be in it"
                yield Mistake(f"{path}.by[{number}]", said)


def _own_settings(name: str, targets: dict[str, Any]) -> list[Mistake]:
    """`send_when` and `minimum_value`, which stand beside the milestones of a destination."""
    mistakes = []
    when, minimum = targets.get("send_when"), targets.get("minimum_value")
    if when is not None and when not in SEND_WHEN:
        hint = nearest(str(when), SEND_WHEN)
        mistakes.append(Mistake(f"destinations.{name}.send_when", f"is one of {', '.join(SEND_WHEN)}", hint))
    if minimum is not None:
        try:
            read_amount(minimum)
        except ValueError as error:
            mistakes.append(Mistake(f"destinations.{name}.minimum_value", str(error)))
    return mistakes
