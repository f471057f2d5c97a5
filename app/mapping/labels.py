"""A document that names properties, pipelines, stages and options by their labels, put into the CRM's own names (pure).

For CRMs whose own names nobody can read (Pipedrive's custom fields have 40 hex digits). A name always goes before a label.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from app.mapping.mistakes import Mistake, nearest
from connectors.contract.records import ObjectKind
from connectors.contract.source import PipelineSchema, SourceSchema

_Json = Mapping[str, object]
# Operators whose value is a value of the property, not a part of it or a bound.
_WHOLE_VALUE = frozenset({"eq", "ne", "in", "not_in"})
_KINDS = frozenset(ObjectKind)


@dataclass(frozen=True, slots=True)
class Canonical:
    """The document by names, and the labels that fit several things or nothing; paths as `check_document` has them."""

    data: _Json
    mistakes: tuple[Mistake, ...] = ()


def canonical(data: _Json, schema: SourceSchema) -> Canonical:
    """Put names in place of labels, where the CRM's mapping may use them; all else stays as it is, mistakes of form too."""
    if not schema.names_by_label:
        return Canonical(data)
    namer = _Namer(schema)
    parts = {
        "identity": namer.identity,
        "attribution": namer.attribution,
        "dimensions": lambda part: namer.texts(part, "dimensions"),
        "consent": namer.consent,
        "exclude": lambda part: namer.conditions(part, "exclude"),
        "milestones": namer.milestones,
        "destinations": namer.destinations,
    }
    return Canonical({key: parts[key](part) if key in parts else part for key, part in data.items()}, tuple(namer.mistakes))


def property_named(schema: SourceSchema, kind: ObjectKind, text: str) -> tuple[str, ...]:
    """The property of this name, else those of this label where labels may be used: none, one, or several candidates."""
    known = schema.properties.get(kind, {})
    if text in known:
        return (text,)
    return _labelled(text, ((one.name, one.label) for one in known.values())) if schema.names_by_label else ()


