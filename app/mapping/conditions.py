"""Conditions on the current fields of an aggregate, with typed operators (pure)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

from app.mapping.condition_model import Condition, Operator, Scored
from app.mapping.people import Lookup, parse_instant, split_field

_RELATIVE_DAYS = "d"
SECONDS_A_DAY = 86_400
_ORDERED = frozenset({Operator.GT, Operator.GTE, Operator.LT, Operator.LTE, Operator.BETWEEN})
_DATED = frozenset({Operator.BEFORE, Operator.AFTER, Operator.WITHIN_DAYS})


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of a condition: its place there (`all[1].any[0]`), what it asks, whether it holds, and why not.

    Below a `not` it is what the comparison itself says. No value of a record is in it.
    """

    path: str
    text: str
    holds: bool
    note: str = ""


def checks_of(condition: Condition, look: Lookup, entered_at: datetime, path: str = "") -> Iterator[Check]:
    """Every comparison of a condition, in its order, also those that `holds` need not look at."""
    branches = {"all": condition.all, "any": condition.any, "not": (condition.not_,) if condition.not_ else None}
    for name, parts in branches.items():
        for place, part in enumerate(parts or ()):
            inner = name if name == "not" else f"{name}[{place}]"
            yield from checks_of(part, look, entered_at, f"{path}.{inner}" if path else inner)
    for place, rule in enumerate(condition.points or ()):
        inner = f"points[{place}]"
        yield _check(rule, look, entered_at, f"{path}.{inner}" if path else inner, f" ({rule.points:+} points)")
    if condition.field is not None:
        yield _check(condition, look, entered_at, path, "")


def _check(rule: Condition | Scored, look: Lookup, entered_at: datetime, path: str, more: str) -> Check:
    field, operator = rule.field or "", rule.op or Operator.IS_SET
    is_met, text = _compared(field, operator, rule.value, look, entered_at)
    is_empty = not look(*split_field(field)) and operator not in (Operator.IS_SET, Operator.IS_EMPTY)
    return Check(path, f"{text}{more}", is_met, "the field is empty" if is_empty else "")


def holds(condition: Condition, look: Lookup, entered_at: datetime) -> tuple[bool, str]:
    """Whether it holds, and the part that decided it, for the trace (field names and operators, no values of people)."""
    if condition.all is not None:
        for part in condition.all:
            ok, text = holds(part, look, entered_at)
            if not ok:
                return False, text
        return True, "all hold"
    if condition.any is not None:
        texts = []
        for part in condition.any:
            ok, text = holds(part, look, entered_at)
            if ok:
                return True, text
            texts.append(text)
        return False, f"none holds: {'; '.join(texts)}"
    if condition.not_ is not None:
        ok, text = holds(condition.not_, look, entered_at)
        return not ok, f"not ({text})"
    if condition.points is not None:
        return _scored(condition.points, condition.threshold or 0, look, entered_at)
    return _compared(condition.field or "", condition.op or Operator.IS_SET, condition.value, look, entered_at)


def _scored(rules: Sequence[Scored], threshold: int, look: Lookup, entered_at: datetime) -> tuple[bool, str]:
    """Whether the points of what holds reach the threshold; the text names each comparison that gave some."""
    given = []
    for rule in rules:
        ok, text = _compared(rule.field, rule.op, rule.value, look, entered_at)
        if ok:
            given.append((rule.points, text))
    total = sum(points for points, _ in given)
    told = "; ".join(f"{points:+} {text}" for points, text in given) or "none holds"
    return total >= threshold, f"{total} of {threshold} points ({told})"


def _compared(field: str, operator: Operator, wanted: object, look: Lookup, entered_at: datetime) -> tuple[bool, str]:
    value = look(*split_field(field))
    text = f"{field} {operator} {_shown(wanted)}".rstrip()
    if value and not _fits(operator, value):
        return False, f"{text} (its value is no {'number' if operator in _ORDERED else 'date'})"
    return _compare(operator, value, wanted, entered_at), text


def _fits(operator: Operator, value: str) -> bool:
    """A value whose type does not fit its operator is false, and the trace says so."""
    if operator in _ORDERED:
        return _number(value) is not None
    return operator not in _DATED or parse_instant(value) is not None


def _shown(value: object) -> str:
    return "" if value is None else str(value)


def _compare(operator: Operator, value: str | None, wanted: object, entered_at: datetime) -> bool:
    is_empty = value is None or value == ""
    match operator:
        case Operator.IS_EMPTY:
            return is_empty
        case Operator.IS_SET:
            return not is_empty
        case Operator.NE:
            return is_empty or not _equal(str(value), wanted)
        case Operator.NOT_IN:
            return is_empty or not any(_equal(str(value), one) for one in _many(wanted))
        case _ if is_empty:
            return False
        case Operator.EQ:
            return _equal(str(value), wanted)
        case Operator.IN:
            return any(_equal(str(value), one) for one in _many(wanted))
        case Operator.GT | Operator.GTE | Operator.LT | Operator.LTE | Operator.BETWEEN:
            return _compare_numbers(operator, str(value), wanted)
        case Operator.CONTAINS:
            return str(wanted).casefold() in str(value).casefold()
        case Operator.STARTS_WITH:
            return str(value).casefold().startswith(str(wanted).casefold())
        case Operator.ENDS_WITH:
            return str(value).casefold().endswith(str(wanted).casefold())
        case _:
            return _compare_dates(operator, str(value), wanted, entered_at)


def _many(wanted: object) -> list[object]:
    return list(wanted) if isinstance(wanted, list | tuple) else [wanted]


def _equal(value: str, wanted: object) -> bool:
    if isinstance(wanted, bool):
        return value.strip().casefold() == str(wanted).casefold()
    if isinstance(wanted, int | float):
        number = _number(value)
        return number is not None and number == Decimal(str(wanted))
    return value.strip().casefold() == str(wanted).strip().casefold()


def _number(value: object) -> Decimal | None:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


_ORDER: dict[Operator, Callable[[Decimal, Decimal], bool]] = {
    Operator.GT: lambda one, other: one > other,
    Operator.GTE: lambda one, other: one >= other,
    Operator.LT: lambda one, other: one < other,
    Operator.LTE: lambda one, other: one <= other,
}


def _compare_numbers(operator: Operator, value: str, wanted: object) -> bool:
    number = _number(value)
    bounds = [_number(one) for one in _many(wanted)]
    if number is None or not bounds or bounds[0] is None:
        return False
    if operator is Operator.BETWEEN:
        return len(bounds) == 2 and bounds[1] is not None and bounds[0] <= number <= bounds[1]  # noqa: PLR2004 two ends
    return _ORDER[operator](number, bounds[0])


def _compare_dates(operator: Operator, value: str, wanted: object, entered_at: datetime) -> bool:
    at = parse_instant(value)
    if at is None:
        return False
    if operator is Operator.WITHIN_DAYS:
        days = _number(wanted)
        return days is not None and abs(at - entered_at).total_seconds() <= days * SECONDS_A_DAY
    bound = _bound(str(wanted), entered_at)
    if bound is None:
        return False
    return at < bound if operator is Operator.BEFORE else at > bound


def _bound(text: str, entered_at: datetime) -> datetime | None:
    """A date, or one relative to the entry: `-30d`."""
    if text.endswith(_RELATIVE_DAYS) and text[:-1].lstrip("+-").isdecimal():
        try:
            return entered_at + timedelta(days=int(text[:-1]))
        except (OverflowError, ValueError):
            return None
    return parse_instant(text)
