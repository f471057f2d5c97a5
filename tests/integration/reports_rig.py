"""A small world of leads, conversions, deliveries and spend, written straight into the tables."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time

import orjson

from app.db import tables
from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database

MICROS = 1_000_000
SOURCE = 1


def at(day: str, hour: int = 12) -> int:
    """An instant of a day in November 2026 (`11-05`) in milliseconds."""
    return to_ms(datetime.combine(date.fromisoformat(f"2026-{day}"), time(hour), UTC))


class Rig:
    """Writes rows with sensible defaults; ids are given out in order."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._next = 100

    def _id(self) -> int:
        self._next += 1
        return self._next

    async def _insert(self, table: str, row: Mapping[str, object]) -> None:
        async with self.database.write() as connection:
            await insert_rows(connection, tables.metadata.tables[table], [row])

    async def source(self, source_id: int = SOURCE, name: str = "crm") -> None:
        await self._insert("sources", {"id": source_id, "name": name, "kind": "hubspot", "settings_sealed": b"", "created_at": 0})

    async def destination(self, destination_id: int, name: str) -> None:
        row = {"id": destination_id, "name": name, "kind": name, "settings_sealed": b"", "created_at": 0}
        await self._insert("destinations", row)

    async def mapping(self, targets: Mapping[str, Mapping[str, object]], version: int = 1, **implied: str) -> None:
        """A mapping version, active; `targets` by destination; how implied milestones are treated by their name."""
        names = sorted({name for one in targets.values() for name in one} | set(implied))
        document = {
            "milestones": [{"name": name} | ({"implied": implied[name]} if name in implied else {}) for name in names],
            "destinations": targets,
        }
        async with self.database.write() as connection:
            await connection.execute(tables.mapping_versions.update().values(is_active=False))
        row = {
            "id": self._id(), "source_id": SOURCE, "version": version, "document_json": orjson.dumps(document).decode(),
            "created_at": 0, "created_by": "test", "activated_at": 0, "is_active": True,
        }  # fmt: skip
        await self._insert("mapping_versions", row)

    async def lead(self, created: str, platform: str | None = None, campaign: str | None = None, **more: object) -> int:
        """A lead, with `email` as its fingerprint and `dimensions`."""
        email, dimensions = more.pop("email", None), more.pop("dimensions", {})
        row = {
            "id": self._id(), "source_id": SOURCE, "consent": "granted,granted", "platform": platform, "campaign_id": campaign,
            "email_hmac": None if email is None else str(email).encode().ljust(16), "created_at": at(created),
            "dimensions_json": orjson.dumps(dimensions).decode(),
        }  # fmt: skip
        await self._insert("leads", row | more)
        return int(str((row | more)["id"]))

    async def reach(self, lead_id: int | None, milestone: str, day: str, amount: float | None = None, **more: object) -> int:
        """A conversion; `amount` in USD unless `currency` says otherwise."""
        number = self._id()
        row = {
            "id": number, "uid": f"ll{number}", "source_id": SOURCE, "milestone": milestone, "scope_kind": "deal",
            "scope_key": str(number), "occurrence": 0, "record_id": number, "lead_id": lead_id, "occurred_at": at(day),
            "implied": False, "mapping_version": 1, "amount_micros": None if amount is None else int(amount * MICROS),
            "currency": None if amount is None else "USD", "value_state": "none", "duplicate_of": None, "live": True,
        }  # fmt: skip
        await self._insert("conversions", row | more)
        return number

    async def record(self, record_id: int, created: str | None) -> None:
        row = {
            "id": record_id, "source_id": SOURCE, "object": "deal", "external_id": str(record_id), "state": "live",
            "modified_at": 0, "fields_sealed": b"", "created_at": None if created is None else at(created),
        }  # fmt: skip
        await self._insert("records", row)

    async def put_on(self, deal_id: int, lead_id: int, *, is_primary: bool = False) -> None:
        """Put a lead's contact on a deal."""
        contact = self._id()
        row = {
            "id": contact, "source_id": SOURCE, "object": "contact", "external_id": str(contact), "state": "live",
            "modified_at": 0, "fields_sealed": b"", "created_at": contact, "lead_id": lead_id,
        }  # fmt: skip
        await self._insert("records", row)
        await self._insert("deal_people", {"deal_id": deal_id, "person_id": contact, "primary": is_primary, "since": 0})

    async def deliver(self, conversion_id: int, destination_id: int, state: str, reason: str, **more: object) -> None:
        is_open = state in ("pending", "sending")
        row = {
            "id": self._id(), "source_id": SOURCE, "conversion_id": conversion_id, "destination_id": destination_id,
            "kind": "upload", "seq": 0, "state": state, "reason": reason, "due_at": at("11-30") if is_open else None,
            "deadline_at": at("11-30"), "target": "{}", "created_at": 0,
        }  # fmt: skip
        await self._insert("deliveries", row | more)

    async def spend(self, platform: str, campaign: str, day: str, cost: float, **more: object) -> None:
        row = {
            "platform": platform, "campaign_id": campaign, "day": f"2026-{day}", "cost_micros": int(cost * MICROS),
            "currency": "USD", "campaign_name": f"Name of {campaign}", "clicks": 10, "impressions": 100,
        }  # fmt: skip
        await self._insert("spend", row | more)

    async def rate(self, day: str, base: str, quote: str, millionths: int) -> None:
        row = {"day": f"2026-{day}", "base": base, "quote": quote, "rate_micros": millionths, "version": 1}
        await self._insert("fx_rates", row)
