"""The document against the CRM's real properties and stages and the destinations' real targets (pure)."""

from collections.abc import Iterator, Mapping, Sequence

from app.mapping.document import IdentityRules, MappingDocument, Milestone, Mistake, Trigger, nearest
from app.mapping.people import split_field
from connectors.contract.records import ObjectKind
from connectors.contract.source import SourceSchema


def check_document(
    document: MappingDocument, schema: SourceSchema, destinations: Mapping[str, frozenset[str]]
) -> tuple[Mistake, ...]:
    """Every unknown property, stage, pipeline, destination and target setting (settings by destination name)."""
    found: list[Mistake] = []
    for path, text in _fields(document):
        found += _field(path, text, schema)
    for place, milestone in enumerate(document.milestones):
        for number, trigger in enumerate(milestone.when):
            found += _trigger(f"milestones[{place}].when[{number}]", trigger, schema)
    for name, targets in document.destinations.items():
        if name not in destinations:
            found.append(Mistake(f"destinations.{name}", "no destination has this name", nearest(name, sorted(destinations))))
            continue
        found += _targets(f"destinations.{name}", targets, destinations[name], document.milestones)
    return tuple(found)


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
    for name, condition in document.destination_conditions().items():
        yield from ((f"destinations.{name}.where", text) for text in sorted(condition.fields()))
    for place, milestone in enumerate(document.milestones):
        if milestone.value is not None and milestone.value.field is not None:
            yield f"milestones[{place}].value.field", milestone.value.field
        if milestone.where is not None:
            yield from ((f"milestones[{place}].where", text) for text in sorted(milestone.where.fields()))


def _field(path: str, text: str, schema: SourceSchema) -> list[Mistake]:
    try:
        kind, name = split_field(text)
    except ValueError:
        kinds = [f"{kind}." for kind in ObjectKind]
        return [Mistake(path, f"`{text}` names no kind of record", nearest(text, kinds))]
    known = schema.properties.get(kind, {})
    if name in known:
        return []
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
