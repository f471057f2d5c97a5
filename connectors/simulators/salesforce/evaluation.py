"""A query over the tables: which rows fit, found by an index where the conditions allow one, in the order asked for."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast

from connectors.simulators.salesforce.catalogue import Field, ObjectType
from connectors.simulators.salesforce.errors import malformed, no_such_column, no_such_type, refusal
from connectors.simulators.salesforce.ids import long_id
from connectors.simulators.salesforce.schema import Schema
from connectors.simulators.salesforce.soql import Comparison, Condition, Junction, Literal, Membership, Not, Order, Query
from connectors.simulators.salesforce.table import Row, Value, value_at
from connectors.simulators.salesforce.values import IDS, NUMBERS

MOST_OFFSET = 2000
MOST_SEMI_JOINS = 2
_KINDS = {"boolean": "boolean", "datetime": "instant", "date": "date"} | dict.fromkeys(NUMBERS, "number")

Getter = Callable[[Row], Value]
Test = Callable[[Row], bool]


@dataclass(frozen=True, slots=True)
class Path:
    """A field that a query names, perhaps of a parent: where it is, and how a row's value is got."""

    steps: tuple[tuple[str, Field], ...]  # (object, field); all but the last are references
    field: Field
    column: int  # of the last step
    get: Getter
    parents: tuple[Getter, ...] = ()  # of the parents on the way, their ids; None where one cannot be seen

    def parent_ids(self, row: Row) -> Iterator[str | None]:
        """The ids of the parents on the way to the field."""
        return (None if (found := get(row)) is None else str(found) for get in self.parents)


