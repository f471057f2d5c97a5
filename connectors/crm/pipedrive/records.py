"""Pipedrive's JSON becomes records and people (pure). Their entries are made in history.py."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from connectors.contract.currencies import CURRENCIES
from connectors.contract.records import Entry, ObjectKind, PersonLink, Record, RecordRef, RecordState
from connectors.contract.selection import ObjectSelection
from connectors.crm.pipedrive.objects import CURRENCY, CUSTOM_KEY, DELETED, OBJECTS, PIPELINE, SOURCE_LEAD, STAGE, STATUS, VALUE
from connectors.crm.pipedrive.replies import (
    instant,
    is_record_id,
    json_object,
    json_objects,
    optional_id,
    optional_second,
    record_id,
    text,
)
from connectors.http.strict_json import Json, is_true

_MULTIPLE: Mapping[str, str] = {"email": "emails", "phone": "phones"}


def row_id(kind: ObjectKind, row: Json) -> str:
    """The id of a row."""
    return record_id(kind, row.get("id"), f"a {kind}'s `id`")


def modified_at(kind: ObjectKind, row: Json) -> datetime:
    """When a row was last modified; one never modified, when it was added."""
    return instant(row.get("update_time") or row.get("add_time"), f"a {kind}'s `update_time`")


def created_at(kind: ObjectKind, row: Json) -> datetime | None:
    """When a row was added."""
    return optional_second(row.get("add_time"), f"a {kind}'s `add_time`")


def is_deleted(row: Json) -> bool:
    """Whether the row is in the recycle bin, where Pipedrive keeps it for 30 days."""
    return is_true(row.get("is_deleted")) or row.get(STATUS) == DELETED


def record_of(kind: ObjectKind, row: Json, chosen: ObjectSelection, entries: Sequence[Entry] = ()) -> Record:
    """One row of a list, or of a single read."""
    ref = RecordRef(kind, row_id(kind, row))
    if is_deleted(row):
        return deleted_record(ref, modified_at(kind, row))
    source_lead = source_lead_of(kind, row)
    company = OBJECTS[kind].company
    company_id = None if company is None else optional_id(ObjectKind.COMPANY, row.get(company), f"a {kind}'s `{company}`")
    return Record(
        ref=ref,
        modified_at=modified_at(kind, row),
        created_at=created_at(kind, row),
        fields={name: field_of(kind, row, name) for name in sorted(chosen.fields)},
        entries=tuple(entries),
        people=people_of(kind, row),
        company=None if company_id is None else RecordRef(ObjectKind.COMPANY, company_id),
        pipeline=text(row.get(PIPELINE), f"a {kind}'s `{PIPELINE}`") if kind is ObjectKind.DEAL else None,
        stage=text(row.get(STAGE), f"a {kind}'s `{STAGE}`") if kind is ObjectKind.DEAL else None,
        converted_from=() if source_lead is None else (source_lead,),
    )


def deleted_record(ref: RecordRef, at: datetime) -> Record:
    """What stands for a record that Pipedrive no longer shows."""
    return Record(ref, modified_at=at, state=RecordState.DELETED)


def person_id_of(kind: ObjectKind, row: Json) -> str | None:
    """The person on a deal or lead."""
    return optional_id(ObjectKind.CONTACT, row.get("person_id"), f"a {kind}'s `person_id`")


def source_lead_of(kind: ObjectKind, row: Json) -> RecordRef | None:
    """The lead that became this deal; Pipedrive shows it no longer."""
    found = row.get(SOURCE_LEAD) if kind is ObjectKind.DEAL else None
    return RecordRef(ObjectKind.LEAD, found) if isinstance(found, str) and is_record_id(ObjectKind.LEAD, found) else None


def people_of(kind: ObjectKind, row: Json) -> tuple[PersonLink, ...] | None:
    """The person on a deal or lead; on a deal that has none, the lead that it came from."""
    if kind not in (ObjectKind.DEAL, ObjectKind.LEAD):
        return None
    person, lead = person_id_of(kind, row), source_lead_of(kind, row)
    if person is not None:
        return (PersonLink(RecordRef(ObjectKind.CONTACT, person), is_primary=True),)
    return () if lead is None else (PersonLink(lead),)


def field_of(kind: ObjectKind, row: Json, name: str) -> str | None:
    """One property as text. `<name>.<part>` is a part of it (`postal_address.country`, a money field's `.currency`)."""
    whole, _, part = name.partition(".")
    if whole in _MULTIPLE and kind is ObjectKind.CONTACT and not part:
        return _primary(row.get(_MULTIPLE[whole], row.get(whole)), whole)
    if kind is ObjectKind.LEAD and whole in (VALUE, CURRENCY) and not part:
        return _money_part(json_object(row.get(VALUE) or {}, "a lead's `value`"), "amount" if whole == VALUE else CURRENCY)
    if kind is ObjectKind.DEAL and whole in (VALUE, CURRENCY) and not part:
        return _money_part(row, whole)
    if CUSTOM_KEY.fullmatch(whole):
        return _custom(row, whole, part)
    return _part(row.get(whole), part or "value", f"`{name}`") if part else _plain(row.get(whole), f"`{name}`")


def _money_part(money: Json, name: str) -> str | None:
    """Amount or currency of a deal's or lead's value. Pipedrive shows an empty value as 0, so there 0 is missing.

    Companies may define units of their own ("users"): such an amount is no money, and none is better than one in the
    account's currency.
    """
    currency = text(money.get(CURRENCY), "a value's currency")
    if _is_own_unit(currency):
        return None
    found = currency if name == CURRENCY else text(money.get(name), "a value's amount")
    return None if name != CURRENCY and is_zero(found) else found


def is_zero(amount: str | None) -> bool:
    """True for an amount of nothing, however it is written."""
    return amount is not None and bool(amount) and not amount.strip("0.-")


def _custom(row: Json, key: str, part: str) -> str | None:
    """A custom field: nested in v2; flat in v1 (leads), where its parts stand beside it as `<key>_<part>`."""
    nested = json_object(row.get("custom_fields") or {}, "a row's `custom_fields`")
    value = nested.get(key, row.get(key))
    if isinstance(value, Mapping):
        is_amount = part in ("", VALUE, CURRENCY)
        return (
            None if is_amount and _is_own_unit(value.get(CURRENCY)) else _part(value, part or _main_part(value), "a custom field")
        )
    if part != CURRENCY and part:
        return text(row.get(f"{key}_{part}"), "a part of a custom field")
    currency = row.get(f"{key}_{CURRENCY}")
    if _is_own_unit(currency):
        return None
    return text(currency, "a custom field's currency") if part else _plain(value, "a custom field")


def _is_own_unit(currency: object) -> bool:
    """True for a currency that is none of the world's: the company made it."""
    return isinstance(currency, str) and bool(currency) and currency.upper() not in CURRENCIES


def _main_part(value: Json) -> str:
    """A chosen option is told by its id where labels are asked for; all others have a value."""
    return "id" if VALUE not in value and "id" in value else VALUE


def _part(value: object, part: str, what: str) -> str | None:
    return text(value.get(part), what) if isinstance(value, Mapping) else None


def _plain(value: object, what: str) -> str | None:
    """Text of a scalar; the ids of a list, sorted and with commas between."""
    match value:
        case list():
            ids = [text(one.get("id") if isinstance(one, Mapping) else one, what) or "" for one in value]
            return ",".join(sorted((one for one in ids if one), key=_in_order)) or None
        case Mapping():
            return text(value.get(_main_part(value)), what)
        case _:
            return text(value, what)


def _in_order(one: str) -> tuple[int, str]:
    return (len(one), one) if one.isdigit() else (0, one)


def _primary(values: object, what: str) -> str | None:
    """The value that is marked as primary, else the first; empty ones are skipped (Pipedrive keeps them)."""
    if isinstance(values, str):
        return values.strip() or None
    listed = [
        (text(one.get("value"), f"a person's `{what}`") or "", is_true(one.get("primary")))
        for one in json_objects(values, f"a person's `{what}`")
    ]
    filled = [(value.strip(), primary) for value, primary in listed if value.strip()]
    return next((value for value, primary in filled if primary), filled[0][0] if filled else None)
