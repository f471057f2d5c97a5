"""From a trace it is one click to the CRM's own page of every record that it names."""

from collections.abc import Mapping

import orjson
import pytest

from app.connections.schema_codec import encode_schema
from app.db import tables
from app.db.bulk import insert_rows
from app.db.instants import from_ms
from app.db.session import Database
from app.reports.trace import as_json, render, trace
from app.secrets import Keyring
from connectors.contract.records import ObjectKind
from connectors.contract.source import SourceSchema

KEYRING = Keyring([b"k" * 32])
T = 1_795_514_400_000
LEAD = 11
# What the three CRMs' pages are like: numeric ids, 18 letters, a UUID in a query.
URLS: Mapping[ObjectKind, str] = {
    ObjectKind.CONTACT: "https://app.hubspot.com/contacts/4711/record/0-1/{id}",
    ObjectKind.LEAD: "https://acme.pipedrive.com/leads/inbox/{id}",
    ObjectKind.DEAL: "https://acme.lightning.force.com/lightning/r/Opportunity/{id}/view",
    ObjectKind.COMPANY: "https://acme.pipedrive.com/organization/{id}",
}


def _record(record_id: int, kind: str, external_id: str, **more: object) -> Mapping[str, object]:
    row = {
        "id": record_id,
        "source_id": 1,
        "object": kind,
        "external_id": external_id,
        "lead_id": LEAD,
        "merged_into": None,
        "state": "live",
        "company_ref": None,
        "created_at": T,
        "modified_at": T,
        "fields_sealed": b"s",
    }
    return row | more


@pytest.fixture
async def filled(database: Database) -> Database:
    """One lead: a contact, the contact that was merged into it, a CRM lead, and a deal of a company that the lead is on."""
    source = {
        "id": 1, "name": "crm", "kind": "hubspot", "settings_sealed": b"s", "mode": "live", "created_at": T,
        "schema_json": encode_schema(SourceSchema("4711", "USD", "UTC", {}, record_urls=URLS)),
    }  # fmt: skip
    person = {
        "id": LEAD, "source_id": 1, "consent": "granted,granted", "consent_why": "yes", "dimensions_json": "{}", "created_at": T
    }  # fmt: skip
    records = [
        _record(10, "contact", "123"),
        _record(12, "contact", "122", merged_into=10, state="merged"),
        _record(13, "lead", "adf21080-0e10-11eb-879b-05d71fb426ec"),
        _record(20, "deal", "0065g00000XyZaBAAV", lead_id=None, company_ref="77"),
    ]
    async with database.write() as connection:
        await insert_rows(connection, tables.sources, [source])
        await insert_rows(connection, tables.leads, [person])
        await insert_rows(connection, tables.records, records)
        await insert_rows(
            connection, tables.deal_people, [{"deal_id": 20, "person_id": 13, "label": "", "primary": True, "since": T}]
        )
    return database


EXPECTED = {
    "contact:123": "https://app.hubspot.com/contacts/4711/record/0-1/123",
    "contact:122": "https://app.hubspot.com/contacts/4711/record/0-1/122",
    "lead:adf21080-0e10-11eb-879b-05d71fb426ec": "https://acme.pipedrive.com/leads/inbox/adf21080-0e10-11eb-879b-05d71fb426ec",
    "deal:0065g00000XyZaBAAV": "https://acme.lightning.force.com/lightning/r/Opportunity/0065g00000XyZaBAAV/view",
}


@pytest.mark.parametrize("ref", ["contact:123", "lead:adf21080-0e10-11eb-879b-05d71fb426ec", "deal:0065g00000XyZaBAAV"])
async def test_every_key_and_deal_has_its_link(filled: Database, ref: str) -> None:
    """Whichever record is asked for; in the text of the command line and in the JSON of the door."""
    found = await trace(filled, KEYRING, ref, from_ms(T), "crm")

    assert found is not None
    keys = orjson.loads(orjson.dumps(as_json(found)))["keys"]
    assert {key["ref"]: key["url"] for key in keys} == EXPECTED
    assert all(f"    {url}" in render(found).splitlines() for url in EXPECTED.values())


async def test_a_deal_links_to_its_company(filled: Database) -> None:
    """A salesperson knows the company before the person."""
    found = await trace(filled, KEYRING, "deal:0065g00000XyZaBAAV", from_ms(T))

    assert found is not None
    assert [key.company_url for key in found.keys if key.company] == ["https://acme.pipedrive.com/organization/77"]
