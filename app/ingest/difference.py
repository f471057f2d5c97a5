"""What the engine says should be, against what is stored: the rows to write (pure) and the deliveries they owe."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from app.ingest.conversion_repository import StoredConversion
from app.mapping.aggregate import ConversionState


@dataclass(slots=True)
class Difference:
    """New conversions; stored ones that changed, with the kind of change."""

    new: list[ConversionState] = field(default_factory=list)
    changed: list[tuple[StoredConversion, ConversionState]] = field(default_factory=list)
    revalued: list[tuple[StoredConversion, ConversionState]] = field(default_factory=list)
    ended: list[tuple[StoredConversion, ConversionState]] = field(default_factory=list)
    made_real: list[tuple[StoredConversion, ConversionState]] = field(default_factory=list)


def difference(stored: Mapping[str, StoredConversion], wanted: Iterable[ConversionState]) -> Difference:
    """Compare by uid. A conversion that the engine no longer names stays as it is: only a positive fact ends one."""
    found = Difference()
    seen: set[str] = set()
    for state in wanted:
        if state.uid in seen:
            continue
        seen.add(state.uid)
        before = stored.get(state.uid)
        if before is None:
            found.new.append(state)
            continue
        if _comparable(before.state) == _comparable(state):
            continue
        found.changed.append((before, state))
        if (before.state.money, before.state.value_state) != (state.money, state.value_state):
            found.revalued.append((before, state))
        if before.state.is_live and not state.is_live:
            found.ended.append((before, state))
        if before.state.is_implied and not state.is_implied:
            found.made_real.append((before, state))
    return found


def _comparable(state: ConversionState) -> ConversionState:
    """Without what is not stored, or is only told in words."""
    return replace(state, excluded="", excluded_for=frozenset(), explain="", value_why="", rates_version=None, mapping_version=0)
