"""Exactly what the document needs to be read from the CRM (pure)."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from app.mapping.condition_model import Condition
from app.mapping.document import IdentityRules, MappingDocument
from app.mapping.people import is_derived, split_field
from connectors.contract.records import ObjectKind
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import SourceSchema

WITH_PEOPLE = frozenset({ObjectKind.DEAL, ObjectKind.LEAD})


def selection_of(document: MappingDocument, schema: SourceSchema) -> Selection:
    """The properties of each kind, the histories behind triggers, and whether people and companies are read."""
    fields: dict[ObjectKind, set[str]] = defaultdict(set)
    for text in fields_of(document):
        if is_derived(text):
            continue
        word, name = split_field(text)
        kind = ObjectKind(word)
        fields[kind].add(name)
        described = schema.properties.get(kind, {}).get(name)
        if described is not None and described.currency_property:
            fields[kind].add(described.currency_property)
    history: dict[ObjectKind, set[str]] = defaultdict(set)
    for milestone in document.milestones:
        for trigger in milestone.when:
            fields[trigger.object] |= set()
            if trigger.property is not None:
                history[trigger.object].add(trigger.property)
                fields[trigger.object].add(trigger.property)
    with_company = any(milestone.once_per == "company" for milestone in document.milestones)
    filtered = _filtered(document, fields)
    return Selection(
        {
            kind: ObjectSelection(
                fields=frozenset(names),
                history_properties=frozenset(history[kind]),
                only_where_set=_needed(document, kind) if kind is filtered else frozenset(),
                or_on_deals=kind is filtered and ObjectKind.DEAL in fields,
                with_people=kind in WITH_PEOPLE,
                with_company=with_company,
            )
            for kind, names in fields.items()
            if kind is not ObjectKind.COMPANY
        }
    )


def lacking(read: Selection, wanted: Selection) -> frozenset[ObjectKind]:
    """The kinds of which a record that was read by one selection lacks what the other wants of it."""
    return frozenset(kind for kind, chosen in wanted.objects.items() if not _holds(read.objects.get(kind), chosen))


def _holds(read: ObjectSelection | None, wanted: ObjectSelection) -> bool:
    if read is None:
        return False
    has_all = wanted.fields <= read.fields and wanted.history_properties <= read.history_properties
    return has_all and wanted.with_people <= read.with_people and wanted.with_company <= read.with_company


def _filtered(document: MappingDocument, fields: Mapping[ObjectKind, object]) -> ObjectKind | None:
    """Contacts, where none counts by its creation alone: they change with every e-mail that is opened.

    The contacts of CRM leads are read whatever they hold, as no filter knows them.
    """
    triggers = (trigger for milestone in document.milestones for trigger in milestone.when)
    counts_all = any(trigger.object is ObjectKind.CONTACT and trigger.property is None for trigger in triggers)
    return None if counts_all or ObjectKind.LEAD in fields else ObjectKind.CONTACT


def _needed(document: MappingDocument, kind: ObjectKind) -> frozenset[str]:
    """The properties whose entries make milestones of this kind."""
    triggers = (trigger for milestone in document.milestones for trigger in milestone.when)
    return frozenset(one.property for one in triggers if one.object is kind and one.property is not None)


def asks_deals_of_people(document: MappingDocument) -> bool:
    """True where identity, consent, attribution or dimensions name a deal's field: a person changes with their deals then."""
    return any(split_field(text)[0] == ObjectKind.DEAL for text in person_fields_of(document))


def identity_on_deals(document: MappingDocument) -> frozenset[str]:
    """The properties of deals that identify a person."""
    named = map(split_field, identity_fields_of(document))
    return frozenset(name for kind, name in named if kind == ObjectKind.DEAL)


def identity_fields_of(document: MappingDocument) -> Iterator[str]:
    """Every `kind.property` that identifies a person."""
    for name in IdentityRules.model_fields:
        if name != "default_country":
            yield from getattr(document.identity, name)


def person_fields_of(document: MappingDocument) -> Iterator[str]:
    """Every `kind.property` that says something of a person: identity, attribution, dimensions, consent."""
    yield from identity_fields_of(document)
    rules = document.attribution
    yield from (*rules.campaign_id, *rules.utm_campaign, *([rules.platform.field] if rules.platform else []))
    yield from document.dimensions.values()
    yield from (rule.field for rule in (document.consent.ad_user_data, document.consent.ad_personalization) if rule)


def fields_of(document: MappingDocument) -> Iterator[str]:
    """Every `kind.property` that the document names, triggers apart."""
    yield from person_fields_of(document)
    for condition in document.exclude:
        yield from condition.fields()
    for condition in document.destination_conditions.values():
        yield from condition.fields()
    for milestone in document.milestones:
        conditions: list[Condition | None] = [milestone.where, *(trigger.where for trigger in milestone.when)]
        for where in conditions:
            yield from () if where is None else where.fields()
        if milestone.value is not None:
            yield from (text for _, text in milestone.value.fields())
