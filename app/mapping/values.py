"""A conversion's value: fixed, from a field, or weighted by probability; its model is frozen at the first valuation (pure)."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache

import orjson

from app.mapping.aggregate import AccountFacts, ValueState
from app.mapping.document import Milestone, ValueModel
from app.mapping.people import Lookup, split_field
from app.mapping.rates import Rates
from connectors.contract.conversions import MICROS, Money
from connectors.contract.records import ObjectKind

LARGEST_MICROS = 2**62
ZERO_IS_MISSING = frozenset({"pipedrive"})  # it shows an empty value as 0
_CURRENCY = re.compile("[A-Z]{3}")
_ACCOUNT_RATES = "account_rates"


@dataclass(frozen=True, slots=True)
class Valuation:
    """A value with its explanation. `basis` is the frozen model as JSON text, by which later readings are valued.

    `is_default`: the mapping's amount stands in for a missing one.
    """

    state: ValueState
    money: Money | None
    basis: str
    why: str
    is_default: bool = False
    rates_version: int | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a value is taken: the fields, the account, the stage that the conversion entered, the day."""

    look: Lookup
    facts: AccountFacts
    pipeline: str | None
    stage: str | None
    occurred_at: datetime
    rates: Rates


@dataclass(frozen=True, slots=True)
class _Basis:
    """A frozen model, read."""

    model: ValueModel
    probability: Decimal | None
    rates: dict[str, int]


@lru_cache(maxsize=4096)
def parse_amount(text: str | None) -> int | None:
    """Micros of a decimal text; None where it is empty, no number, negative or absurd."""
    try:
        number = Decimal((text or "").strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or number < 0 or number > LARGEST_MICROS // MICROS:
        return None
    return int((number * MICROS).to_integral_value())


def first_valuation(milestone: Milestone, at: Setting) -> Valuation:
    """Value a new conversion and freeze its model."""
    if milestone.value is None:
        return Valuation(ValueState.NONE, None, "", "the milestone has no value")
    probability = _probability(milestone.value, at)
    basis = milestone.value.basis
    return value_by(basis if probability is None else _frozen_with(basis, "frozen_probability", str(probability)), at)


def value_by(basis: str, at: Setting) -> Valuation:
    """Value by a frozen model: the same model on the fields as they are now."""
    if not basis:
        return Valuation(ValueState.NONE, None, "", "the milestone has no value")
    frozen = _read(basis)
    model, schema = frozen.model, at.facts.schema
    if model.model == "fixed":
        why = f"fixed at {model.amount} {model.currency}"
        return Valuation(ValueState.READY, Money(parse_amount(model.amount) or 0, model.currency or schema.currency), basis, why)
    kind, name = split_field(model.field or "")
    micros = parse_amount(at.look(kind, name))
    if micros == 0 and at.facts.source_kind in ZERO_IS_MISSING:
        micros = None
    described = schema.properties.get(ObjectKind(kind), {}).get(name)
    currency_field = described.currency_property if described else None
    currency = ((at.look(kind, currency_field) if currency_field else None) or schema.currency).strip().upper()
    if micros is None:
        return _missing(model, basis, currency, f"{model.field} is empty or no amount")
    if not _CURRENCY.fullmatch(currency):
        return _missing(model, basis, schema.currency, f"the currency of {model.field} is none")
    why = f"{model.field} in {currency}"
    if model.model == "weighted":
        if frozen.probability is None:
            return _missing(model, basis, currency, "the probability of the stage is unknown")
        micros = int((Decimal(micros) * frozen.probability).to_integral_value())
        why = f"{why} times {frozen.probability}"
    return _converted(Money(micros, currency), frozen, basis, why, at)


@lru_cache(maxsize=4096)
def _read(basis: str) -> _Basis:
    data = orjson.loads(basis)
    probability = data.pop("frozen_probability", None)
    rates = data.pop("frozen_rates", {})
    data.pop(_ACCOUNT_RATES, None)
    return _Basis(ValueModel.model_validate(data), None if probability is None else Decimal(probability), rates)


@lru_cache(maxsize=4096)
def _frozen_with(basis: str, key: str, value: str) -> str:
    return orjson.dumps({**orjson.loads(basis), key: value}, option=orjson.OPT_SORT_KEYS).decode()


@lru_cache(maxsize=4096)
def account_rate(basis: str, base: str, quote: str) -> int | None:
    """The rate by which a conversion was added to its lead's account, None where it never was."""
    rate = orjson.loads(basis or "{}").get(_ACCOUNT_RATES, {}).get(f"{base}/{quote}")
    return None if rate is None else int(rate)


def with_account_rate(basis: str, base: str, quote: str, rate: int) -> str:
    """The frozen model with such a rate."""
    data = orjson.loads(basis or "{}")
    data[_ACCOUNT_RATES] = {**data.get(_ACCOUNT_RATES, {}), f"{base}/{quote}": rate}
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS).decode()


def _with_rate(basis: str, currency: str, rate: int) -> str:
    data = orjson.loads(basis)
    data["frozen_rates"] = {**data.get("frozen_rates", {}), currency: rate}
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS).decode()


def _probability(model: ValueModel, at: Setting) -> Decimal | None:
    if model.model != "weighted" or model.probability is None:
        return None
    if model.probability == "stage":
        placed = at.facts.stages.any_stage(at.stage, at.pipeline)
        return None if placed is None or placed.stage.probability is None else Decimal(str(placed.stage.probability))
    is_field = "." in model.probability and model.probability[0].isalpha()
    text = at.look(*split_field(model.probability)) if is_field else model.probability
    try:
        number = Decimal((text or "").strip())
    except InvalidOperation:
        return None
    return min(Decimal(1), max(Decimal(0), number)) if number.is_finite() else None


def _missing(model: ValueModel, basis: str, currency: str, why: str) -> Valuation:
    if isinstance(model.if_missing, dict):
        micros = parse_amount(str(model.if_missing["amount"])) or 0
        default = f"{why}: the mapping's amount instead"
        return Valuation(ValueState.READY, Money(micros, currency), basis, default, is_default=True)
    states = {"wait": ValueState.WAIT, "skip": ValueState.SKIP, "send_without": ValueState.WITHOUT}
    return Valuation(states[model.if_missing], None, basis, why)


def _converted(money: Money, frozen: _Basis, basis: str, why: str, at: Setting) -> Valuation:
    """In the mapping's currency, by the rate that was frozen with the first valuation."""
    quote = frozen.model.currency
    if quote is None or quote == money.currency:
        return Valuation(ValueState.READY, money, basis, why)
    rate, version = frozen.rates.get(money.currency), None
    if rate is None:
        rate, version = at.rates.find(at.occurred_at.date(), money.currency, quote), at.rates.version
        if rate is None:
            return Valuation(ValueState.RATE, None, basis, f"no rate from {money.currency} to {quote}")
        basis = _with_rate(basis, money.currency, rate)
    micros = int((Decimal(money.amount_micros) * rate / MICROS).to_integral_value())
    if micros > LARGEST_MICROS:
        return _missing(frozen.model, basis, quote, f"{frozen.model.field} is no amount")
    why = f"{why}, converted to {quote}"
    return Valuation(ValueState.READY, Money(micros, quote), basis, why, rates_version=version)
