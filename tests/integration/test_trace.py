from collections.abc import Mapping

import orjson
import pytest
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from app.connections.schema_codec import encode_schema
from app.db import tables
from app.db.bulk import insert_rows
from app.db.instants import from_ms
from app.db.session import Database
from app.outbox.states import REASON_SENTENCES, Reason
from app.reports.trace import Trace, as_json, parse_ref, render, trace
from app.reports.trace_model import NextStep
from app.secrets import Keyring
from connectors.contract.conversions import Identifier, Money, bit_mask
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import PipelineSchema, SourceSchema, StageSchema
from tests.statements import asked

T = 1_795_514_400_000  # 2026-11-24 10:00 UTC
HOUR = 3_600_000
SOURCE, GOOGLE, META = 1, 2, 3
CONTACT, LEAD, MERGED, DEAL, ORPHAN, OLD_DEAL = 10, 11, 12, 20, 30, 40
UID = "llaaaaaaaaaaaaaaaaaaaaaaaaaa"
SECRET = "jane@example.com"
KEYRING = Keyring.from_texts(["a key of tests that is long enough"])
SCHEMA = SourceSchema(
    account_ref="4711",
    currency="USD",
    time_zone="UTC",
    properties={},
    pipelines=(PipelineSchema("default", "Sales", ObjectKind.DEAL, "dealstage", (StageSchema("closedwon", "Closed won"),)),),
    record_urls={ObjectKind.CONTACT: "https://crm.example/c/{id}", ObjectKind.DEAL: "https://crm.example/d/{id}"},
)


def _record(record_id: int, kind: str, external_id: str, **more: object) -> Mapping[str, object]:
    row = {
        "id": record_id,
        "source_id": SOURCE,
        "object": kind,
        "external_id": external_id,
        "lead_id": None,
        "merged_into": None,
        "state": "live",
        "pipeline": None,
        "stage": None,
        "company_ref": None,
        "created_at": T,
        "modified_at": T + record_id,
        "fields_sealed": SECRET.encode(),
    }
    return row | more


def _conversion(conversion_id: int, uid: str, milestone: str, record_id: int, **more: object) -> Mapping[str, object]:
    row: dict[str, object] = {
        "id": conversion_id,
        "uid": uid,
        "source_id": SOURCE,
        "milestone": milestone,
        "scope_kind": "deal",
        "scope_key": str(record_id),
        "occurrence": 0,
        "record_id": record_id,
        "lead_id": LEAD,
        "occurred_at": T + conversion_id,
        "implied": False,
        "mapping_version": 1,
        "amount_micros": 50_000_000,
        "currency": "USD",
        "value_state": "ready",
        "value_why": "fixed 50 USD",
        "explain": "dealstage entered closedwon",
        "duplicate_of": None,
        "ended_at": None,
        "ended_why": None,
        "live": True,
    }
    return row | more


def _delivery(delivery_id: int, conversion_id: int, destination_id: int, state: str, **more: object) -> Mapping[str, object]:
    row = {
        "id": delivery_id,
        "source_id": SOURCE,
        "conversion_id": conversion_id,
        "destination_id": destination_id,
        "kind": "upload",
        "seq": 0,
        "state": state,
        "reason": "",
        "code": None,
        "due_at": None,
        "deadline_at": T + 90 * 24 * HOUR,
        "tries": 0,
        "upload_id": None,
        "person_id": None,
        "person_why": None,
        "target": f"target-{conversion_id}",
        "frozen": False,
        "sent_amount_micros": None,
        "sent_currency": None,
        "first_unknown_at": None,
        "created_at": T,
        "settled_at": None,
    }
    return row | more


async def _fill(connection: AsyncConnection) -> None:
    await _fill_connections(connection)
    await _fill_crm(connection)
    await _fill_outbox(connection)


