"""How a mapping says what a conversion is worth: the value models of the document (typed; what they mean is in `values`)."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal

import orjson
from pydantic import BeforeValidator, Field, model_validator

from app.mapping.words import AMOUNT, Part, Texts

AVERAGE, PREDICTED = "average", "predicted"
# What a segment may be told by beside the declared dimensions: the attribution that is frozen at first touch.
TOUCH = ("platform", "campaign_id")
MOST_SEGMENT_PARTS = 3


class _ValueParts(Part):
    """What all value models may hold."""

    model: str
    amount: Annotated[str, BeforeValidator(str)] | None = None
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$")
    field: str | None = None
    probability: Annotated[str, BeforeValidator(str)] | None = None
    if_missing: Literal["wait", "skip", "send_without"] | dict[Literal["amount"], float | int | str] = "wait"

    @cached_property
    def basis(self) -> str:
        """The model as JSON text, as it is frozen in a conversion."""
        said = {name: value for name, value in self.model_dump(mode="json", exclude_none=True).items() if value != []}
        return orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode()

    def fields(self) -> Iterator[tuple[str, str]]:
        """The CRM's fields that it reads, each with its place in the model."""
        if self.field is not None:
            yield "field", self.field
        probability = self.probability or ""
        if "." in probability and probability[0].isalpha():
            yield "probability", probability

    @model_validator(mode="after")
    def _complete(self) -> "_ValueParts":
        if self.amount is not None and not AMOUNT.fullmatch(self.amount):
            raise ValueError(f"`{self.amount}` is no amount; it reads like 50 or 49.90")
        if self.model in (AVERAGE, PREDICTED):
            return self
        if self.model == "fixed" and (self.amount is None or self.currency is None):
            raise ValueError("a fixed value needs an amount and a currency")
        if self.model != "fixed" and self.field is None:
            raise ValueError(f"a {self.model} value needs a field, like deal.amount")
        if self.model == "weighted" and self.probability is None:
            raise ValueError("a weighted value needs a probability: `stage`, a number or a field")
        return self


class PlainModel(_ValueParts):
    """A value that the mapping and the CRM tell alone."""

    model: Literal["fixed", "field", "weighted"]


class ValueModel(_ValueParts):
    """How a conversion's value is made. `average` and `predicted` are learnt from our own history, a segment `by` a segment.

    `fallback` is the model where that history does not suffice.
    """

    model: Literal["fixed", "field", "weighted", "average", "predicted"]
    by: Annotated[Texts, Field(max_length=MOST_SEGMENT_PARTS)] = ()
    fallback: PlainModel | None = None

    @property
    def is_fitted(self) -> bool:
        """True where our own history says what it is worth."""
        return self.model in (AVERAGE, PREDICTED)

    def fields(self) -> Iterator[tuple[str, str]]:
        """The CRM's fields that it or its fallback reads, each with its place in the model."""
        yield from super().fields()
        if self.fallback is not None:
            yield from ((f"fallback.{place}", text) for place, text in self.fallback.fields())

    def parts(self) -> Iterator["PlainModel | ValueModel"]:
        """The model itself, and its fallback."""
        yield self
        if self.fallback is not None:
            yield self.fallback

    @model_validator(mode="after")
    def _learnt(self) -> "ValueModel":
        if not self.is_fitted:
            if self.by or self.fallback is not None:
                raise ValueError("`by` and `fallback` go with the models `average` and `predicted`")
            return self
        if self.fallback is None:
            raise ValueError(f"`{self.model}` needs a `fallback`, a value for as long as history does not suffice")
        if self.amount is not None or self.probability is not None or self.if_missing != "wait":
            raise ValueError(
                f"`amount`, `probability` and `if_missing` do not go with `{self.model}`; its `fallback` may have them"
            )
        if self.model == AVERAGE and self.field is not None:
            raise ValueError("`field` does not go with `average`; `predicted` reads one")
        if len(set(self.by)) < len(self.by):
            raise ValueError("`by` names the same twice")
        return self
