"""Search: what the index shows, by ranges of the cursor property where the filters allow, otherwise by a remembered scan."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice

from connectors.simulators.hubspot.calls import Answer, Call
from connectors.simulators.hubspot.catalogue import ObjectType
from connectors.simulators.hubspot.errors import Json
from connectors.simulators.hubspot.filters import Filter, Group, SearchRequest, comparable, matches, parse_search
from connectors.simulators.hubspot.index import HIGHEST_ID, LOWEST_ID, Key, SortedKeys
from connectors.simulators.hubspot.objects import told
from connectors.simulators.hubspot.portal import Portal
from connectors.simulators.hubspot.records import StoredRecord, Version
from connectors.simulators.hubspot.shelf import Shelf

_FIRST: Key = (-(1 << 62), LOWEST_ID)
_LAST: Key = (1 << 62, HIGHEST_ID)
_TEXT_PROPERTIES = ("email", "firstname", "lastname", "phone", "dealname", "name", "domain", "hs_lead_name")


@dataclass(frozen=True, slots=True)
class Range:
    """Keys from `low` to below `high`, and the filters that the range does not settle."""

    low: Key
    high: Key
    rest: Group

    @property
    def is_one_instant(self) -> bool:
        """Whether all keys have the same cursor value, so that they are in order of id."""
        return self.low[0] == self.high[0]


class Searcher:
    """Answers the searches of one portal. It remembers the last scan, so that paging through it does not scan again."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._seen: dict[str, tuple[tuple[int, int], SearchRequest, list[int]]] = {}
        self._having: dict[str, tuple[tuple[int, int], frozenset[str], SortedKeys]] = {}

    def __call__(self, call: Call, /) -> Answer:
        """Answer a search."""
        kind = call.kind()
        asked = parse_search(call.body, self._portal.properties[kind.name])
        shelf = self._portal.shelves[kind.name]
        shelf.catch_up(call.now_ms)
        total, ids = self._page(kind, shelf, asked)
        results = [self._told(kind, shelf.records[one], asked) for one in ids]
        body: Json = {"total": total, "results": results}
        after = asked.offset + len(results)
        if after < total:
            body["paging"] = {"next": {"after": str(after)}}
        return Answer(body)

    def _page(self, kind: ObjectType, shelf: Shelf, asked: SearchRequest) -> tuple[int, Iterable[int]]:
        ranges = [_range(kind, group) for group in asked.groups] or [Range(_FIRST, _LAST, ())]
        if len(ranges) == 1 and not ranges[0].rest and not asked.text and _is_in_order(kind, ranges[0], asked):
            return _slice(shelf, ranges[0], asked)
        names = _wanted(ranges) if _is_upward(kind, asked) and not asked.text else None
        if names is not None:
            return _slice_without(shelf, self._with_any(kind, shelf, names), ranges[0], asked)
        found = self._scan(kind, shelf, ranges, asked)
        return len(found), found[asked.offset : asked.offset + asked.limit]

    def _with_any(self, kind: ObjectType, shelf: Shelf, names: frozenset[str]) -> SortedKeys:
        """The index of the records that have one of these properties; all of it where none is named."""
        if not names:
            return shelf.index
        stamp = (shelf.index.stamp, self._portal.associations.stamp)
        kept = self._having.get(kind.name)
        if kept and kept[:2] == (stamp, names):
            return kept[2]
        having = SortedKeys()
        for key in shelf.index.slice(0, len(shelf.index)):
            if any(self._value(shelf.records[key[1]], name) for name in names):
                having.add(key)
        self._having[kind.name] = (stamp, names, having)
        return having

    def _scan(self, kind: ObjectType, shelf: Shelf, ranges: list[Range], asked: SearchRequest) -> list[int]:
        question = replace(asked, limit=0, offset=0, properties=())
        stamp = (shelf.index.stamp, self._portal.associations.stamp)
        seen = self._seen.get(kind.name)
        if seen and seen[:2] == (stamp, question):
            return seen[2]
        found = self._sorted(shelf, {one for span in ranges for one in self._matching(shelf, span, asked.text)}, asked)
        self._seen[kind.name] = (stamp, question, found)
        return found

    def _sorted(self, shelf: Shelf, ids: set[int], asked: SearchRequest) -> list[int]:
        """Ids in the order asked for, records without a value last; by id where no order is asked for."""
        if asked.sort is None:
            return sorted(ids)
        prop, is_descending = asked.sort
        texts = [(self._value(shelf.records[one], prop.name), one) for one in sorted(ids)]
        present = [(comparable(prop, text), one) for text, one in texts if text]
        present.sort(key=_sort_key, reverse=is_descending)
        return [one for _, one in present] + [one for text, one in texts if not text]

    def _matching(self, shelf: Shelf, span: Range, text: str) -> Iterator[int]:
        for _, one in shelf.index.slice(shelf.index.rank(span.low), shelf.index.rank(span.high)):
            record = shelf.records[one]
            if text and not self._has_text(record, text.lower()):
                continue
            if matches(span.rest, lambda name, record=record: self._value(record, name)):  # type: ignore[misc]  # bound per record
                yield one

    def _has_text(self, record: StoredRecord, text: str) -> bool:
        return any(text in (_shown(record).values.get(name) or "").lower() for name in _TEXT_PROPERTIES)

    def _value(self, record: StoredRecord, name: str) -> str | None:
        return self._portal.values.of(record, _shown(record), name)

    def _told(self, kind: ObjectType, record: StoredRecord, asked: SearchRequest) -> Json:
        return told(self._portal, kind, record, _shown(record), asked.properties)