async def _fill_connections(connection: AsyncConnection) -> None:
    base = {"settings_sealed": SECRET.encode(), "created_at": T}
    source = {"id": SOURCE, "name": "crm", "kind": "hubspot", "schema_json": encode_schema(SCHEMA), **base}
    await insert_rows(connection, tables.sources, [source])
    destinations = [
        {"id": GOOGLE, "name": "google", "kind": "google", "pause_reason": None, "paused_until": None, **base},
        {"id": META, "name": "meta", "kind": "meta", "pause_reason": "quota", "paused_until": T + 5 * HOUR, **base},
    ]
    await insert_rows(connection, tables.destinations, destinations)


async def _fill_crm(connection: AsyncConnection) -> None:
    lead = {
        "id": LEAD,
        "source_id": SOURCE,
        "identity_id": 99,
        "raw_hmac": b"h" * 16,
        "consent": "granted,denied",
        "consent_why": "contact.ads_consent is yes",
        "country": "US",
        "clicked_at": T - HOUR,
        "platform": "google",
        "campaign_id": "c-1",
        "utm_campaign": None,
        "dimensions_json": '{"segment": "new", "size": null}',
        "created_at": T,
    }
    await insert_rows(connection, tables.leads, [lead])
    has = bit_mask({Identifier.EMAIL_SHA256: "", Identifier.GCLID: ""})
    await insert_rows(connection, tables.identities, [{"id": 99, "lead_id": LEAD, "has": has, "sealed": SECRET.encode()}])
    rows = [
        _record(CONTACT, "contact", "123", lead_id=LEAD),
        _record(MERGED, "contact", "122", lead_id=LEAD, state="merged", merged_into=CONTACT),
        _record(DEAL, "deal", "9", pipeline="default", stage="closedwon", company_ref="77"),
        _record(OLD_DEAL, "deal", "8", state="merged", merged_into=DEAL),
        _record(ORPHAN, "deal", "10"),
        _record(50, "contact", "other", lead_id=51),
    ]
    await insert_rows(connection, tables.records, rows)
    link = {"deal_id": DEAL, "person_id": CONTACT, "label": "Decision maker\nUser", "primary": True, "since": T}
    await insert_rows(connection, tables.deal_people, [link])
    entry = {"pipeline": None, "origin": "history", "approximate": False}
    entries = [
        {"record_id": CONTACT, "property": "lifecyclestage", "entered_at": T, "value": "lead"},
        {"record_id": DEAL, "property": "dealstage", "entered_at": T + HOUR, "value": "closedwon"},
        {"record_id": DEAL, "property": "amount", "entered_at": T + HOUR, "value": "\x1b[2J"},
    ]
    await insert_rows(connection, tables.entries, [entry | row for row in entries])


async def _fill_outbox(connection: AsyncConnection) -> None:
    ended = {"live": False, "ended_at": T + HOUR, "ended_why": "lost"}
    conversions = [
        _conversion(100, UID, "closed_revenue", DEAL),
        _conversion(101, UID[:-1] + "b", "opportunity", DEAL, implied=True, duplicate_of=UID, **ended),
        _conversion(102, UID[:-1] + "c", "closed_revenue", ORPHAN, lead_id=None),
    ]
    await insert_rows(connection, tables.conversions, conversions)
    valuation = {"conversion_id": 100, "seq": 1, "amount_micros": 60_000_000, "currency": "USD", "why": "amount changed"}
    await insert_rows(connection, tables.valuations, [valuation | {"rates_version": None, "at": T + HOUR}])
    upload = {"id": 7, "destination_id": GOOGLE, "started_at": T, "sent": 1, "verdict_due_at": T + 6 * HOUR}
    await insert_rows(connection, tables.uploads, [upload])
    sent = {"sent_amount_micros": 50_000_000, "sent_currency": "USD", "person_id": LEAD, "person_why": "primary"}
    deliveries = [
        _delivery(200, 100, GOOGLE, "accepted", upload_id=7, settled_at=T + HOUR, tries=2, **sent),
        _delivery(201, 100, META, "pending", reason="retry", due_at=T + 2 * HOUR, code="E5"),
        _delivery(202, 101, GOOGLE, "skipped", reason="no_consent"),
        _delivery(203, 102, GOOGLE, "pending", due_at=T),
    ]
    await insert_rows(connection, tables.deliveries, deliveries)
    attempt = {
        "delivery_id": 200,
        "n": 1,
        "at": T,
        "upload_id": 6,
        "outcome": "retry",
        "code": "INTERNAL",
        "message": "try later",
    }
    await insert_rows(connection, tables.tries, [attempt])
    refused = {"destination_id": GOOGLE, "target": "target-102", "code": "NOT_FOUND", "since": T}
    await insert_rows(connection, tables.target_pauses, [refused])


