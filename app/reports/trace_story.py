"""What the active mapping makes of a lead as it is stored: why a milestone has no conversion, and what excludes one (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import orjson
from sqlalchemy import RowMapping

from app.connections.schema_codec import decode_schema
from app.db.instants import from_ms
from app.mapping.aggregate import AccountFacts, Aggregate, Deal, DealPerson, Person, by_survival
from app.mapping.conditions import Check
from app.mapping.document import MappingDocument, parse_document
from app.mapping.engine import principal
from app.mapping.explaining import UNREACHED_SENTENCES, Explainer, Missing, Unreached
from app.mapping.mistakes import DocumentInvalid
from app.mapping.opening import RecordRow, conversion_state, known_record, labels_in
from app.outbox.states import Reason
from app.reports.trace_model import UnreachedTrace
from app.reports.trace_rows import Stored
from app.secrets import Keyring, SecretsUnreadable
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import SourceSchema


@dataclass(frozen=True, slots=True)
class Story:
    """What the mapping says beside the rows. `targets`: by destination, the milestones that go there.

    `excluded`: by conversion's uid and destination, the comparisons of the condition that excludes it.
    """

    targets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unreached: tuple[UnreachedTrace, ...] = ()
    excluded: Mapping[tuple[str, str], tuple[Check, ...]] = field(default_factory=dict)


def company_milestones(source: RowMapping) -> tuple[str, ...]:
    """The names of the milestones that the active mapping counts once a company."""
    mapping = _mapping_of(source)
    return () if mapping is None else tuple(one.name for one in mapping[0].milestones if one.once_per == "company")


def told_story(source: RowMapping, stored: Stored, keyring: Keyring) -> Story:
    """The story of a lead, or of a deal that has nobody; an empty one where no mapping is active."""
    mapping = _mapping_of(source)
    if mapping is None:
        return Story()
    document, facts = mapping
    targets = {
        name: [one.name for one in document.milestones if settings.get(one.name) is not None]
        for name, settings in document.destinations.items()
    }
    gone = stored.lead is not None and (stored.lead["is_erased"] or stored.lead["is_purged"])
    try:
        explainer = None if gone else _explainer(stored, keyring, document, facts)
    except SecretsUnreadable:
        return Story(targets, _told(_all(document, stored, Unreached.UNREADABLE)))
    if explainer is None:
        return Story(targets, _told(_all(document, stored, Unreached.FIELDS_GONE) if gone else ()))
    return Story(targets, _told(explainer.missing()), _excluded(explainer, stored))


@lru_cache(maxsize=32)
def schema_in(schema_json: str) -> SourceSchema:
    """What a CRM said of itself, read once."""
    return decode_schema(schema_json)


@lru_cache(maxsize=32)
def _mapping(document_json: str, schema_json: str, kind: str, version: int) -> tuple[MappingDocument, AccountFacts] | None:
    """Parsed once: it takes longer than all else in a trace. None for a document that only an older Leadloop took."""
    try:
        document = parse_document(orjson.loads(document_json))
    except DocumentInvalid:
        return None
    return document, AccountFacts(kind, schema_in(schema_json), version)


def _mapping_of(source: RowMapping) -> tuple[MappingDocument, AccountFacts] | None:
    if source["document_json"] is None or source["schema_json"] is None:
        return None
    return _mapping(source["document_json"], source["schema_json"], source["kind"], source["version"])


def _explainer(stored: Stored, keyring: Keyring, document: MappingDocument, facts: AccountFacts) -> Explainer | None:
    """None where there is nobody and no deal to judge."""
    history: dict[int, list[Mapping[str, object]]] = {}
    for entry in stored.entries:
        history.setdefault(entry["record_id"], []).append(dict(entry))
    known = {
        row["id"]: known_record(keyring, _record_row(row), None, history.get(row["id"], ()), {})
        for row in stored.records.values()
    }
    states = [conversion_state(dict(row), is_tried=False, is_withdrawn=False) for row in stored.all_conversions]
    mine: list[Deal] = []
    others: list[tuple[RecordRef, str]] = []
    for record in known.values():
        if record.ref.kind is not ObjectKind.DEAL:
            continue
        people = _people_on(stored.links[record.id])
        whose = principal(people, document.person.prefer)
        if (None if whose is None else whose.lead_id) == stored.lead_id:
            mine.append(Deal(record, tuple(people)))
        elif whose is not None:
            others.append((record.ref, _text(whose.ref)))
    if stored.lead is None:
        return Explainer(Aggregate(None, tuple(mine[:1]), tuple(states)), document, facts) if mine else None
    held = sorted((known[row["id"]] for row in stored.records.values() if row["lead_id"] == stored.lead_id), key=by_survival)
    person = Person(stored.lead["id"], from_ms(stored.lead["created_at"]), tuple(held))
    return Explainer(Aggregate(person, tuple(mine), tuple(states)), document, facts, others)


def _people_on(links: Iterable[RowMapping]) -> list[DealPerson]:
    """The people of a deal of whom more than a name is known."""
    return [
        DealPerson(
            lead_id=link["lead_id"],
            created_at=from_ms(link["created_at"] if link["created_at"] is not None else link["modified_at"]),
            ref=RecordRef(ObjectKind(link["object"]), link["external_id"]),
            labels=labels_in(link["label"]),
            is_primary=bool(link["primary"]),
        )
        for link in links
        if link["lead_id"] is not None and (link["created_at"] is not None or link["modified_at"])
    ]


def _record_row(row: RowMapping) -> RecordRow:
    shared = {name: row[name] for name in RecordRow.__slots__ if name != "ref"}
    return RecordRow(ref=RecordRef(ObjectKind(row["object"]), row["external_id"]), **shared)


def _text(ref: RecordRef) -> str:
    return f"{ref.kind}:{ref.external_id}"


def _all(document: MappingDocument, stored: Stored, why: Unreached) -> Iterable[Missing]:
    """Every milestone without a conversion, for one reason."""
    made = {row["milestone"] for row in stored.conversions}
    return [Missing(one.name, why) for one in document.milestones if made.isdisjoint(one.names)]


def _told(missing: Iterable[Missing]) -> tuple[UnreachedTrace, ...]:
    return tuple(
        UnreachedTrace(
            milestone=one.milestone,
            code=one.why.value,
            sentence=UNREACHED_SENTENCES[one.why],
            ref=None if one.ref is None else _text(one.ref),
            entered_at=one.entered_at,
            detail=one.detail,
            checks=one.checks,
        )
        for one in missing
    )


def _excluded(explainer: Explainer, stored: Stored) -> Mapping[tuple[str, str], tuple[Check, ...]]:
    found: dict[tuple[str, str], tuple[Check, ...]] = {}
    for row in stored.conversions:
        closed = [one["destination"] for one in stored.deliveries[row["id"]] if one["reason"] == Reason.EXCLUDED]
        if closed:
            by = explainer.exclusions(conversion_state(dict(row), is_tried=False, is_withdrawn=False))
            found.update({(row["uid"], name): by.get(name) or by.get("", ()) for name in closed})
    return found
