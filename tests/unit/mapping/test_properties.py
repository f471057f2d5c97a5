"""What holds for every history: order of reading, repetition and the cuts between pages must not matter."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.mapping.aggregate import Aggregate, ConversionState, Deal, KnownRecord, Person
from app.mapping.document import MappingDocument
from app.mapping.engine import derive
from connectors.contract.records import Entry, ObjectKind
from tests.unit.mapping.mapping_rig import FACTS, NO_RATES, contact, day, deal, document

STAGES = ("new", "qualified", "proposal", "won", "lost", "")
LIFE = ("subscriber", "mql", "sql", "customer", "")


@dataclass(frozen=True)
class History:
    """Moves of three records (a contact, two deals), one a day, under one mapping."""

    moves: tuple[tuple[int, str], ...]
    by: MappingDocument

    def aggregate(self, until: int, known: Sequence[ConversionState] = (), mixed: Random | None = None) -> Aggregate:
        """What is known after so many moves; `mixed` shuffles everything that has an order."""
        made = [contact(id_=1, ref="101"), deal(id_=2, ref="202", amount="7").record, deal(id_=3, ref="33", amount="9").record]
        records = [self._with_moves(one, place, until, mixed) for place, one in enumerate(made)]
        deals, conversions = [Deal(records[1]), Deal(records[2])], list(known)
        if mixed is not None:
            mixed.shuffle(deals)
            mixed.shuffle(conversions)
        return Aggregate(Person(7, day(0), (records[0],)), tuple(deals), tuple(conversions))

    def _with_moves(self, record: KnownRecord, place: int, until: int, mixed: Random | None) -> KnownRecord:
        is_deal = record.ref.kind is ObjectKind.DEAL
        name, pipeline = ("dealstage", "default") if is_deal else ("lifecyclestage", None)
        entries = [Entry(name, value, day(at), pipeline) for at, (who, value) in enumerate(self.moves[:until]) if who == place]
        if mixed is not None:
            mixed.shuffle(entries)
        return replace(record, entries=tuple(entries))

    def run(self, until: int, known: Sequence[ConversionState] = (), mixed: Random | None = None) -> tuple[ConversionState, ...]:
        """What the engine answers."""
        return derive(self.aggregate(until, known, mixed), self.by, FACTS, NO_RATES)


_MOVE = st.one_of(st.tuples(st.just(0), st.sampled_from(LIFE)), st.tuples(st.integers(1, 2), st.sampled_from(STAGES)))
_LEAVE = st.sampled_from(["keep", "retract"])
_ONCE = st.sampled_from(["person", "deal", "company"])
_IMPLIED = st.sampled_from(["ignore", "report", "send"])


@st.composite
def _histories(draw: st.DrawFn, repeat: Sequence[str] = ("first_only", "every_entry")) -> History:
    changes: dict[str, dict[str, Any]] = {
        name: {"on_leave": draw(_LEAVE), "implied": draw(_IMPLIED), "repeat": draw(st.sampled_from(repeat))}
        for name in ("lead", "qualified_lead", "opportunity", "closed_revenue")
    }
    changes["opportunity"]["once_per"] = draw(_ONCE)
    changes["closed_revenue"]["once_per"] = draw(_ONCE)
    return History(tuple(draw(st.lists(_MOVE, max_size=10))), document(changes))


def _facts(states: Sequence[ConversionState]) -> set[tuple[object, ...]]:
    """All of a conversion but the words and the value, whose basis is frozen by what was known first."""
    return {
        (one.uid, one.milestone, one.occurrence, one.occurred_at, one.is_implied, one.is_live, one.ended_at, one.ended_why)
        for one in states
    }


@settings(max_examples=150, deadline=None)
@given(_histories(), st.integers(0, 10))
def test_feeding_the_answer_back_changes_nothing(history: History, cut: int) -> None:
    """Poll, webhook, backfill and replay make the same call: whatever it wrote once it must find again."""
    known = history.run(cut)
    whole = history.run(10, known)

    assert set(history.run(10, whole)) == set(whole)
    assert {one.uid for one in known} <= {one.uid for one in whole}
    assert len({one.uid for one in whole}) == len(whole)


@settings(max_examples=100, deadline=None)
@given(_histories(), st.randoms(use_true_random=False), st.integers(0, 10))
def test_no_order_of_reading_matters(history: History, mixed: Random, cut: int) -> None:
    """Pages, deals and entries come in any order; the ids and instants may not depend on it."""
    known = history.run(cut)

    assert set(history.run(10, known, mixed)) == set(history.run(10, known))


@settings(max_examples=200, deadline=None)
@given(_histories(), st.sets(st.integers(0, 10)))
def test_reading_bit_by_bit_ends_where_reading_at_once_does(history: History, cuts: set[int]) -> None:
    """A server that polled all year and one that starts with a backfill must tell the platforms the same."""
    known: tuple[ConversionState, ...] = ()
    for cut in [*sorted(cuts), 10]:
        known = history.run(cut, known)

    assert _facts(known) == _facts(history.run(10))


@settings(max_examples=150, deadline=None)
@given(_histories(repeat=("first_only",)))
def test_nothing_counts_twice_at_a_time(history: History) -> None:
    """Of one scope and milestone at most one lives, and occurrences follow one another."""
    states = history.run(10)

    live = [(one.milestone, one.scope_kind, one.scope_key) for one in states if one.is_live]
    assert len(live) == len(set(live))
    for one in states:
        later = [other for other in states if (other.milestone, other.scope_key) == (one.milestone, one.scope_key)]
        for other in later:
            if other.occurrence > one.occurrence:
                assert one.ended_at is not None
                assert other.occurred_at > one.ended_at


@settings(max_examples=150, deadline=None)
@given(_histories(), _histories(), st.lists(st.booleans(), min_size=1, max_size=4))
def test_another_mapping_changes_what_it_changes_at_once(history: History, other: History, turns: list[bool]) -> None:
    """Versions come and go over one history: each says all it has to say the first time, and nothing more the second."""
    until = len(history.moves)
    versions = (history, replace(history, by=other.by))
    known = history.run(until)
    for turn in turns:
        known = versions[turn].run(until, known)
        assert _facts(versions[turn].run(until, known)) == _facts(known)