@pytest.fixture
async def filled(database: Database) -> Database:
    async with database.write() as connection:
        await _fill(connection)
    return database


async def _trace(database: Database, ref: str, now_ms: int = T + HOUR) -> Trace:
    found = await trace(database, KEYRING, ref, from_ms(now_ms), "crm")
    assert found is not None
    return found


@pytest.mark.parametrize("ref", ["contact:123", "contact:122", "deal:9", "deal:8", str(LEAD), UID])
async def test_every_ref_of_a_lead_leads_to_the_same_trace(filled: Database, ref: str) -> None:
    """A person asks with whatever id is at hand, merged ones included."""
    found = await _trace(filled, ref)

    assert found == await _trace(filled, "contact:123")
    assert [key.ref for key in found.keys] == ["contact:123", "contact:122", "deal:9"]


@pytest.mark.parametrize("ref", ["contact:999", "deal:123", "999", "51", "llunknown", "nonsense", "person:1", "9" * 40, ""])
async def test_an_unknown_ref_gives_none(filled: Database, ref: str) -> None:
    """A page of nothing would look like a lead about which nothing is known."""
    assert await trace(filled, KEYRING, ref, from_ms(T)) is None
    assert await trace(filled, KEYRING, "contact:123", from_ms(T), "absent") is None


async def test_the_lead_and_its_keys(filled: Database) -> None:
    """Names of identifiers and links to the CRM, but no personal value."""
    found = await _trace(filled, "contact:123")

    assert found.lead is not None
    assert found.lead.identifiers == (Identifier.EMAIL_SHA256, Identifier.GCLID)
    assert found.lead.consent_why == "contact.ads_consent is yes"
    assert found.lead.dimensions == {"segment": "new", "size": ""}
    contact, merged, deal = found.keys
    assert contact.url == "https://crm.example/c/123"
    assert (merged.state, merged.merged_into) == ("merged", "contact:123")
    assert (deal.stage_label, deal.labels, deal.is_primary) == ("Closed won", ("Decision maker", "User"), True)
    assert [(entry.ref, entry.property, entry.label) for entry in found.entries] == [
        ("contact:123", "lifecyclestage", None),
        ("deal:9", "amount", None),
        ("deal:9", "dealstage", "Closed won"),
    ]


async def test_each_conversion_and_delivery_says_why(filled: Database) -> None:
    """The one question all day: why was this (not) sent, and what comes next (P7)."""
    won, opportunity = (await _trace(filled, "contact:123")).conversions

    assert won.money == Money(50_000_000, "USD")
    assert [(valuation.seq, valuation.why) for valuation in won.valuations] == [(1, "amount changed")]
    accepted, pending = won.deliveries
    assert [(one.outcome, one.code) for one in accepted.tries] == [("retry", "INTERNAL")]
    assert (accepted.person, accepted.person_why, accepted.sent) == ("lead 11", "primary", Money(50_000_000, "USD"))
    assert accepted.next_step is not None
    assert accepted.next_step.what == "the platform is asked for its verdict"
    assert pending.sentence == REASON_SENTENCES[Reason.RETRY]
    assert pending.next_step is not None
    assert pending.next_step.what == "tried when the pause of its destination ends (quota)"
    assert (opportunity.is_implied, opportunity.duplicate_of, opportunity.ended_why) == (True, UID, "lost")
    assert opportunity.deliveries[0].sentence == REASON_SENTENCES[Reason.NO_CONSENT]