def _labelled(text: str, choices: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The names whose label this is, written exactly so, else in whatever case."""
    pairs = list(choices)
    exact = tuple(dict.fromkeys(name for name, label in pairs if label == text))
    return exact or tuple(dict.fromkeys(name for name, label in pairs if _folded(label) == _folded(text)))


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


@dataclass(slots=True)
class _Namer:
    """Walks a document that was not checked yet: what has another shape than expected is handed back untouched."""

    schema: SourceSchema
    mistakes: list[Mistake] = field(default_factory=list)

    # The parts of a document ------------------------------------------------------------------------------------------

    def identity(self, part: object) -> object:
        if not isinstance(part, Mapping):
            return part
        return {key: value if key == "default_country" else self.fields(value, f"identity.{key}") for key, value in part.items()}

    def attribution(self, part: object) -> object:
        if not isinstance(part, Mapping):
            return part
        named = {key: self.fields(value, f"attribution.{key}") for key, value in part.items() if key != "platform"}
        return named | {"platform": self.platform(part["platform"])} if "platform" in part else named

    def platform(self, part: object) -> object:
        if not isinstance(part, Mapping) or "field" not in part:
            return part
        name = self.field(part["field"], "attribution.platform.field")
        named = {**part, "field": name}
        if isinstance(part.get("map"), Mapping):
            named["map"] = {self.value(name, key, "attribution.platform.map"): to for key, to in part["map"].items()}
        return named

    def texts(self, part: object, path: str) -> object:
        return {key: self.field(one, f"{path}.{key}") for key, one in part.items()} if isinstance(part, Mapping) else part

    def consent(self, part: object) -> object:
        if not isinstance(part, Mapping):
            return part
        return {key: self.consent_rule(rule, f"consent.{key}") for key, rule in part.items()}

    def consent_rule(self, rule: object, path: str) -> object:
        if not isinstance(rule, Mapping) or "field" not in rule:
            return rule
        name = self.field(rule["field"], f"{path}.field")
        granted = {"granted": self.values(name, rule["granted"], f"{path}.granted")} if "granted" in rule else {}
        return {**rule, "field": name, **granted}

    def milestones(self, part: object) -> object:
        return [self.milestone(one, f"milestones[{place}]") for place, one in enumerate(part)] if _is_list(part) else part

    def milestone(self, part: object, path: str) -> object:
        if not isinstance(part, Mapping):
            return part
        named = dict(part)
        if _is_list(part.get("when")):
            named["when"] = [self.trigger(one, f"{path}.when[{place}]") for place, one in enumerate(part["when"])]
        if "where" in part:
            named["where"] = self.condition(part["where"], f"{path}.where")
        if isinstance(part.get("value"), Mapping):
            named["value"] = self.value_model(part["value"], f"{path}.value")
        return named

    def value_model(self, part: _Json, path: str) -> _Json:
        named = {key: self.field(one, f"{path}.{key}") if key in ("field", "probability") else one for key, one in part.items()}
        fallback = part.get("fallback")
        return {**named, "fallback": self.value_model(fallback, f"{path}.fallback")} if isinstance(fallback, Mapping) else named

    def destinations(self, part: object) -> object:
        if not isinstance(part, Mapping):
            return part
        return {
            name: {**one, "where": self.condition(one["where"], f"destinations.{name}.where")}
            if isinstance(one, Mapping) and "where" in one
            else one
            for name, one in part.items()
        }

    # Triggers and conditions ------------------------------------------------------------------------------------------

    def trigger(self, part: object, path: str) -> object:
        if isinstance(part, Mapping) and "where" in part:
            return {**part, "where": self.condition(part["where"], f"{path}.where")}
        if not isinstance(part, Mapping) or not isinstance(part.get("property"), str) or part.get("object") not in _KINDS:
            return part
        kind = ObjectKind(part["object"])
        name = self.property_of(kind, part["property"], f"{path}.property")
        named = {**part, "property": name}
        pipelines = self._pipelines(kind, name)
        if isinstance(part.get("pipeline"), str):
            choices = [(one.id, one.label) for one in pipelines]
            named["pipeline"] = self._one_of(part["pipeline"], choices, f"{path}.pipeline", "pipelines")
            pipelines = [one for one in pipelines if one.id == named["pipeline"]]
        if _is_list(part.get("enters")):
            values = self._values_of(kind, name, pipelines)
            named["enters"] = [
                self._one_of(one, values, f"{path}.enters[{place}]", f"values of {part['property']}")
                for place, one in enumerate(part["enters"])
            ]
        return named

    def conditions(self, part: object, path: str) -> object:
        return [self.condition(one, f"{path}[{place}]") for place, one in enumerate(part)] if _is_list(part) else part

    def condition(self, part: object, path: str) -> object:
        if not isinstance(part, Mapping):
            return part
        named = dict(part)
        for key in ("all", "any"):
            if _is_list(part.get(key)):
                named[key] = [self.condition(one, path) for one in part[key]]
        if "not" in part:
            named["not"] = self.condition(part["not"], path)
        if _is_list(part.get("points")):
            named["points"] = [self.condition(one, path) for one in part["points"]]
        if "field" in part:
            named["field"] = self.field(part["field"], path)
            if part.get("op") in _WHOLE_VALUE and "value" in part:
                named["value"] = self.values(named["field"], part["value"], path)
        return named

    # Names ------------------------------------------------------------------------------------------------------------

    def fields(self, part: object, path: str) -> object:
        return [self.field(one, path) for one in part] if _is_list(part) else self.field(part, path)

    def field(self, text: object, path: str) -> object:
        """`deal.Lead source` -> `deal.<key>`; anything else as it is."""
        kind, _, name = text.partition(".") if isinstance(text, str) else ("", "", "")
        return f"{kind}.{self.property_of(ObjectKind(kind), name, path)}" if name and kind in _KINDS else text

    def property_of(self, kind: ObjectKind, text: str, path: str) -> str:
        found = property_named(self.schema, kind, text)
        if len(found) == 1:
            return found[0]
        if found:
            self.mistakes.append(_ambiguous(path, f"{kind}.{text}", "properties", found))
            return text
        known = self.schema.properties.get(kind, {}).values()
        close = nearest(text, [*(one.label for one in known), *(one.name for one in known)])
        self.mistakes.append(
            Mistake(path, f"the CRM has no {kind} property `{text}`, by name or label", f"{kind}.{close}" if close else None)
        )
        return text

    def values(self, name: object, part: object, path: str) -> object:
        return [self.value(name, one, path) for one in part] if _is_list(part) else self.value(name, part, path)

    def value(self, name: object, text: object, path: str) -> object:
        """An option or stage of a field, by name or label; what fits none stays as it is."""
        kind, _, own = name.partition(".") if isinstance(name, str) else ("", "", "")
        if kind not in _KINDS:
            return text
        pipelines = self._pipelines(ObjectKind(kind), own)
        return self._one_of(text, self._values_of(ObjectKind(kind), own, pipelines), path, f"values of {name}")

    def _one_of(self, text: object, choices: Sequence[tuple[str, str]], path: str, what: str) -> object:
        if not isinstance(text, str) or any(name == text for name, _ in choices):
            return text
        found = _labelled(text, choices)
        if len(found) > 1:
            self.mistakes.append(_ambiguous(path, text, what, found))
        return found[0] if len(found) == 1 else text

    def _pipelines(self, kind: ObjectKind, name: str) -> list[PipelineSchema]:
        """The pipelines of a stage property; archived ones only where there are no others."""
        mine = [one for one in self.schema.pipelines if (one.kind, one.stage_property) == (kind, name)]
        return [one for one in mine if not one.is_archived] or mine

    def _values_of(self, kind: ObjectKind, name: str, pipelines: Sequence[PipelineSchema]) -> list[tuple[str, str]]:
        """Values with their labels: the stages of these pipelines, else the options."""
        stages = [(stage.id, stage.label) for one in pipelines for stage in one.stages]
        described = self.schema.properties.get(kind, {}).get(name)
        options = () if described is None else described.options
        return stages or [(one.value, one.label) for one in options]


def _ambiguous(path: str, text: str, what: str, found: Sequence[str]) -> Mistake:
    return Mistake(path, f"`{text}` is the label of several {what}: {', '.join(found)}; use one of these names instead")


def _is_list(part: object) -> TypeGuard[Sequence[object]]:
    return isinstance(part, Sequence) and not isinstance(part, str)
