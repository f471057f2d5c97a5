"""What the engine says should be, against what is stored: new conversions, and stored ones that change (pure)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from app.ingest.conversion_repository import StoredConversion
from app.mapping.aggregate import ConversionState
from connectors.contract.conversions import Money

Change = tuple[StoredConversion, ConversionState]


@dataclass(slots=True)
class Difference:
    """New conversions; stored ones that changed, and which of these have another value or ended.

    `worths`: what each account is worth now (None: nothing that is known), where leads have accounts.
    """

    new: list[ConversionState] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    revalued: list[Change] = field(default_factory=list)
    ended: list[Change] = field(default_factory=list)
    worths: Mapping[int, Money | None] = field(default_factory=dict)


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
        if comparable(before.state) == comparable(state):
            continue
        found.changed.append((before, state))
        if (before.state.money, before.state.value_state) != (state.money, state.value_state):
            found.revalued.append((before, state))
        if before.state.is_live and not state.is_live:
            found.ended.append((before, state))
    return found


def turned_by(found: Difference, stored: Mapping[str, StoredConversion]) -> set[int]:
    """The stored conversions that stop or begin to count instead of another one."""
    uids: set[str | None] = set()
    for before, state in found.changed:
        if before.state.duplicate_of != state.duplicate_of:
            uids |= {state.uid, before.state.duplicate_of, state.duplicate_of}
    return {stored[uid].id for uid in uids if uid is not None and uid in stored}


# What is not stored with a conversion, or is only told in words.
_TOLD = frozenset(
    {
        "excluded",
        "excluded_for",
        "explain",
        "value_why",
        "rates_version",
        "mapping_version",
        "is_tried",
        "is_withdrawn",
        "is_held",
    }
)
# What makes a difference.
comparable = attrgetter(*(name for name in ConversionState.__slots__ if name not in _TOLD))
