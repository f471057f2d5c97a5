"""A search request, read and checked: groups of filters, one sort rule, a page."""

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from connectors.simulators.hubspot.calls import json_list, json_names, json_object
from connectors.simulators.hubspot.catalogue import Property
from connectors.simulators.hubspot.errors import invalid
from connectors.simulators.hubspot.instants import parse_millis

MOST_RESULTS = 10_000
MOST_ROWS = 200
MOST_GROUPS = 5
MOST_FILTERS = 6
MOST_FILTERS_IN_ALL = 18
LONGEST_QUERY = 3000

Comparable = Decimal | str
Read = Callable[[str], str | None]

_WITHOUT_VALUE = frozenset({"HAS_PROPERTY", "NOT_HAS_PROPERTY"})
_WITH_VALUES = frozenset({"IN", "NOT_IN"})
_WITH_VALUE = frozenset({"EQ", "NEQ", "LT", "LTE", "GT", "GTE", "BETWEEN", "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"})


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition. `operands` are the value, both ends of BETWEEN, or the choices of IN."""

    property: Property
    operator: str
    operands: tuple[Comparable, ...] = ()

    def matches(self, text: str | None) -> bool:
        """Whether a property's value meets it. An empty value meets nothing but NOT_HAS_PROPERTY."""
        if not text:
            return self.operator == "NOT_HAS_PROPERTY"
        value = comparable(self.property, text)
        match self.operator:
            case "HAS_PROPERTY":
                return True
            case "NOT_HAS_PROPERTY":
                return False
            case "IN":
                return value in self.operands
            case "NOT_IN":
                return value not in self.operands
            case "CONTAINS_TOKEN":
                return _has_token(text, str(self.operands[0]))
            case "NOT_CONTAINS_TOKEN":
                return not _has_token(text, str(self.operands[0]))
            case _:
                return self._compares(value)

    def _compares(self, value: Comparable) -> bool:
        order = _order(value, self.operands[0])
        match self.operator:
            case "EQ":
                return order == 0
            case "NEQ":
                return order != 0
            case "LT":
                return order < 0
            case "LTE":
                return order <= 0
            case "GT":
                return order > 0
            case "GTE":
                return order >= 0
            case _:
                return order >= 0 and _order(value, self.operands[1]) <= 0


Group = tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A search. Without groups every record matches; `sort` is (property, descending)."""

    groups: tuple[Group, ...]
    sort: tuple[Property, bool] | None
    text: str
    properties: tuple[str, ...]
    limit: int
    offset: int


def parse_search(body: object, known: Mapping[str, Property]) -> SearchRequest:
    """Read a search's body against the properties of its object type; 400 for what HubSpot refuses."""
    asked = json_object(body)
    groups = tuple(_group(json_object(group, "filterGroups"), known) for group in json_list(asked, "filterGroups"))
    if len(groups) > MOST_GROUPS or sum(map(len, groups)) > MOST_FILTERS_IN_ALL:
        raise invalid(f"At most {MOST_GROUPS} filterGroups and {MOST_FILTERS_IN_ALL} filters in all are allowed")
    text = asked.get("query") or ""
    if not isinstance(text, str) or len(text) > LONGEST_QUERY:
        raise invalid(f"query must be at most {LONGEST_QUERY} characters")
    limit, offset = _whole(asked, "limit", 10), _whole(asked, "after", 0)
    if not 1 <= limit <= MOST_ROWS:
        raise invalid(f"limit must be between 1 and {MOST_ROWS}", "INVALID_LIMIT")
    if offset + limit > MOST_RESULTS:
        raise invalid(f"The search results limit of {MOST_RESULTS} has been exceeded", "PAGING_TOO_DEEP")
    return SearchRequest(groups, _sort(asked, known), text, tuple(json_names(asked, "properties")), limit, offset)


def comparable(one: Property, text: str) -> Comparable:
    """A value in the order of its property's type; text that does not fit its type compares as text."""
    try:
        if one.type in ("datetime", "date"):
            return Decimal(parse_millis(text))
        if one.type == "number":
            return Decimal(text)
    except (ValueError, InvalidOperation):
        return text
    return text


def matches(group: Group, read: Read) -> bool:
    """Whether a record, read by property name, meets all filters of a group."""
    return all(one.matches(read(one.property.name)) for one in group)


def _group(group: Mapping[str, object], known: Mapping[str, Property]) -> Group:
    filters = json_list(group, "filters", is_required=True)
    if len(filters) > MOST_FILTERS:
        raise invalid(f"At most {MOST_FILTERS} filters are allowed in a filterGroup")
    return tuple(_filter(json_object(one, "filters"), known) for one in filters)


def _filter(asked: Mapping[str, object], known: Mapping[str, Property]) -> Filter:
    one, operator = _known(asked.get("propertyName"), known), str(asked.get("operator"))
    if operator in _WITHOUT_VALUE:
        return Filter(one, operator)
    if operator in _WITH_VALUES:
        values = json_names(asked, "values", is_required=True)
        return Filter(one, operator, tuple(_operand(one, value) for value in values))
    if operator not in _WITH_VALUE:
        raise invalid(f"{operator} is no known operator", "INVALID_OPERATOR")
    names = ("value", "highValue") if operator == "BETWEEN" else ("value",)
    return Filter(one, operator, tuple(_operand(one, asked.get(name)) for name in names))


def _operand(one: Property, value: object) -> Comparable:
    if value is None or isinstance(value, (dict, list)):
        raise invalid(f"A filter of {one.name} lacks its value", "MISSING_VALUE")
    operand = comparable(one, str(value))
    if one.type in ("datetime", "date", "number") and isinstance(operand, str):
        raise invalid(f"A filter of {one.name} has a value that is no {one.type}", "INVALID_VALUE")
    return operand


def _sort(asked: Mapping[str, object], known: Mapping[str, Property]) -> tuple[Property, bool] | None:
    sorts = json_list(asked, "sorts")
    if not sorts:
        return None
    if len(sorts) > 1:
        raise invalid("Only one sort is allowed")
    rule = json_object(sorts[0], "sorts")
    direction = rule.get("direction", "ASCENDING")
    if direction not in ("ASCENDING", "DESCENDING"):
        raise invalid("direction must be ASCENDING or DESCENDING")
    return _known(rule.get("propertyName"), known), direction == "DESCENDING"


def _known(name: object, known: Mapping[str, Property]) -> Property:
    if not isinstance(name, str) or name not in known:
        raise invalid("A property of the search does not exist", "PROPERTY_DOESNT_EXIST", propertyName=[str(name)])
    return known[name]


def _whole(asked: Mapping[str, object], name: str, default: int) -> int:
    value = asked.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, bool) or not str(value).isdigit():
        raise invalid(f"{name} must be a whole number", "INVALID_INTEGER")
    return int(str(value))


def _order(value: Comparable, other: Comparable) -> int:
    if isinstance(value, Decimal) and isinstance(other, Decimal):
        return (value > other) - (value < other)
    return (str(value) > str(other)) - (str(value) < str(other))


def _has_token(text: str, token: str) -> bool:
    words = [text.lower(), *re.split(r"[^\w]+", text.lower())]
    return any(fnmatch.fnmatchcase(word, token.lower()) for word in words)
