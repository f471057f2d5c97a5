"""A conversion's value by its model, which is frozen at the first valuation with what was learnt by then (pure)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache

import orjson

from app.mapping.aggregate import AccountFacts, ValueState
from app.mapping.document import Milestone
from app.mapping.fits import Fit, KeptFigures, Segment, kept_of, name_of, shown
from app.mapping.people import Lookup, split_field
from app.mapping.rates import Rates
from app.mapping.value_model import AVERAGE, PlainModel, ValueModel
from connectors.contract.conversions import MICROS, Money
from connectors.contract.records import ObjectKind

LARGEST_MICROS = 2**62
ZERO_IS_MISSING = frozenset({"pipedrive"})  # it shows an empty value as 0
_CURRENCY = re.compile("[A-Z]{3}")
_ACCOUNT_RATES = "account_rates"
_FIT, _STANDS_IN = "frozen_fit", "frozen_fallback"


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
class Learnt:
    """What is known by now beside the CRM: currency rates, and what our own history teaches."""

    rates: Rates
    fit: Fit | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a value is taken: the fields, the account, the stage that the conversion entered, the day.

    `segment_by` tells of which segment the lead is, by these parts.
    """

    look: Lookup
    facts: AccountFacts
    pipeline: str | None
    stage: str | None
    occurred_at: datetime
    learnt: Learnt
    segment_by: Callable[[Sequence[str]], Segment]


@dataclass(frozen=True, slots=True)
class _Basis:
    """A frozen model, read. `stands_in`: why it does, where it is the fallback of another."""

    model: ValueModel
    probability: Decimal | None
    rates: dict[str, int]
    fit: KeptFigures | None = None
    stands_in: str = ""


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
    model = milestone.value
    if model is None:
        return Valuation(ValueState.NONE, None, "", "the milestone has no value")
    if not model.is_fitted or model.fallback is None:
        return value_by(_frozen(model, at), at)
    kept = kept_of(at.learnt.fit, milestone.name, model, at.segment_by(model.by), at.facts.schema.currency)
    if isinstance(kept, str):
        return value_by(_frozen_with(_frozen(model.fallback, at), _STANDS_IN, f"{kept}: the fallback of `{model.model}`, "), at)
    # What stands in for an amount that never was there is no default that would have to give way to a known value.
    return replace(value_by(_with_figures(model.basis, kept), at), is_default=False)


def value_by(basis: str, at: Setting) -> Valuation:
    """Value by a frozen model: the same model on the fields as they are now."""
    if not basis:
        return Valuation(ValueState.NONE, None, "", "the milestone has no value")
    frozen = _read(basis)
    valued = _by_history(frozen, frozen.fit, basis, at) if frozen.fit is not None else _by_mapping(frozen, basis, at)
    return replace(valued, why=f"{frozen.stands_in}{valued.why}") if frozen.stands_in else valued


def _by_mapping(frozen: _Basis, basis: str, at: Setting) -> Valuation:
    model = frozen.model
    if model.model == "fixed":
        why = f"fixed at {model.amount} {model.currency}"
        currency = model.currency or at.facts.schema.currency
        return Valuation(ValueState.READY, Money(parse_amount(model.amount) or 0, currency), basis, why)
    micros, currency = _told(model, at)
    if micros is None:
        return _missing(model, basis, currency, f"{model.field} is empty or no amount")
    if not _CURRENCY.fullmatch(currency):
        return _missing(model, basis, at.facts.schema.currency, f"the currency of {model.field} is none")
    why = f"{model.field} in {currency}"
    if model.model == "weighted":
        if frozen.probability is None:
            return _missing(model, basis, currency, "the probability of the stage is unknown")
        micros = _times(micros, frozen.probability)
        why = f"{why} times {frozen.probability}"
    return _converted(Money(micros, currency), frozen, basis, why, at)


