"""The document against the CRM's real properties and stages and the destinations' real targets (pure)."""

from collections.abc import Iterator, Mapping, Sequence

from app.mapping.derived import DERIVED, PERSON
from app.mapping.document import IdentityRules, MappingDocument, Milestone, Trigger
from app.mapping.mistakes import Mistake, nearest
from app.mapping.people import is_derived, split_field
from connectors.contract.records import ObjectKind
from connectors.contract.source import SourceSchema

# Where a condition stands: only there a field of the person, which the CRM does not have, can be named.
CONDITIONS = ("exclude", "milestones", "destinations")


def check_document(
    document: MappingDocument, schema: SourceSchema, destinations: Mapping[str, frozenset[str]]
) -> tuple[Mistake, ...]:
    """Every unknown property, stage, pipeline, destination and target setting (settings by destination name)."""
    found: list[Mistake] = []
    for path, text in _fields(document):
        found += _field(path, text, schema)
    for place, milestone in enumerate(document.milestones):
        for number, trigger in enumerate(milestone.when):
            path = f"milestones[{place}].when[{number}]"
            found += _trigger(path, trigger, schema)
            if milestone.repeat == "every_entry" and trigger.where is None and not _has_history(trigger, schema):
                found.append(Mistake(f"{path}.property", "the CRM keeps no history of it, so `every_entry` cannot be told"))
    for name in document.destinations:
        if name not in destinations:
            found.append(Mistake(f"destinations.{name}", "no destination has this name", nearest(name, sorted(destinations))))
    return (*found, *check_targets(document, destinations))


def check_fields(document: MappingDocument) -> tuple[Mistake, ...]:
    """Every field that could be of no CRM: what can be said without asking one."""
    return tuple(mistake for path, text in _fields(document) for mistake in _field(path, text, None))


def check_targets(document: MappingDocument, destinations: Mapping[str, frozenset[str]]) -> tuple[Mistake, ...]:
    """Every unknown or missing target setting, of the destinations that are known."""
    return tuple(
        mistake
        for name, targets in document.destinations.items()
        if name in destinations
        for mistake in _targets(f"destinations.{name}", targets, destinations[name], document.milestones)
    )


def _fields(document: MappingDocument) -> Iterator[tuple[str, str]]:
    for name in IdentityRules.model_fields:
        if name != "default_country":
            yield from ((f"identity.{name}", text) for text in getattr(document.identity, name))
    for purpose in ("ad_user_data", "ad_personalization"):
        rule = getattr(document.consent, purpose)
        if rule is not None:
            yield f"consent.{purpose}.field", rule.field
    yield from ((f"dimensions.{name}", text) for name, text in document.dimensions.items())
    rules = document.attribution
    yield from (("attribution.campaign_id", text) for text in rules.campaign_id)
    yield from (("attribution.utm_campaign", text) for text in rules.utm_campaign)
    if rules.platform is not None:
        yield "attribution.platform.field", rules.platform.field
    for place, condition in enumerate(document.exclude):
        yield from ((f"exclude[{place}]", text) for text in sorted(condition.fields()))
    for name, condition in document.destination_conditions.items():
        yield from ((f"destinations.{name}.where", text) for text in sorted(condition.fields()))
    for place, milestone in enumerate(document.milestones):
        yield from _fields_of(f"milestones[{place}]", milestone)


def _fields_of(path: str, milestone: Milestone) -> Iterator[tuple[str, str]]:
    if milestone.value is not None:
        yield from ((f"{path}.value.{place}", text) for place, text in milestone.value.fields())
    if milestone.where is not None:
        yield from ((f"{path}.where", text) for text in sorted(milestone.where.fields()))
    for number, trigger in enumerate(milestone.when):
        if trigger.where is not None:
            yield from ((f"{path}.when[{number}].where", text) for text in sorted(trigger.where.fields()))


