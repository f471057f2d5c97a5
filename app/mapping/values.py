"""A conversion's value: fixed, from a field, or weighted by probability; its model is frozen at the first valuation (pure)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

import orjson

from app.mapping.aggregate import ValueState
from app.mapping.document import Milestone, ValueModel
from app.mapping.people import Lookup, split_field
from app.mapping.rates import Rates
from connectors.contract.conversions import MICROS, Money
from connectors.contract.source import SourceSchema

LARGEST_MICROS = 2**62


@dataclass(frozen=True, slots=True)
class Valuation:
    """A value with its explanation. `basis` is the frozen model as JSON text, by which later readings are valued."""

    state: ValueState
    money: Money | None
    basis: str
    why: str


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a value is taken: the fields, the account, the stage that the conversion entered, the day."""

    look: Lookup
    schema: SourceSchema
    pipeline: str | None
    stage: str | None
    occurred_at: datetime
    rates: Rates


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
    frozen = milestone.value.model_dump(mode="json", exclude_none=True)
    if probability is not None:
        frozen["frozen_probability"] = str(probability)
    return value_by(orjson.dumps(frozen, option=orjson.OPT_SORT_KEYS).decode(), at)


def value_by(basis: str, at: Setting) -> Valuation:
    """Value by a frozen model: the same model on the fields as they are now."""
    if not basis:
        return Valuation(ValueState.NONE, None, "", "the milestone has no value")
    frozen = orjson.loads(basis)
    probability = frozen.pop("frozen_probability", None)
    model = ValueModel.model_validate(frozen)
    if model.model == "fixed":
        micros = parse_amount(model.amount)
        why = f"fixed at {model.amount} {model.currency}"
        return _ready(Money(micros or 0, model.currency or at.schema.currency), basis, why)
    kind, name = split_field(model.field or "")
    micros = parse_amount(at.look(kind, name))
    described = at.schema.properties.get(kind, {}).get(name)
    currency_field = described.currency_property if described else None
    currency = (at.look(kind, currency_field) if currency_field else None) or at.schema.currency
    why = f"{model.field} in {currency.upper()}"
    if micros is None:
        return _missing(model, basis, currency)
    if model.model == "weighted":
        if probability is None:
            return _missing(model, basis, currency)
        share = Decimal(probability)
        micros = int((Decimal(micros) * share).to_integral_value())
        why = f"{why} times {share}"
    return _converted(Money(micros, currency.upper()), model, basis, why, at)


def _probability(model: ValueModel, at: Setting) -> Decimal | None:
    if model.model != "weighted" or model.probability is None:
        return None
    if model.probability == "stage":
        for pipeline in at.schema.pipelines:
            if at.pipeline not in (None, pipeline.id):
                continue
            for stage in pipeline.stages:
                if stage.id == at.stage and stage.probability is not None:
                    return Decimal(str(stage.probability))
        return None
    text = at.look(*split_field(model.probability)) if "." in model.probability and model.probability[0].isalpha() else None
    try:
        return min(Decimal(1), max(Decimal(0), Decimal(text or model.probability)))
    except InvalidOperation:
        return None


def _missing(model: ValueModel, basis: str, currency: str) -> Valuation:
    why = f"{model.field} is empty or no amount"
    if isinstance(model.if_missing, dict):
        micros = parse_amount(str(model.if_missing["amount"])) or 0
        return Valuation(ValueState.READY, Money(micros, currency.upper()), basis, f"{why}: the mapping's amount instead")
    states = {"wait": ValueState.WAIT, "skip": ValueState.SKIP, "send_without": ValueState.WITHOUT}
    return Valuation(states[model.if_missing], None, basis, why)


def _converted(money: Money, model: ValueModel, basis: str, why: str, at: Setting) -> Valuation:
    if model.currency is None or model.currency == money.currency:
        return _ready(money, basis, why)
    rate = at.rates.find(at.occurred_at.date(), money.currency, model.currency)
    if rate is None:
        return Valuation(ValueState.RATE, None, basis, f"no rate from {money.currency} to {model.currency}")
    micros = int((Decimal(money.amount_micros) * rate / MICROS).to_integral_value())
    return _ready(Money(micros, model.currency), basis, f"{why}, converted to {model.currency}")


def _ready(money: Money, basis: str, why: str) -> Valuation:
    return Valuation(ValueState.READY, money, basis, why)