def _shown(record: StoredRecord) -> Version:
    return record.indexed or record.version


def _sort_key(item: tuple[Decimal | str, int]) -> tuple[bool, Decimal, str]:
    value, _ = item
    return (False, value, "") if isinstance(value, Decimal) else (True, Decimal(0), value)


def _is_in_order(kind: ObjectType, span: Range, asked: SearchRequest) -> bool:
    if asked.sort is None:
        return span.is_one_instant
    name = asked.sort[0].name
    return name == kind.cursor or (name == "hs_object_id" and span.is_one_instant)


def _slice(shelf: Shelf, span: Range, asked: SearchRequest) -> tuple[int, list[int]]:
    low, high = shelf.index.rank(span.low), shelf.index.rank(span.high)
    total = max(high - low, 0)
    start, stop = min(asked.offset, total), min(asked.offset + asked.limit, total)
    if asked.sort and asked.sort[1]:
        ids = [one for _, one in shelf.index.slice(high - stop, high - start)]
        return total, ids[::-1]
    return total, [one for _, one in shelf.index.slice(low + start, low + stop)]


def _is_upward(kind: ObjectType, asked: SearchRequest) -> bool:
    return asked.sort is not None and asked.sort[0].name == kind.cursor and not asked.sort[1]


def _wanted(ranges: list[Range]) -> frozenset[str] | None:
    """The properties of which one is wanted, where the groups ask for nothing else but one span without some ids; else None."""
    names: set[str] = set()
    for span in ranges:
        has = [one.property.name for one in span.rest if one.operator == "HAS_PROPERTY"]
        others = [one for one in span.rest if one.operator != "HAS_PROPERTY"]
        if any(one.property.name != "hs_object_id" or one.operator != "NOT_IN" for one in others) or len(has) > 1:
            return None
        if span.low != ranges[0].low or span.high != ranges[0].high or others != _left_out(ranges[0]):
            return None
        if len(ranges) > 1 and not has:
            return None
        names.update(has)
    return frozenset(names)


def _left_out(span: Range) -> list[Filter]:
    return [one for one in span.rest if one.operator == "NOT_IN"]


def _slice_without(shelf: Shelf, index: SortedKeys, span: Range, asked: SearchRequest) -> tuple[int, list[int]]:
    """A slice of an index without some ids, so that a long window is not scanned for each of its pages."""
    left_out = {int(operand) for one in _left_out(span) for operand in one.operands if isinstance(operand, Decimal)}
    shown = [(shelf.records[one].indexed, one) for one in left_out if one in shelf.records]
    keys = [(version.modified_ms, one) for version, one in shown if version]
    inside = [key for key in keys if span.low <= key < span.high and index.holds(key)]
    low, high = index.rank(span.low), index.rank(span.high)
    total = max(high - low, 0) - len(inside)
    there = (one for _, one in index.slice(low, high) if one not in left_out)
    return total, list(islice(there, asked.offset, asked.offset + asked.limit))


def _range(kind: ObjectType, group: Group) -> Range:
    """The span of keys that a group's filters of the cursor property leave, ids too where that is one instant."""
    low, high = _FIRST[0], _LAST[0]
    rest: list[Filter] = []
    for one in group:
        bounds = _bounds(one) if one.property.name == kind.cursor else None
        if bounds is None:
            rest.append(one)
        else:
            low, high = max(low, bounds[0]), min(high, bounds[1])
    if low > high:
        return Range(_LAST, _LAST, ())
    first, last = LOWEST_ID, HIGHEST_ID
    if low == high:
        for one in [one for one in rest if one.property.name == "hs_object_id"]:
            bounds = _bounds(one)
            if bounds is not None:
                rest.remove(one)
                first, last = max(first, bounds[0]), min(last, bounds[1] + 1)
    return Range((low, first), (high, max(first, last)), tuple(rest))


def _bounds(one: Filter) -> tuple[int, int] | None:
    """The whole numbers that a filter lets through, both ends included; None where it is no such filter."""
    operands = [int(operand) for operand in one.operands if isinstance(operand, Decimal) and operand == int(operand)]
    if not operands or len(operands) != len(one.operands):
        return None
    match one.operator:
        case "EQ":
            return operands[0], operands[0]
        case "GT":
            return operands[0] + 1, _LAST[0]
        case "GTE":
            return operands[0], _LAST[0]
        case "LT":
            return _FIRST[0], operands[0] - 1
        case "LTE":
            return _FIRST[0], operands[0]
        case "BETWEEN":
            return operands[0], operands[1]
        case _:
            return None
