"""Which stage a value is, where it stands in its order, and whether it is lost: the schema, made quick to ask (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.contract.records import Entry, ObjectKind
from connectors.contract.source import SourceSchema, StageSchema

LOST = "lost"


@dataclass(frozen=True, slots=True)
class Placed:
    """A stage with its pipeline and its place in the display order."""

    pipeline: str
    place: int
    stage: StageSchema


@dataclass(frozen=True, slots=True)
class LostValue:
    """A value of a property that says lost, in one pipeline where it names one."""

    property: str
    value: str
    pipeline: str | None = None


@dataclass(frozen=True, slots=True)
class StageBook:
    """Stages by (kind, property), options by (kind, property). Built once for each schema by `of`."""

    _stages: Mapping[tuple[ObjectKind, str], Mapping[str, tuple[Placed, ...]]] = field(default_factory=dict)
    _options: Mapping[tuple[ObjectKind, str], Mapping[str, int]] = field(default_factory=dict)
    _lost: frozenset[tuple[ObjectKind, str, str]] = frozenset()

    @classmethod
    def of(cls, schema: SourceSchema) -> "StageBook":
        """Read a schema."""
        stages: dict[tuple[ObjectKind, str], dict[str, tuple[Placed, ...]]] = {}
        for pipeline in schema.pipelines:
            known = stages.setdefault((pipeline.kind, pipeline.stage_property), {})
            for place, stage in enumerate(pipeline.stages):
                known[stage.id] = (*known.get(stage.id, ()), Placed(pipeline.id, place, stage))
        options = {
            (kind, name): {option.value: place for place, option in enumerate(described.options)}
            for kind, properties in schema.properties.items()
            for name, described in properties.items()
            if described.options
        }
        lost = frozenset(
            (kind, name, option.value)
            for kind, properties in schema.properties.items()
            for name, described in properties.items()
            if (kind, name) not in stages
            for option in described.options
            if LOST in (option.value.casefold(), option.label.casefold())
        ) | frozenset(
            (kind, name, value)
            for (kind, name), known in stages.items()
            for value, placed in known.items()
            if any(one.stage.is_lost for one in placed)
        )
        return cls(stages, options, lost)

    def find(self, kind: ObjectKind, name: str, value: str, pipeline: str | None) -> Placed | None:
        """The stage of this value; of several pipelines that have it, the one named, else the first."""
        for placed in self._stages.get((kind, name), {}).get(value, ()):
            if pipeline in (None, placed.pipeline):
                return placed
        return None

    def any_stage(self, value: str | None, pipeline: str | None) -> Placed | None:
        """The stage of this id, whatever property holds it."""
        for kind, name in self._stages:
            placed = None if value is None else self.find(kind, name, value, pipeline)
            if placed is not None:
                return placed
        return None

    def place(self, kind: ObjectKind, entry: Entry) -> int | None:
        """Where a value stands in the order of its pipeline, else of the property's options."""
        placed = self.find(kind, entry.property, entry.value, entry.pipeline)
        if placed is not None:
            return placed.place
        return self._options.get((kind, entry.property), {}).get(entry.value)

    def is_lost(self, kind: ObjectKind, entry: Entry) -> bool:
        """A stage that the CRM calls lost; elsewhere (a deal's `status`) the value or option of that name."""
        is_stage = (kind, entry.property) in self._stages
        if (kind, entry.property, entry.value) not in self._lost:
            return not is_stage and entry.value.casefold() == LOST
        placed = self.find(kind, entry.property, entry.value, entry.pipeline) if is_stage else None
        return not is_stage or (placed is not None and placed.stage.is_lost)

    def lost_values(self) -> tuple[LostValue, ...]:
        """Every value that `is_lost` knows by the schema, each pipeline's stages by themselves."""
        stages = [
            LostValue(name, value, one.pipeline)
            for (_, name), known in self._stages.items()
            for value, placed in known.items()
            for one in placed
            if one.stage.is_lost
        ]
        return (
            *stages,
            *(LostValue(name, value) for kind, name, value in sorted(self._lost) if (kind, name) not in self._stages),
        )

    def stage_properties(self) -> frozenset[str]:
        """The properties whose values are stages of a pipeline."""
        return frozenset(name for _, name in self._stages)

    def is_forward(self, kind: ObjectKind, before: Entry, after: Entry) -> bool:
        """Later in the order of the same pipeline, or of the property's options."""
        if not after.value or before.pipeline != after.pipeline:
            return False
        one, other = self.place(kind, before), self.place(kind, after)
        return one is not None and other is not None and other > one
