"""A page as it came from the CRM, made ready: text that every store takes, one reading of each record (pure)."""

from collections.abc import Sequence
from dataclasses import replace

from connectors.contract.records import Entry, PersonLink, Record, RecordRef


def readings_of(page: Sequence[Record]) -> list[Record]:
    """One reading a record: of the newest modification, with what only another of its readings tells."""
    best: dict[RecordRef, Record] = {}
    for record in map(clean_record, page):
        before = best.get(record.ref)
        if before is None:
            best[record.ref] = record
            continue
        newer, older = (record, before) if record.modified_at >= before.modified_at else (before, record)
        best[record.ref] = replace(
            newer,
            people=newer.people if newer.people is not None else older.people,
            entries=tuple(dict.fromkeys((*newer.entries, *older.entries))),
            merged_ids=tuple(dict.fromkeys((*newer.merged_ids, *older.merged_ids))),
            converted_from=tuple(dict.fromkeys((*newer.converted_from, *older.converted_from))),
        )
    return list(best.values())


def clean_text(text: str) -> str:
    """Without NUL, which PostgreSQL refuses, and lone surrogates, which no encoding of ours takes."""
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    return text.encode("utf-8", "ignore").decode().replace("\0", "")


def clean_record(record: Record) -> Record:
    """The same record where its text is sound, as it is nearly always."""
    fields = {clean_text(name): value and clean_text(value) for name, value in record.fields.items()}
    people = None if record.people is None else tuple(map(_clean_link, record.people))
    return replace(
        record,
        ref=_clean_ref(record.ref),
        fields=fields,
        entries=tuple(map(_clean_entry, record.entries)),
        people=people,
        company=record.company and _clean_ref(record.company),
        pipeline=record.pipeline and clean_text(record.pipeline),
        stage=record.stage and clean_text(record.stage),
        merged_into=record.merged_into and _clean_ref(record.merged_into),
        merged_ids=tuple(map(clean_text, record.merged_ids)),
        converted_from=tuple(map(_clean_ref, record.converted_from)),
    )


def _clean_ref(ref: RecordRef) -> RecordRef:
    clean = clean_text(ref.external_id)
    return ref if clean is ref.external_id else RecordRef(ref.kind, clean)


def _clean_entry(entry: Entry) -> Entry:
    parts = (entry.property, entry.value, entry.pipeline or "", entry.vendor_ref or "")
    if all(part.isascii() and "\0" not in part for part in parts):
        return entry
    return replace(
        entry,
        property=clean_text(entry.property),
        value=clean_text(entry.value),
        pipeline=entry.pipeline and clean_text(entry.pipeline),
        vendor_ref=entry.vendor_ref and clean_text(entry.vendor_ref),
    )


def _clean_link(link: PersonLink) -> PersonLink:
    return replace(link, ref=_clean_ref(link.ref), labels=tuple(map(clean_text, link.labels)))