def _by_history(frozen: _Basis, kept: KeptFigures, basis: str, at: Setting) -> Valuation:
    """By figures of our own history, as they were when the conversion was valued first."""
    model = frozen.model
    if model.model == AVERAGE or kept.chance is None:
        why = f"average: won revenue per lead of {kept.counted}"
        return Valuation(ValueState.READY, Money(kept.micros or 0, kept.currency), basis, why)
    chance = Decimal(kept.chance)
    told = f"{chance:.1%}, the chance to win of {kept.counted}"
    micros, currency = _told(model, at) if model.field is not None else (None, kept.currency)
    if micros is not None and _CURRENCY.fullmatch(currency):
        return _converted(
            Money(_times(micros, chance), currency), frozen, basis, f"predicted: {model.field} in {currency} times {told}", at
        )
    missing = "" if model.field is None else f"{model.field} is empty or no amount: "
    if kept.micros is None:
        return _missing(model, basis, currency, f"{missing}no won amount was known in {name_of(kept.version)}")
    why = f"predicted: {missing}the average won amount of {shown(kept.micros, kept.currency)} times {told}"
    return Valuation(ValueState.READY, Money(_times(kept.micros, chance), kept.currency), basis, why, is_default=True)


def _told(model: ValueModel, at: Setting) -> tuple[int | None, str]:
    """The amount and currency in the model's field, as the CRM has them now."""
    kind, name = split_field(model.field or "")
    schema = at.facts.schema
    micros = parse_amount(at.look(kind, name))
    if micros == 0 and at.facts.source_kind in ZERO_IS_MISSING:
        micros = None
    described = schema.properties.get(ObjectKind(kind), {}).get(name)
    currency_field = described.currency_property if described else None
    currency = (at.look(kind, currency_field) if currency_field else None) or schema.currency
    return micros, currency.strip().upper()


def _times(micros: int, factor: Decimal) -> int:
    return int((Decimal(micros) * factor).to_integral_value())


def _frozen(model: ValueModel | PlainModel, at: Setting) -> str:
    """The model with the probability that the CRM tells now."""
    probability = _probability(model, at)
    return model.basis if probability is None else _frozen_with(model.basis, "frozen_probability", str(probability))


@lru_cache(maxsize=4096)
def _read(basis: str) -> _Basis:
    data = orjson.loads(basis)
    probability = data.pop("frozen_probability", None)
    rates = data.pop("frozen_rates", {})
    data.pop(_ACCOUNT_RATES, None)
    kept, stands_in = data.pop(_FIT, None), data.pop(_STANDS_IN, "")
    return _Basis(
        ValueModel.model_validate(data),
        None if probability is None else Decimal(probability),
        rates,
        None if kept is None else KeptFigures.read(kept),
        stands_in,
    )


@lru_cache(maxsize=4096)
def _frozen_with(basis: str, key: str, value: str) -> str:
    return orjson.dumps({**orjson.loads(basis), key: value}, option=orjson.OPT_SORT_KEYS).decode()


@lru_cache(maxsize=4096)
def _with_figures(basis: str, kept: KeptFigures) -> str:
    return orjson.dumps({**orjson.loads(basis), _FIT: asdict(kept)}, option=orjson.OPT_SORT_KEYS).decode()


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


def _probability(model: ValueModel | PlainModel, at: Setting) -> Decimal | None:
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
        rates = at.learnt.rates
        rate, version = rates.find(at.occurred_at.date(), money.currency, quote), rates.version
        if rate is None:
            return Valuation(ValueState.RATE, None, basis, f"no rate from {money.currency} to {quote}")
        basis = _with_rate(basis, money.currency, rate)
    micros = int((Decimal(money.amount_micros) * rate / MICROS).to_integral_value())
    if micros > LARGEST_MICROS:
        return _missing(frozen.model, basis, quote, f"{frozen.model.field} is no amount")
    why = f"{why}, converted to {quote}"
    return Valuation(ValueState.READY, Money(micros, quote), basis, why, rates_version=version)
