"""Rows of the store as the engine reads them: records with opened fields and entries, and conversions (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from app.db.instants import from_ms, optional_from_ms
from app.mapping.aggregate import ConversionState, EndReason, EntryKey, KnownRecord, ValueState
from app.secrets import Keyring
from connectors.contract.conversions import Money
from connectors.contract.records import Entry, EntryOrigin, RecordRef, RecordState


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A row of `records`; `fields_sealed` is opened by the caller."""

    id: int
    ref: RecordRef
    lead_id: int | None
    merged_into: int | None
    state: str
    pipeline: str | None
    stage: str | None
    company_ref: str | None
    created_at: int | None
    modified_at: int
    fields_sealed: bytes


def known_record(
    keyring: Keyring,
    row: RecordRow,
    fields: Mapping[str, str | None] | None,
    history: Sequence[Mapping[str, object]],
    fresh: Mapping[int, frozenset[EntryKey]],
) -> KnownRecord:
    """A row with its entries; `fields` are those just read, None where the sealed ones hold. `fresh`: entries that are new."""
    return KnownRecord(
        id=row.id,
        ref=row.ref,
        state=RecordState(row.state),
        modified_at=from_ms(row.modified_at),
        created_at=optional_from_ms(row.created_at),
        fields=orjson.loads(keyring.open(row.fields_sealed)) if fields is None else fields,
        entries=tuple(map(_entry, history)),
        pipeline=row.pipeline,
        stage=row.stage,
        company_ref=row.company_ref,
        merged_into=row.merged_into,
        fresh=fresh.get(row.id, frozenset()),
    )


def _entry(row: Mapping[str, object]) -> Entry:
    return Entry(
        property=str(row["property"]),
        value=str(row["value"]),
        entered_at=from_ms(int(str(row["entered_at"]))),
        pipeline=None if row["pipeline"] is None else str(row["pipeline"]),
        origin=EntryOrigin(str(row["origin"])),
        is_approximate=bool(row["approximate"]),
        vendor_ref=None if row["vendor_ref"] is None else str(row["vendor_ref"]),
    )


def labels_in(text: str) -> tuple[str, ...]:
    """The labels of a person on a deal."""
    return tuple(label for label in text.split("\n") if label)


def conversion_state(row: Mapping[str, object], *, is_tried: bool, is_withdrawn: bool) -> ConversionState:
    """A row of `conversions`; `is_tried` and `is_withdrawn` are known by its deliveries."""
    amount, currency, nominal = row["amount_micros"], row["currency"], row["nominal_micros"]
    return ConversionState(
        uid=str(row["uid"]),
        milestone=str(row["milestone"]),
        scope_kind=str(row["scope_kind"]),
        scope_key=str(row["scope_key"]),
        occurrence=_integer(row["occurrence"]),
        record_id=_integer(row["record_id"]),
        lead_id=_optional(row["lead_id"]),
        occurred_at=from_ms(_integer(row["occurred_at"])),
        is_implied=bool(row["implied"]),
        is_live=bool(row["live"]),
        mapping_version=_integer(row["mapping_version"]),
        value_state=ValueState(str(row["value_state"])),
        money=Money(_integer(amount), str(currency)) if amount is not None else None,
        value_basis=str(row["value_basis"]),
        value_why=str(row["value_why"]),
        explain=str(row["explain"]),
        duplicate_of=None if row["duplicate_of"] is None else str(row["duplicate_of"]),
        ended_at=optional_from_ms(_optional(row["ended_at"])),
        ended_why=None if row["ended_why"] is None else EndReason(str(row["ended_why"])),
        is_tried=is_tried,
        is_withdrawn=is_withdrawn,
        nominal=None if nominal is None else Money(_integer(nominal), str(row["nominal_currency"])),
    )


def _integer(value: object) -> int:
    return int(str(value))


def _optional(value: object) -> int | None:
    return None if value is None else _integer(value)
