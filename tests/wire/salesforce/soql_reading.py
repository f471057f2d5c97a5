"""Enough of SOQL to judge our queries by: conditions joined by AND, one level of OR, IN lists, order, limit."""

import re
from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, Any]
_SELECT = re.compile(
    r"SELECT (?P<fields>.+?) FROM (?P<of>\w+)(?: WHERE (?P<where>.+?))?"
    r"(?: ORDER BY (?P<order>[\w, .]+?))?(?: LIMIT (?P<limit>\d+))?"
)
_CONDITION = re.compile(r"([\w.]+) (>=|<=|=|<|>|IN) (.+)")
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def matching(
    soql: str, schema: Mapping[str, Mapping[str, str]], rows: Mapping[str, Mapping[str, Row]], *, with_deleted: bool
) -> list[Row] | tuple[str, str]:
    """The rows of a query with their selected fields, or a refusal's code and message."""
    found = _SELECT.fullmatch(soql)
    assert found is not None, soql
    of, names = found["of"], found["fields"].split(", ")
    if of not in schema:
        return "INVALID_TYPE", f"sObject type '{of}' is not supported."
    tests = [_test(one) for one in _split(found["where"] or "", " AND ")]
    order = (found["order"] or "").split(", ") if found["order"] else []
    for name in (*names, *order, *(name for one in tests for name in one[0])):
        if not _is_known(name, of, schema):
            return "INVALID_FIELD", f"\nSELECT ^\nERROR at Row:1:Column:8\nNo such column '{name}' on entity '{of}'. If you"
    picked = [row for row in rows.get(of, {}).values() if all(test(row) for _, test in tests)]
    if not with_deleted:
        picked = [row for row in picked if not row.get("IsDeleted")]
    if order:
        picked.sort(key=lambda row: [str(_value(row, name)) for name in order])
    limit = int(found["limit"]) if found["limit"] else len(picked)
    return [_shown(row, of, names) for row in picked[:limit]]


def _is_known(name: str, of: str, schema: Mapping[str, Mapping[str, str]]) -> bool:
    if name in schema[of]:
        return True
    parent, dot, rest = name.partition(".")
    return bool(dot) and parent in schema and rest in schema[parent]


def _shown(row: Row, of: str, names: list[str]) -> Row:
    shown: dict[str, Any] = {"attributes": {"type": of}}
    for name in names:
        parent, dot, rest = name.partition(".")
        if dot:
            inner = row.get(parent)
            shown[parent] = None if inner is None else {**(shown.get(parent) or {}), rest: inner.get(rest)}
        else:
            shown[name] = row.get(name)
    return shown


def _value(row: Row, name: str) -> Any:
    for part in name.split("."):
        row = (row or {}).get(part)  # type: ignore[assignment]
    return row


def _split(text: str, word: str) -> list[str]:
    """The parts between a word outside parentheses and quotes."""
    parts, depth, quoted, start, place = [], 0, False, 0, 0
    while place < len(text):
        one = text[place]
        if quoted and one == "\\":
            place += 1
        elif one == "'":
            quoted = not quoted
        elif not quoted:
            depth += (one == "(") - (one == ")")
            if depth == 0 and text.startswith(word, place):
                parts.append(text[start:place])
                start = place + len(word)
        place += 1
    return [one for one in (*parts, text[start:]) if one]


def _test(text: str) -> tuple[list[str], Callable[[Row], bool]]:
    if text.startswith("("):
        inner = [_test(one) for one in _split(text[1:-1], " OR ")]
        assert len(inner) > 1, text
        return [name for names, _ in inner for name in names], lambda row: any(test(row) for _, test in inner)
    found = _CONDITION.fullmatch(text)
    assert found is not None, text
    name, operator, word = found.groups()
    if operator == "IN":
        assert word.startswith("('")
        values = {_literal(one) for one in _split(word[1:-1], ",")}
        return [name], lambda row: _value(row, name) in values
    value = _literal(word)
    compare: dict[str, Callable[[Any, Any], bool]] = {
        ">=": lambda one, other: one >= other,
        "<=": lambda one, other: one <= other,
        ">": lambda one, other: one > other,
        "<": lambda one, other: one < other,
        "=": lambda one, other: one == other,
    }
    return [name], lambda row: _value(row, name) is not None and compare[operator](_value(row, name), value)


def _literal(word: str) -> Any:
    """A value as the rows hold it; instants in Salesforce's own form, which sorts by time."""
    if word in ("true", "false"):
        return word == "true"
    if word.startswith("'"):
        assert word.endswith("'")
        return re.sub(r"\\(.)", r"\1", word[1:-1])
    assert _STAMP.fullmatch(word), word
    return word.replace("Z", "+0000")
