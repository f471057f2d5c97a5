"""Which opportunity meets which oddity of CRM life: by share, and certain for the first few, so that a small world has all."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.demo.draws import draw
from app.demo.pipeline import Opportunity

SURE_OF_EACH = 2  # times that an oddity occurs wherever the world has an opportunity fit for it


class People(StrEnum):
    """What is odd about the people of a deal; at most one for each deal."""

    SECOND = "second_person"
    DECISION_MAKER = "decision_maker"
    PRIMARY = "primary_person"
    MERGED = "merged_into_the_first"
    MERGED_OVER = "merged_into_the_second"
    MERGED_ANEW = "merged_into_a_new_record"
    LATE = "person_comes_late"
    NEVER_QUALIFIED = "never_qualified"
    QUALIFIED_LATE = "qualified_after_the_deal"


class Course(StrEnum):
    """What is odd about the course of a deal; at most one for each deal."""

    JUMPED = "jumped_to_won"
    EDITED = "amount_edited_after_winning"
    FILLED_LATE = "amount_filled_in_late"
    REOPENED = "reopened_and_won_again"
    REOPENED_WHOLLY = "reopened_to_its_beginning"
    WON_BY_MISTAKE = "won_taken_back_and_won_within_minutes"
    LOST_AFTER_ALL = "won_and_lost_after_all"
    DELETED = "deleted_after_winning"
    DELETED_OPEN = "deleted_while_open"


SHARES_OF_PEOPLE: Mapping[People, float] = {
    People.SECOND: 0.05,
    People.DECISION_MAKER: 0.03,
    People.PRIMARY: 0.02,
    People.MERGED: 0.01,
    People.MERGED_OVER: 0.005,
    People.MERGED_ANEW: 0.005,
    People.LATE: 0.01,
    People.NEVER_QUALIFIED: 0.015,
    People.QUALIFIED_LATE: 0.01,
}
# Of the won ones; of the open ones for DELETED_OPEN.
SHARES_OF_COURSES: Mapping[Course, float] = {
    Course.JUMPED: 0.02,
    Course.EDITED: 0.04,
    Course.FILLED_LATE: 0.02,
    Course.REOPENED: 0.015,
    Course.REOPENED_WHOLLY: 0.007,
    Course.WON_BY_MISTAKE: 0.005,
    Course.LOST_AFTER_ALL: 0.007,
    Course.DELETED: 0.01,
    Course.DELETED_OPEN: 0.02,
}
_DELETED_ARE_OPEN = frozenset({Course.DELETED_OPEN})
_ROOM_TO_MEET = timedelta(days=16)
_ROOM_AFTER_CLOSING = timedelta(days=12)


@dataclass(frozen=True, slots=True)
class Fate:
    """What is odd about one opportunity."""

    people: People | None = None
    course: Course | None = None


def fates_of(rows: Sequence[Opportunity], *, seed: int, begins_at: datetime, ends_at: datetime) -> Mapping[str, Fate]:
    """The fate of each opportunity by its id."""
    drawn: dict[str, Fate] = {}
    for row in rows:
        luck = random.Random(f"{seed}:{row.id}:fate")
        people = draw(luck, SHARES_OF_PEOPLE)
        course = draw(
            luck, {one: share for one, share in SHARES_OF_COURSES.items() if (one in _DELETED_ARE_OPEN) is not row.is_won}
        )
        drawn[row.id] = Fate(
            people if people is not None and fits_people(row, begins_at, ends_at) else None,
            course if course is not None and _fits_course(row, course) else None,
        )
    _make_sure(rows, drawn, begins_at, ends_at)
    return drawn


def _fits_course(row: Opportunity, course: Course) -> bool:
    return row.engaged_on is not None and (row.is_won or (course in _DELETED_ARE_OPEN and row.closed_on is None))


def fits_people(row: Opportunity, begins_at: datetime, ends_at: datetime) -> bool:
    """True where the deal's people come after the world's beginning, and there is time for what happens to them."""
    return row.engaged_on is not None and begins_at + _ROOM_TO_MEET <= row.engaged_on <= ends_at - _ROOM_AFTER_CLOSING


def _make_sure(rows: Sequence[Opportunity], drawn: dict[str, Fate], begins_at: datetime, ends_at: datetime) -> None:
    """Give what is too rare to the first opportunities that fit and have nothing of the sort yet."""
    of_people = Counter(fate.people for fate in drawn.values())
    of_courses = Counter(fate.course for fate in drawn.values() if fate.course is not None)
    for people in People:
        fitting = (row for row in rows if drawn[row.id].people is None and fits_people(row, begins_at, ends_at))
        for _, row in zip(range(SURE_OF_EACH - of_people[people]), fitting, strict=False):
            drawn[row.id] = Fate(people, drawn[row.id].course)
    for course in Course:
        fitting = (row for row in rows if drawn[row.id].course is None and _has_time(row, course, begins_at, ends_at))
        for _, row in zip(range(SURE_OF_EACH - of_courses[course]), fitting, strict=False):
            drawn[row.id] = Fate(drawn[row.id].people, course)


def _has_time(row: Opportunity, course: Course, begins_at: datetime, ends_at: datetime) -> bool:
    done_on = row.closed_on or row.engaged_on
    return _fits_course(row, course) and done_on is not None and begins_at < done_on <= ends_at - _ROOM_AFTER_CLOSING
