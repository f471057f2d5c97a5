"""Rows of the store as the engine reads them: opened fields, entries; and entries as rows (pure)."""

from collections.abc import Mapping, Sequence

import orjson

from app.db.instants import from_ms, optional_from_ms, to_ms
from app.ingest.repository import RecordRow
from app.ingest.storing import Fields
from app.mapping.aggregate import EntryKey, KnownRecord
from app.secrets import Keyring
from connectors.contract.records import Entry, EntryOrigin, RecordState


def known_record(
    keyring: Keyring,
    row: RecordRow,
    fields: Fields | None,
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


def unseen(stored: Sequence[Mapping[str, object]], told: Sequence[Entry]) -> dict[tuple[str, int, str], Entry]:
    """The entries that are not stored yet. What a poll observed counts only where it differs from what was held before it."""
    before = {(str(row["property"]), int(str(row["entered_at"])), str(row["value"])) for row in stored}
    new: dict[tuple[str, int, str], Entry] = {}
    held = [*before]
    for one in sorted(told, key=lambda entry: (entry.origin is EntryOrigin.OBSERVED, entry.entered_at)):
        key = (one.property, to_ms(one.entered_at), one.value)
        if key in before:
            continue
        if one.origin is EntryOrigin.OBSERVED:
            earlier = ((at, value) for name, at, value in held if name == one.property and at <= key[1])
            if max(earlier, default=(0, ""))[1] == one.value:
                continue
        held.append(key)
        new.setdefault(key, one)
    return new


def entry_row(record_id: int, at: int, entry: Entry) -> dict[str, object]:
    """An entry as it is stored; `at` in epoch milliseconds."""
    return {
        "record_id": record_id,
        "property": entry.property,
        "entered_at": at,
        "value": entry.value,
        "pipeline": entry.pipeline,
        "origin": entry.origin.value,
        "approximate": entry.is_approximate,
        "vendor_ref": entry.vendor_ref,
    }