async def test_a_pause_that_is_over_stops_nothing(filled: Database) -> None:
    """The stored end of a pause stays in the row; told later as a reason it would be a lie."""
    later = await _trace(filled, "contact:123", T + 6 * HOUR)

    step = later.conversions[0].deliveries[1].next_step
    assert step == NextStep("tried", from_ms(T + 2 * HOUR))


async def test_a_deal_without_people_has_a_trace_too(filled: Database) -> None:
    """Its revenue waits for a person, and somebody will ask why."""
    found = await _trace(filled, "deal:10")

    assert found.lead is None
    assert [key.ref for key in found.keys] == ["deal:10"]
    step = found.conversions[0].deliveries[0].next_step
    assert step is not None
    assert step.what == "waits until a check clears its target, which the platform refused (NOT_FOUND)"
    assert "No lead is known here" in render(found)


async def test_text_and_json_tell_it_all_and_nothing_personal(filled: Database) -> None:
    """Both are pasted into tickets; and what a CRM holds must not steer a terminal."""
    found = await _trace(filled, UID)

    text = render(found)
    document = orjson.dumps(as_json(found)).decode()

    for expected in (
        "Lead 11 in crm (hubspot), created 2026-11-24 10:00:00 UTC",
        "identifiers: email_sha256, gclid",
        "ad_user_data granted, ad_personalization denied (contact.ads_consent is yes)",
        "https://crm.example/d/9",
        "dealstage = Closed won [closedwon]  (history)",
        "value: 50.00 USD (fixed 50 USD)",
        "google: upload accepted 2026-11-24 11:00:00 UTC",
        "try 1 2026-11-24 10:00:00 UTC: retry (INTERNAL try later)",
        f"meta: upload pending (retry) [E5]: {REASON_SENTENCES[Reason.RETRY]}",
        "next: tried when the pause of its destination ends (quota) 2026-11-24 15:00:00 UTC",
        f"duplicate of {UID}",
        "ended 2026-11-24 11:00:00 UTC (lost)",
    ):
        assert expected in text
    assert '"occurred_at":"2026-11-24T10:00:00.100Z"' in document
    assert '"money":{"amount":"50.00","currency":"USD"}' in document
    assert '"identifiers":["email_sha256","gclid"]' in document
    assert SECRET not in text + document
    assert "\x1b" not in text


async def _grow(connection: AsyncConnection, rows: int) -> None:
    """More of everything on the same lead."""
    many: dict[Table, list[Mapping[str, object]]] = {
        tables.records: [_record(1000 + n, "deal", f"d{n}") for n in range(rows)],
        tables.deal_people: [
            {"deal_id": 1000 + n, "person_id": CONTACT, "label": "", "primary": False, "since": T} for n in range(rows)
        ],
        tables.conversions: [_conversion(10_000 + n, f"llx{n}", "won", 1000 + n) for n in range(rows)],
        tables.deliveries: [_delivery(20_000 + n, 10_000 + n, META, "pending", due_at=T) for n in range(rows)],
    }
    for table, values in many.items():
        await insert_rows(connection, table, values)


@pytest.mark.parametrize("ref", ["deal:8", "contact:123", str(LEAD), UID])
async def test_a_trace_costs_at_most_ten_statements(filled: Database, ref: str) -> None:
    """A person with hundreds of deals must not bring the database to its knees."""
    async with filled.write() as connection:
        await _grow(connection, 300)
    with asked(filled) as statements:
        found = await _trace(filled, ref)

    assert len(found.conversions) == 302
    assert len(statements) <= 10


def test_refs_are_read_strictly() -> None:
    """A bare number is a lead's id; a CRM's own id always names its kind."""
    assert parse_ref(" deal:9 ") == RecordRef(ObjectKind.DEAL, "9")
    assert parse_ref("lead:00Q5e00000ABC") == RecordRef(ObjectKind.LEAD, "00Q5e00000ABC")
    assert parse_ref("42") == 42
    assert parse_ref(UID) == UID
    assert parse_ref("deal:") is None
    assert parse_ref("٣") is None
