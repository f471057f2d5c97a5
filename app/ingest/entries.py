"""Which entries that a CRM tells are not stored yet, and entries as rows (pure)."""

from collections.abc import Mapping, Sequence

from app.db.instants import to_ms
from connectors.contract.records import Entry, EntryOrigin


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