def _field(path: str, text: str, schema: SourceSchema | None) -> list[Mistake]:
    """What is wrong with a field's name; without a schema, whether it could be one."""
    if text.startswith(f"{PERSON}."):
        if not is_derived(text):
            return [Mistake(path, f"`{text}` is no field of a person", nearest(text, [f"{PERSON}.{name}" for name in DERIVED]))]
        if path.startswith(CONDITIONS) and ".value." not in path:
            return []
    try:
        kind, name = split_field(text)
        known = {} if schema is None else schema.properties.get(ObjectKind(kind), {})
    except ValueError:
        kinds = [f"{kind}." for kind in ObjectKind]
        return [Mistake(path, f"`{text}` names no kind of record", nearest(text, kinds))]
    if name in known or (schema is None and name):
        return []
    if not name:
        return [Mistake(path, f"`{text}` names no property, like `{kind}.email`")]
    close = nearest(name, sorted(known))
    return [Mistake(path, f"the CRM has no {kind} property `{name}`", f"{kind}.{close}" if close else None)]


def _trigger(path: str, trigger: Trigger, schema: SourceSchema) -> list[Mistake]:
    if trigger.property is None:
        return []
    mistakes = _field(f"{path}.property", f"{trigger.object}.{trigger.property}", schema)
    pipelines = [one for one in schema.pipelines if (one.kind, one.stage_property) == (trigger.object, trigger.property)]
    if trigger.pipeline is not None and trigger.pipeline not in {one.id for one in pipelines}:
        hint = nearest(trigger.pipeline, [one.id for one in pipelines])
        return [*mistakes, Mistake(f"{path}.pipeline", f"the CRM has no pipeline `{trigger.pipeline}`", hint)]
    known: Sequence[str] = [stage.id for one in pipelines if trigger.pipeline in (None, one.id) for stage in one.stages]
    described = schema.properties.get(trigger.object, {}).get(trigger.property)
    if not known and described is not None:
        known = [option.value for option in described.options]
    if known:
        mistakes += [
            Mistake(f"{path}.enters[{place}]", f"`{value}` is no value of {trigger.property}", nearest(value, known))
            for place, value in enumerate(trigger.enters or ())
            if value not in known
        ]
    return mistakes


def _has_history(trigger: Trigger, schema: SourceSchema) -> bool:
    described = schema.properties.get(trigger.object, {}).get(trigger.property or "")
    return described is None or described.has_history


def check_rename(before: MappingDocument, after: MappingDocument) -> tuple[Mistake, ...]:
    """A milestone that is gone while a new one has one of its triggers: it must say `renamed_from`, else facts count twice."""
    gone = [one for one in before.milestones if after.named(one.name) is None]
    known = {one.name for one in before.milestones}
    return tuple(
        Mistake(
            f"milestones[{place}].renamed_from",
            f"`{milestone.name}` has a trigger of `{old.name}`, which is gone: say `renamed_from: {old.name}`, "
            "so that nothing is counted twice",
            old.name,
        )
        for place, milestone in enumerate(after.milestones)
        if milestone.name not in known and milestone.renamed_from is None
        for old in gone
        if any(_overlap(one, other) for one in milestone.when for other in old.when)
    )


def _overlap(one: Trigger, other: Trigger) -> bool:
    if (one.object, one.property, one.where) != (other.object, other.property, other.where):
        return False
    is_same_pipeline = None in (one.pipeline, other.pipeline) or one.pipeline == other.pipeline
    return one.property is None or (is_same_pipeline and bool(set(one.enters or ()) & set(other.enters or ())))


def _targets(
    path: str, targets: Mapping[str, object], settings: frozenset[str], milestones: Sequence[Milestone]
) -> Iterator[Mistake]:
    names = {milestone.name for milestone in milestones}
    for key, target in targets.items():
        if key not in names or target is None:
            continue
        given = set(target) if isinstance(target, dict) else set()
        yield from (
            Mistake(f"{path}.{key}.{unknown}", "the platform has no such target setting", nearest(unknown, sorted(settings)))
            for unknown in sorted(given - settings)
        )
        yield from (Mistake(f"{path}.{key}", f"needs `{missing}`") for missing in sorted(settings - given))