class Evaluator:
    """Runs queries over what the user may see. `with_deleted` is queryAll."""

    def __init__(self, schema: Schema, *, with_deleted: bool) -> None:
        self._schema = schema
        self._with_deleted = with_deleted

    def kind(self, entity: str) -> ObjectType:
        """The object that a query is about, or 400 INVALID_TYPE."""
        found = self._schema.kind(entity)
        if found is None:
            raise no_such_type(entity)
        return found

    def rows(self, query: Query) -> list[Row]:
        """The rows that fit, in order."""
        if query.offset > MOST_OFFSET:
            raise refusal(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
        if sum(1 for _ in _semi_joins(query.where)) > MOST_SEMI_JOINS:
            raise malformed("maximum number of semi join sub-selects is 2")
        kind = self.kind(query.entity)
        keys = [(self.path(kind, one.path, "sort"), one) for one in query.order]
        test = self._test(kind, query.where) if query.where else _any_row
        is_sorted = bool(keys) and _is_natural(keys)
        found = (row for row in self._candidates(kind, query, by_instant=keys[0][0].field if is_sorted else None) if test(row))
        stop = None if query.limit is None else query.offset + query.limit
        if is_sorted:
            return list(islice(found, query.offset, stop))
        rows = sorted(found, key=lambda row: row.id)
        for path, order in reversed(keys):
            _sort(rows, path, order)
        return rows[query.offset : stop]

    def path(self, kind: ObjectType, text: str, use: str = "select") -> Path:
        """A field by its path, or 400 INVALID_FIELD where it is not there or not for this use."""
        *relationships, name = text.split(".")
        if (
            relationships
            and relationships[0].lower() == kind.name.lower()
            and self._schema.parent(kind.name, relationships[0]) is None
        ):
            relationships = relationships[1:]
        steps: list[tuple[str, Field]] = []
        entity = kind.name
        for one in relationships:
            link = self._schema.parent(entity, one)
            if link is None or self._schema.kind(link.refers_to) is None:
                message = f"Didn't understand relationship '{one}' in field path."
                raise refusal(400, "INVALID_FIELD", message)
            steps.append((entity, link))
            entity = link.refers_to
        field = self._schema.field(entity, name)
        if field is None:
            raise no_such_column(name, entity)
        if (use == "filter" and not field.is_filterable) or (use == "sort" and not field.is_sortable):
            verb = "filtered" if use == "filter" else "sorted"
            raise refusal(400, "INVALID_FIELD", f"field '{field.name}' can not be {verb} in a query call")
        whole = (*steps, (entity, field))
        parents = [
            self._getter((*whole[:end], (whole[end][0], self._schema.fields[whole[end][0]]["Id"])))
            for end in range(1, len(whole))
        ]
        return Path(whole, field, self._column(entity, field.name), self._getter(whole), tuple(parents))

    def shown(self, kind: ObjectType) -> Test:
        """Tells whether the API shows a row to this kind of query."""
        if self._with_deleted or not kind.has_bin:
            return lambda row: row.shown is not None
        column = self._column(kind.name, "IsDeleted")
        return lambda row: row.shown is not None and not row.shown[column]

    def _getter(self, steps: tuple[tuple[str, Field], ...]) -> Getter:
        column = self._column(steps[0][0], steps[0][1].name)
        if len(steps) == 1:
            return lambda row: value_at(cast("tuple[Value, ...]", row.shown), column)
        parents, rest = self._schema.tables[steps[1][0]].rows, self._getter(steps[1:])

        def of_parent(row: Row) -> Value:
            parent = parents.get(str(value_at(cast("tuple[Value, ...]", row.shown), column)))
            return None if parent is None or parent.shown is None else rest(parent)

        return of_parent

    def _column(self, name: str, field: str) -> int:
        return self._schema.tables[name].columns[field]

    def _candidates(self, kind: ObjectType, query: Query, by_instant: Field | None) -> Iterator[Row]:
        """Rows that may fit: few where ids or a window are given; in order of an instant where that is asked for."""
        table = self._schema.tables[kind.name]
        ids = self._by_ids(kind, query.where)
        if ids is not None and by_instant is None:
            found: Iterable[Row] = ids
        elif ids is not None and by_instant is not None:
            column = table.columns[by_instant.name]
            held = [row for row in ids if row.shown is not None and value_at(row.shown, column) is not None]
            found = sorted(held, key=lambda row: (cast("int", value_at(cast("tuple[Value, ...]", row.shown), column)), row.id))
        else:
            field = by_instant or next(iter(self._bounded(kind, query.where)), None)
            found = (
                table.rows.values()
                if field is None
                else table.ordered(field.name).between(*self._bounds(kind, query.where, field))
            )
        return filter(self.shown(kind), found)

    def _bounded(self, kind: ObjectType, condition: Condition | None) -> Iterator[Field]:
        """The instants that every fitting row has inside bounds."""
        for name in ("SystemModstamp", "CreatedDate", "LastModifiedDate"):
            field = self._schema.field(kind.name, name)
            if field is not None and self._bounds(kind, condition, field) != (-math.inf, math.inf):
                yield field

    def _bounds(self, kind: ObjectType, condition: Condition | None, field: Field) -> tuple[float, float]:
        match condition:
            case Comparison(path, sign, Literal("instant", value)) if path.lower() == field.name.lower():
                instant = cast("float", value)
                low = instant if sign in ("=", ">", ">=") else -math.inf
                return low, instant if sign in ("=", "<", "<=") else math.inf
            case Junction(word, parts):
                bounds = [self._bounds(kind, one, field) for one in parts]
                lows, highs = [low for low, _ in bounds], [high for _, high in bounds]
                return (max(lows), min(highs)) if word == "and" else (min(lows), max(highs))
            case _:
                return -math.inf, math.inf

    def _by_ids(self, kind: ObjectType, condition: Condition | None) -> list[Row] | None:
        """The rows that ids in the conditions lead to; None where no id limits them."""
        match condition:
            case Comparison(path, "=", literal) if literal.kind == "text":
                return self._with_ids(kind, path, [literal.value])
            case Membership(path, among, False) if (field := self._schema.field(kind.name, path)) and field.type in IDS:
                values = self._values(among)
                return self._with_ids(kind, path, values)
            case Junction("and", parts):
                found = [one for one in (self._by_ids(kind, part) for part in parts) if one is not None]
                return min(found, key=len, default=None)
            case Junction("or", parts):
                each = [self._by_ids(kind, part) for part in parts]
                if any(one is None for one in each):
                    return None
                return list({row.id: row for rows in each for row in rows or ()}.values())
            case _:
                return None

    def _with_ids(self, kind: ObjectType, path: str, values: Iterable[Value]) -> list[Row] | None:
        field = self._schema.field(kind.name, path)
        if field is None or field.type not in IDS:
            return None
        table = self._schema.tables[kind.name]
        ids = {_id(one, field) for one in values if one is not None}
        if any(one is None for one in values):
            return None
        if field.name == "Id":
            return [table.rows[one] for one in ids if one in table.rows]
        index = table.by_value(field.name)
        return [row for one in ids for row in index.get(one, ())]

    def _values(self, among: "tuple[Literal, ...] | Query") -> list[Value]:
        if isinstance(among, Query):
            kind = self.kind(among.entity)
            if len(among.paths) != 1:
                raise malformed("semi join sub-selects must select exactly one field")
            get = self.path(kind, among.paths[0]).get
            return [value for row in self.rows(among) if (value := get(row)) is not None]
        return [one.value for one in among]

    def _test(self, kind: ObjectType, condition: Condition, depth: int = 0) -> Test:
        match condition:
            case Comparison(text, sign, literal):
                path = self.path(kind, text, "filter")
                return _compared(path, sign, literal)
            case Membership(text, among, is_negated):
                if isinstance(among, Query) and depth > 1:
                    raise malformed("Semi join sub-selects are only allowed at the top level WHERE expressions")
                return self._member(self.path(kind, text, "filter"), among, is_negated=is_negated)
            case Not(inner):
                turned = self._test(kind, inner, depth + 1)
                return lambda row: not turned(row)
            case Junction(word, parts):
                deeper = depth + (1 if word == "and" else 2)
                tests = [self._test(kind, one, deeper) for one in parts]
                joined = all if word == "and" else any
                return lambda row: joined(test(row) for test in tests)

    def _member(self, path: Path, among: "tuple[Literal, ...] | Query", *, is_negated: bool) -> Test:
        if not isinstance(among, Query):
            among = tuple(_checked(path.field, one) for one in among)
        wanted, get = {_folded(path.field, one) for one in self._values(among)}, path.get
        return lambda row: (_folded(path.field, get(row)) in wanted) is not is_negated


def _compared(path: Path, sign: str, literal: Literal) -> Test:
    """One comparison: texts in any case, ids with 15 or 18 characters; only = and != know null."""
    get, field = path.get, path.field
    if sign == "like":
        if literal.kind != "text" or field.type in (*NUMBERS, "boolean", "date", "datetime", *IDS):
            raise refusal(400, "INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on field '{field.name}'")
        pattern = _like(str(literal.value))
        return lambda row: isinstance(value := get(row), str) and pattern.fullmatch(value) is not None
    wanted = _folded(field, _checked(field, literal).value)
    if sign == "=":
        return lambda row: _folded(field, get(row)) == wanted
    if sign == "!=":
        return lambda row: _folded(field, get(row)) != wanted
    compare = _COMPARE[sign]
    if wanted is None or field.type == "boolean":
        raise refusal(400, "INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on field '{field.name}'")
    return lambda row: (value := _folded(field, get(row))) is not None and compare(value, wanted)


_COMPARE: dict[str, Callable[[object, object], bool]] = {
    "<": lambda one, other: one < other,  # type: ignore[operator]  # both are of the field's type
    "<=": lambda one, other: one <= other,  # type: ignore[operator]  # as above
    ">": lambda one, other: one > other,  # type: ignore[operator]  # as above
    ">=": lambda one, other: one >= other,  # type: ignore[operator]  # as above
}


def _checked(field: Field, literal: Literal) -> Literal:
    """A literal that fits its field, or 400 in the vendor's words."""
    needed = _KINDS.get(field.type, "text")
    if literal.kind in (needed, "null"):
        return Literal(literal.kind, _id(literal.value, field)) if literal.kind == "text" and field.type in IDS else literal
    quoted = " and should not be enclosed in quotes" if literal.kind == "text" else ""
    spoken = {"instant": "dateTime", "text": "string"}.get(needed, needed)
    message = f"value of filter criterion for field '{field.name}' must be of type {spoken}{quoted}"
    raise refusal(400, "INVALID_FIELD", message)


def _id(value: Value, field: Field) -> str:
    try:
        return long_id(str(value))
    except ValueError as error:
        raise refusal(400, "INVALID_QUERY_FILTER_OPERATOR", f"{field.name}: invalid ID field: {str(value)[:18]}") from error


def _folded(field: Field, value: Value) -> Value:
    if field.type == "boolean":
        return bool(value)
    return value.casefold() if isinstance(value, str) and field.type not in IDS else value


def _like(text: str) -> re.Pattern[str]:
    parts = re.findall(r"\\[%_]|.", text, re.DOTALL)
    signs = {"%": ".*", "_": "."}
    return re.compile("".join(signs.get(one) or re.escape(one[-1]) for one in parts), re.IGNORECASE | re.DOTALL)


def _is_natural(keys: list[tuple[Path, Order]]) -> bool:
    """Whether the order is that of an index: an instant that is never null, upwards, then perhaps Id."""
    paths = [path for path, order in keys if not order.is_descending and len(path.steps) == 1]
    if len(paths) != len(keys) or paths[0].field.type != "datetime" or paths[0].field.is_nillable:
        return False
    return [path.field.name for path in paths[1:]] in ([], ["Id"])


def _sort(rows: list[Row], path: Path, order: Order) -> None:
    """Sort by one key, keeping the order of equals."""
    get, field = path.get, path.field

    def key(row: Row) -> tuple[bool, object]:
        value = _folded(field, get(row))
        has_nulls_above = order.has_nulls_last is not order.is_descending
        return (value is None) is has_nulls_above, 0 if value is None else value

    rows.sort(key=key, reverse=order.is_descending)


def _semi_joins(condition: Condition | None) -> Iterator[Query]:
    match condition:
        case Membership(_, Query() as query, _):
            yield query
        case Not(inner):
            yield from _semi_joins(inner)
        case Junction(_, parts):
            for one in parts:
                yield from _semi_joins(one)
        case _:
            return


def _any_row(_: Row) -> bool:
    return True
