"""What a write to a row really changes, and the lines that it leaves in the changelog."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connectors.simulators.pipedrive.catalogue import Catalogue
from connectors.simulators.pipedrive.instants import millis, text_time
from connectors.simulators.pipedrive.rows import TIMES, TUPLES, UNWRITABLE, Change, Deal, Row

_UNLOGGED = frozenset({"stage_change_time", "first_won_time", "archive_time", "participants"})


@dataclass(frozen=True, slots=True)
class Edit:
    """The old values of what changed; empty where nothing did. `custom` holds those of custom fields."""

    old: Mapping[str, object]
    custom: Mapping[str, object]

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.old or self.custom)


def split(
    kind: str, row_type: type[Row], fields: Mapping[str, object], catalogue: Catalogue
) -> tuple[dict[str, object], dict[str, object]]:
    """Fields of the row and custom fields apart, custom ones by code or under `custom_fields`. ValueError for unknown ones."""
    custom = catalogue.custom(kind)
    nested = fields.get("custom_fields") or {}
    if not isinstance(nested, Mapping):
        raise TypeError("custom_fields takes a mapping")
    plain: dict[str, object] = {}
    own: dict[str, object] = dict(nested)
    for name, value in fields.items():
        if name in custom:
            own[name] = value
        elif name in row_type.__dataclass_fields__ and name not in UNWRITABLE:
            plain[name] = stored(name, value)
        elif name != "custom_fields":
            raise ValueError(f"{kind} has no field {name}")
    unknown = own.keys() - custom.keys()
    if unknown:
        raise ValueError(f"{kind} has no custom field {sorted(unknown)}")
    return plain, own


def stored(name: str, value: object) -> object:
    """A value as rows keep it."""
    if isinstance(value, datetime):
        return millis(value)
    if name in ("emails", "phones") and isinstance(value, str):
        return ({"value": value, "primary": True, "label": "work"},) if value else ()
    if name in TUPLES and isinstance(value, list):
        return tuple(value)
    return value


def with_consequences(deal: Deal, fields: Mapping[str, object], at_ms: int, catalogue: Catalogue) -> dict[str, object]:
    """The fields of a deal with what Pipedrive sets beside them: pipeline and time of a stage, times of a status."""
    full = dict(fields)
    stage = full.get("stage_id")
    if isinstance(stage, int) and stage != deal.stage_id:
        full["pipeline_id"] = catalogue.stages[stage].pipeline_id
        full["stage_change_time"] = at_ms
    elif full.get("pipeline_id", deal.pipeline_id) != deal.pipeline_id:
        full["stage_id"] = catalogue.stages_of(int(str(full["pipeline_id"])))[0].id
        full["stage_change_time"] = at_ms
    if full.get("status", deal.status) != deal.status:
        full |= _times_of_status(deal, full, at_ms)
    if full.get("is_archived", deal.is_archived) != deal.is_archived:
        full["archive_time"] = at_ms if full["is_archived"] else None
    return full


def apply(row: Row, fields: Mapping[str, object], custom: Mapping[str, object]) -> Edit:
    """Write values and give the old ones of what became different. Empty custom values are not kept."""
    old = {name: getattr(row, name) for name, value in fields.items() if getattr(row, name) != value}
    for name in old:
        setattr(row, name, fields[name])
    old_custom = {code: row.custom.get(code) for code, value in custom.items() if row.custom.get(code) != value}
    if old_custom:
        joined = {**row.custom, **custom}
        row.custom = {code: value for code, value in joined.items() if value is not None}
    return Edit(old, old_custom)


def log(row: Row, edit: Edit, at_ms: int, *, actor: int, source: str, is_bulk: bool) -> None:
    """Put an edit into the row's changelog, whose newest line is its last."""
    pairs = [(name, was, getattr(row, name)) for name, was in edit.old.items() if name not in _UNLOGGED]
    lines = [(name, told(name, was), told(name, now)) for name, was, now in pairs]
    for code, was in edit.custom.items():
        now = row.custom.get(code)
        lines.append((code, told(code, was), told(code, now)))
        if _unit(was) != _unit(now):
            lines.append((f"{code}_currency", _unit(was), _unit(now)))
    row.changes += tuple(Change(*line, at_ms, actor, source, is_bulk) for line in lines if line[1] != line[2])


def told(name: str, value: object) -> str | None:
    """A value as the changelog writes it."""
    match value:
        case None | () | []:
            return None
        case bool():
            return "1" if value else "0"
        case int() if name in TIMES:
            return text_time(value)
        case float() if value.is_integer():
            return str(int(value))
        case Mapping():
            inner = value.get("value", value.get("amount"))
            return None if inner is None else told(name, inner)
        case tuple() | list():
            parts = [told(name, one) for one in value]
            return ",".join(part for part in parts if part is not None) or None
        case _:
            return str(value)


def _unit(value: object) -> str | None:
    unit = value.get("currency") if isinstance(value, Mapping) else None
    return str(unit) if unit else None


def _times_of_status(deal: Deal, full: Mapping[str, object], at_ms: int) -> dict[str, object]:
    match full["status"]:
        case "won":
            won = full.get("won_time") or at_ms
            first = deal.first_won_time if deal.first_won_time is not None else won
            return {"won_time": won, "close_time": won, "lost_time": None, "lost_reason": None, "first_won_time": first}
        case "lost":
            lost = full.get("lost_time") or at_ms
            return {"lost_time": lost, "close_time": lost, "won_time": None}
        case _:
            return {"won_time": None, "lost_time": None, "close_time": None, "lost_reason": None}
