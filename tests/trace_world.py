"""Many leads by few statements, and some that have a long story: what a trace must find its way in."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import Boolean, LargeBinary, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.tables import conversions, deal_people, deliveries, destinations, entries, records, tries, valuations
from connectors.contract.conversions import IDENTIFIER_BITS
from tests.api.rig import NOW, Rig

FIRST = 10**12
CROWD = 2 * FIRST
AT = to_ms(NOW - timedelta(days=30))
HOUR = 3_600_000
PLATFORMS = ("google", "meta", "linkedin", "microsoft", "tiktok")
STORIED = 50
ENTRIES = 50
DEALS = 3

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)"
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "leads": {
        "id": ":base + i", "source_id": ":source", "identity_id": ":base + i", "raw_hmac": ":mark",
        "consent": "'granted,granted'", "created_at": ":at + i",
    },
    "identities": {"id": ":base + i", "lead_id": ":base + i", "has": ":has", "sealed": ":sealed"},
    "records": {
        "id": ":base + i", "source_id": ":source", "object": "'contact'", "external_id": "CAST(:base + i AS TEXT)",
        "lead_id": ":base + i", "state": "'live'", "created_at": ":at + i", "modified_at": ":at + i", "fields_sealed": ":sealed",
    },
    "entries": {
        "record_id": ":base + i", "property": "'lifecyclestage'", "entered_at": ":at + i", "value": "'salesqualifiedlead'",
        "origin": "'history'",
    },
    "conversions": {
        "id": ":base + i", "uid": "'ll' || CAST(:base + i AS TEXT)", "source_id": ":source", "milestone": "'qualified_lead'",
        "scope_kind": "'person'", "scope_key": "CAST(:base + i AS TEXT)", "occurrence": "0", "record_id": ":base + i",
        "lead_id": ":base + i", "occurred_at": ":at + i", "implied": ":no", "mapping_version": "1", "amount_micros": "50000000",
        "currency": "'USD'", "value_state": "'ready'", "live": ":yes",
    },
    "deliveries": {
        "id": ":base + i", "source_id": ":source", "conversion_id": ":base + i", "destination_id": ":destination",
        "kind": "'upload'", "seq": "0", "state": "'confirmed'", "reason": "'confirmed'", "deadline_at": ":at + i",
        "target": "'{}'", "created_at": ":at + i", "settled_at": ":at + i",
    },
}  # fmt: skip


async def crowd(rig: Rig, count: int) -> None:
    """So many leads, each with a record, an identity, an entry, a conversion and a delivery."""
    await _leads(rig, CROWD, count)
    if not rig.services.database.url.get_backend_name().startswith("sqlite"):
        async with rig.services.database.write() as connection:
            await connection.execute(text("ANALYZE"))


async def storied(rig: Rig) -> Sequence[str]:
    """The refs of leads with fifty entries on a contact and three deals, six conversions, five destinations and their tries."""
    await _leads(rig, FIRST, STORIED)
    async with rig.services.database.write() as connection:
        source, platform_ids = await _platforms(connection)
        for place in range(STORIED):
            await _story(rig, connection, FIRST + place, source, platform_ids)
    return [f"contact:{FIRST + place}" for place in range(STORIED)]


async def _leads(rig: Rig, base: int, count: int) -> None:
    source, destination = (await rig.services.sources())[0].id, (await rig.services.destinations())[0].id
    fields = {"email": "somebody@example.com", "lifecyclestage": "salesqualifiedlead", "country": "US", "ads_consent": "yes"}
    numbers = {
        ":base": base, ":at": AT, ":count": count, ":source": source, ":destination": destination,
        ":has": sum(IDENTIFIER_BITS.values()),
    }  # fmt: skip
    bound = {"sealed": rig.services.keyring.seal(orjson.dumps(fields)), "mark": b"m" * 16, "no": False, "yes": True}
    types: Mapping[str, TypeEngine[Any]] = {"sealed": LargeBinary(), "mark": LargeBinary(), "no": Boolean(), "yes": Boolean()}
    async with rig.services.database.write() as connection:
        for table, columns in _COLUMNS.items():
            sql = f"INSERT INTO {table} ({', '.join(columns)}) {_NUMBERS} SELECT {', '.join(columns.values())} FROM n"
            for name, value in numbers.items():
                sql = sql.replace(name, str(value))
            used = [bindparam(name, value, type_=types[name]) for name, value in bound.items() if f":{name}" in sql]
            await connection.execute(text(sql).bindparams(*used))


async def _platforms(connection: AsyncConnection) -> tuple[int, Sequence[int]]:
    """Four more destinations beside Google."""
    known = (await connection.execute(text("SELECT id, settings_sealed FROM destinations"))).one()
    source = (await connection.execute(text("SELECT id FROM sources"))).scalar_one()
    more = [
        {
            "id": FIRST + place,
            "name": kind,
            "kind": kind,
            "settings_sealed": known.settings_sealed,
            "created_at": AT,
        }
        for place, kind in enumerate(PLATFORMS[1:])
    ]
    await insert_rows(connection, destinations, more)
    return source, [known.id, *(FIRST + place for place in range(len(more)))]


async def _story(rig: Rig, connection: AsyncConnection, lead: int, source: int, platform_ids: Sequence[int]) -> None:
    deals = [lead * 10 + place for place in range(DEALS)]
    sealed = rig.services.keyring.seal(orjson.dumps({"amount": "900", "deal_currency_code": "USD"}))
    deal = {
        "source_id": source, "object": "deal", "state": "live", "pipeline": "default", "stage": "closedwon", "created_at": AT,
        "modified_at": AT, "fields_sealed": sealed,
    }  # fmt: skip
    await insert_rows(connection, records, [{**deal, "id": one, "external_id": str(one)} for one in deals])
    links = [{"deal_id": deal, "person_id": lead, "label": "", "primary": True, "since": AT} for deal in deals]
    await insert_rows(connection, deal_people, links)
    told = {"pipeline": "default", "origin": "history", "approximate": False}
    stages = ("appointmentscheduled", "qualifiedtobuy", "presentationscheduled", "closedwon")
    moves = [
        {**told, "record_id": deals[n % DEALS], "property": "dealstage", "entered_at": AT + n * HOUR, "value": stages[n % 4]}
        for n in range(ENTRIES - 1)
    ]
    await insert_rows(connection, entries, moves)
    await _conversions(connection, lead, source, deals)
    made = [lead, *(deal * 10 + place for deal in deals for place in range(2))]
    owed = [
        {
            "id": conversion * 10 + place, "source_id": source, "conversion_id": conversion, "destination_id": platform,
            "kind": "upload", "seq": 1, "state": "rejected", "reason": "refused", "deadline_at": AT, "target": "{}", "tries": 2,
            "created_at": AT, "settled_at": AT,
        }
        for conversion in made
        for place, platform in enumerate(platform_ids)
    ]  # fmt: skip
    await insert_rows(connection, deliveries, owed)
    failed = {"at": AT, "upload_id": 1, "outcome": "retry", "code": "INTERNAL", "message": "try later"}
    await insert_rows(connection, tries, [{**failed, "delivery_id": one["id"], "n": n} for one in owed for n in (1, 2)])
    money = {"amount_micros": 900_000_000, "currency": "USD", "why": "amount changed", "rates_version": None, "at": AT}
    await insert_rows(connection, valuations, [{**money, "conversion_id": one, "seq": 1} for one in made])


async def _conversions(connection: AsyncConnection, lead: int, source: int, deals: Sequence[int]) -> None:
    made = {
        "source_id": source, "scope_kind": "deal", "occurrence": 0, "lead_id": lead, "implied": False, "mapping_version": 1,
        "amount_micros": 900_000_000, "currency": "USD", "value_state": "ready", "live": True,
    }  # fmt: skip
    rows = [
        {
            **made, "id": number, "uid": f"ll{number}", "milestone": milestone, "scope_key": str(deal), "record_id": deal,
            "occurred_at": AT + number % 1000,
        }
        for deal in deals
        for number, milestone in ((deal * 10, "opportunity"), (deal * 10 + 1, "closed_revenue"))
    ]  # fmt: skip
    await insert_rows(connection, conversions, rows)
