"""Conditions as the document writes them: branches, typed comparisons, and points with a threshold (pure)."""

from enum import StrEnum
from typing import Any

from pydantic import Field, StrictInt, model_validator

from app.mapping.words import Part

MOST_SCORED = 100
MOST_POINTS = 1_000_000


class Operator(StrEnum):
    """How a condition compares."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    NOT_IN = "not_in"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    BETWEEN = "between"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    IS_EMPTY = "is_empty"
    IS_SET = "is_set"
    BEFORE = "before"
    AFTER = "after"
    WITHIN_DAYS = "within_days"


class Condition(Part):
    """`all`, `any`, `not`, one comparison of a field, or `points` of comparisons that reach a `threshold`."""

    all: tuple["Condition", ...] | None = None
    any: tuple["Condition", ...] | None = None
    not_: "Condition | None" = Field(default=None, alias="not")
    points: tuple["Scored", ...] | None = Field(default=None, min_length=1, max_length=MOST_SCORED)
    threshold: StrictInt | None = None
    field: str | None = None
    op: Operator | None = None
    value: Any = None

    @model_validator(mode="after")
    def _one_of(self) -> "Condition":
        branches = (self.all, self.any, self.not_, self.points, self.field)
        if sum(branch is not None for branch in branches) != 1:
            raise ValueError("a condition is exactly one of all, any, not, points, or a field with an op")
        if self.field is not None and self.op is None:
            raise ValueError("a condition on a field needs an op")
        if (self.points is None) != (self.threshold is None):
            raise ValueError("`points` and `threshold` come together: the threshold is the sum of points at which it holds")
        if self.points is not None and self.threshold is not None:
            most = sum(one.points for one in self.points if one.points > 0)
            if self.threshold > most:
                raise ValueError(f"the points add up to {most} at most, which never reaches the threshold {self.threshold}")
        return self

    def fields(self) -> set[str]:
        """Every field that it reads."""
        parts = (*(self.all or ()), *(self.any or ()), *((self.not_,) if self.not_ else ()))
        own = {self.field} if self.field is not None else {one.field for one in self.points or ()}
        return own.union(*(part.fields() for part in parts))


class Scored(Part):
    """A comparison and the points that it gives where it holds; negative points speak against."""

    field: str
    op: Operator
    value: Any = None
    points: StrictInt = Field(ge=-MOST_POINTS, le=MOST_POINTS)
