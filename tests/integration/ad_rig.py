"""Conversions owed to a real connector in front of any simulated platform, and the dispatcher that drains them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
from sqlalchemy import select, update

from app.connections import repository as connections
from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import conversions, deliveries, destinations, identities, leads, records, sources
from app.dispatch.dispatcher import Dispatcher
from app.dispatch.model import DrainSummary, MilestoneTerms, OpenDestination, SourceTerms
from app.dispatch.verdicts import VerdictCollector
from connectors.contract.conversions import Identifier, UploadRow, bit_mask
from connectors.contract.destination import AdDestination, Confirms
from tests.contract.ad_reading import MILESTONE, connected, row
from tests.contract.ad_stage import AdStage
from tests.contract.ad_stages import AD_STAGES
from tests.contract.crm_stage import Clock
from tests.fingerprints import told

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Standing:
    """How a delivery stands."""

    state: str
    reason: str
    counted: int
    code: str


@dataclass(slots=True)
class AdWorld:
    """One destination `1` of a platform. `rows`: what the connector would be given for each conversion, by number."""

    database: Database
    stage: AdStage
    connector: AdDestination
    rows: dict[int, UploadRow] = field(default_factory=dict)
    source_kind: str = "hubspot"

    async def open_destination(self, destination_id: int) -> OpenDestination:
        """The only destination, as it is stored now."""
        async with self.database.read() as connection:
            stored = await connections.destination_by_id(connection, destination_id)
            pauses = await connections.target_pauses_of(connection, [destination_id])
        assert stored is not None
        return OpenDestination(
            destination_id,
            "ads",
            self.connector,
            batch_rows=stored.batch_rows,
            adaptive_rows=stored.adaptive_rows,
            clean_requests=stored.clean_requests,
            paused_targets=frozenset(pause.target for pause in pauses.get(destination_id, ())),
        )

    async def terms_of(self, source_id: int) -> SourceTerms:
        """The only milestone."""
        return SourceTerms(self.source_kind, {("ads", MILESTONE): MilestoneTerms()})

    def open(self, sealed: bytes) -> bytes:
        """Nothing is sealed here."""
        return sealed

    async def owe(
        self, number: int, occurred_at: datetime, identifiers: Mapping[Identifier, str] | None = None, euros: int | None = 50
    ) -> None:
        """A conversion of a person of the stage, with a pending upload."""
        found = row(self.stage, number, occurred_at=occurred_at, clicked_at=occurred_at - 5 * DAY)
        known = found.identifiers if identifiers is None else identifiers
        self.rows[number] = found
        at, key = to_ms(occurred_at), {"id": number, "source_id": 1}
        record = {"object": "contact", "external_id": str(number), "lead_id": number, "state": "live", "fields_sealed": b""}
        scope = {"uid": found.conversion_id, "milestone": MILESTONE, "scope_kind": "person", "scope_key": str(number)}
        state = {"occurrence": 0, "occurred_at": at, "implied": False, "mapping_version": 1, "live": True}
        money = {"value_state": "none"} if euros is None else self._money(euros)
        sealed = orjson.dumps({str(name): value for name, value in known.items()})
        clicked = None if found.clicked_at is None else to_ms(found.clicked_at)
        lead = {"identity_id": number, "consent": "granted,granted", "created_at": at, "clicked_at": clicked}
        async with self.database.write() as connection:
            await insert_rows(connection, leads, [key | lead])
            await insert_rows(
                connection, identities, [{"id": number, "lead_id": number, "has": bit_mask(known), "sealed": sealed}]
            )
            await insert_rows(connection, records, [key | record | {"modified_at": at}])
            await insert_rows(connection, conversions, [key | scope | state | money | {"record_id": number, "lead_id": number}])
        await self._owe(number, number, "upload", 0)

    async def correct(self, number: int, kind: str, seq: int = 1, euros: int | None = None) -> None:
        """What recording owes when a deal's amount was edited, or when it left its milestone."""
        async with self.database.write() as connection:
            values = {"live": kind != "retract"} if euros is None else self._money(euros)
            await connection.execute(update(conversions).where(conversions.c.id == number).values(**values))
        await self._owe(1000 * seq + number, number, kind, seq)

    async def _owe(self, delivery_id: int, number: int, kind: str, seq: int) -> None:
        now = to_ms(self.stage.clock())
        wanted = {"id": delivery_id, "source_id": 1, "conversion_id": number, "destination_id": 1, "kind": kind, "seq": seq}
        target = orjson.dumps(dict(self.rows[number].target.settings)).decode()
        state = {"state": "pending", "reason": "new", "due_at": now, "target": target, "created_at": now}
        async with self.database.write() as connection:
            await insert_rows(connection, deliveries, [wanted | state | {"deadline_at": to_ms(self.stage.clock() + 54 * DAY)}])

    def _money(self, euros: int) -> dict[str, object]:
        return {"value_state": "ready", "amount_micros": euros * MICROS, "currency": self.stage.account_currency}

    async def drain(self) -> DrainSummary:
        """Send what is due, by a dispatcher that knows nothing from before."""
        return await Dispatcher(self.database, self, self, self.stage.clock, "one", self, fingerprint=told).drain(1)

    async def drain_over(self, span: timedelta, step: timedelta = 6 * HOUR) -> None:
        """Drain and ask for verdicts again and again while time goes on."""
        end = self.stage.clock() + span
        while self.stage.clock() < end:
            await self.drain()
            self.stage.clock.go_on(step)
            self.stage.settle_verdicts()
            if isinstance(self.connector, Confirms):
                await VerdictCollector(self.database, self, self.stage.clock).collect(1)

    async def found(self, seq: int = 0) -> dict[int, Standing]:
        """By number, how the uploads stand, or the corrections with this number."""
        columns = (deliveries.c.conversion_id, deliveries.c.state, deliveries.c.reason, deliveries.c.counted, deliveries.c.code)
        async with self.database.read() as connection:
            rows = await connection.execute(select(*columns).where(deliveries.c.seq == seq))
            return {one[0]: Standing(one[1], one[2], one[3], one[4] or "") for one in rows}


@asynccontextmanager
async def ad_world(database: Database, kind: str) -> AsyncIterator[AdWorld]:
    """A stage of the platform, a connector on it, and a database that owes nothing yet."""
    stage = AD_STAGES[kind](Clock(NOW))
    named = {"id": 1, "name": "ads", "kind": kind, "settings_sealed": b"", "created_at": to_ms(NOW)}
    async with database.write() as connection:
        await insert_rows(connection, destinations, [named])
        await insert_rows(connection, sources, [{**named, "name": "hubspot", "kind": "hubspot"}])
    async with connected(stage) as connector:
        yield AdWorld(database, stage, connector)
