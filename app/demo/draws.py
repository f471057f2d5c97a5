"""Draws from a seed: choices by share; instants to the millisecond, in office hours for what people at work do (pure)."""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

Choice = TypeVar("Choice")

OFFICE_OPENS = timedelta(hours=8)
OFFICE_CLOSES = timedelta(hours=18)
_LAST_CALL = timedelta(hours=17, minutes=30)  # what follows within minutes is inside the office hours too
DAY = timedelta(days=1)
_MILLISECOND = timedelta(milliseconds=1)


def draw(luck: random.Random, shares: Mapping[Choice, float]) -> Choice | None:
    """One of the choices by its share; None with what is left of one where the shares add up to less."""
    left = luck.random()
    for choice, share in shares.items():
        left -= share
        if left < 0:
            return choice
    return None


def pick(luck: random.Random, choices: Sequence[Choice]) -> Choice:
    """One of them, each as likely as the others."""
    return choices[int(luck.random() * len(choices))]


def midnight(at: datetime) -> datetime:
    """The beginning of an instant's UTC day."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def whole(at: datetime) -> datetime:
    """An instant cut to its millisecond."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def between(luck: random.Random, earliest: datetime, latest: datetime) -> datetime:
    """An instant in a stretch of time, to the millisecond."""
    return earliest + _MILLISECOND * int(luck.random() * ((latest - earliest) // _MILLISECOND))


def at_work(
    luck: random.Random, day: datetime, *, earliest: timedelta = OFFICE_OPENS, latest: timedelta = _LAST_CALL
) -> datetime:
    """An instant in the office hours of a day (given by any instant of it)."""
    opens = midnight(day)
    return between(luck, opens + earliest, opens + latest)


def work_after(luck: random.Random, at: datetime, least_days: float, most_days: float) -> datetime:
    """An instant in the office hours of a later day, about so many days after `at` (at least one day later by the calendar)."""
    return at_work(luck, max(at + DAY * luck.uniform(least_days, most_days), midnight(at) + DAY))
