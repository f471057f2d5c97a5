"""Conversions owed to one real connector in front of a simulated platform, and the dispatcher that drains them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
from sqlalchemy import select

from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import conversions, deliveries, destinations, identities, leads, records
from app.dispatch.dispatcher import Dispatcher
from app.dispatch.model import DrainSummary, MilestoneTerms, OpenDestination, SourceTerms
from connectors.ads.google.destination import GoogleDestination, GoogleSettings
from connectors.ads.meta.destination import MetaDestination, MetaSettings
from connectors.contract.conversions import Identifier, bit_mask
from connectors.contract.destination import AdDestination
from connectors.http.auth import StaticToken
from connectors.simulators.faults import FaultPlan, FaultyTransport
from connectors.simulators.google import Account, Click, ConversionAction, GooglePlatform, create_google
from connectors.simulators.meta import Dataset, MetaPlatform, Token, create_meta
from tests.fingerprints import told

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CLICKED_AT = NOW - timedelta(days=2)
OCCURRED_AT = NOW - timedelta(days=1)
DATASET, ADS, OTHER_ADS, ACTION = "1234567890", "4812093377", "5550001111", "7302219941"
EVENT_NAME = "Qualified"
FBC = "fb.1.1795345820402.IwAR2F4abc"
DIGEST = "33ba87fd9ed214b4fcc4d931be50d6091c9572974bda75ec5df228f11a448892"


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True)
class Found:
    """How a delivery stands."""

    state: str
    reason: str
    counted: int
    code: str


@dataclass(slots=True)
class Owed:
    """One destination `1` with deliveries; its conversions are named by `uid_of`."""

    database: Database
    connector: AdDestination
    clock: Clock
    plan: FaultPlan
    batch_rows: int | None = None

    async def open_destination(self, destination_id: int) -> OpenDestination:
        """The only destination."""
        return OpenDestination(destination_id, "ads", self.connector, batch_rows=self.batch_rows)

    async def terms_of(self, source_id: int) -> SourceTerms:
        """The only milestone."""
        return SourceTerms("hubspot", {("ads", "qualified_lead"): MilestoneTerms()})

    def open(self, sealed: bytes) -> bytes:
        """Nothing is sealed here."""
        return sealed

    async def drain(self) -> DrainSummary:
        """Send what is due."""
        return await Dispatcher(self.database, self, self, self.clock, "one", self, fingerprint=told).drain(1)

    async def found(self) -> dict[str, Found]:
        """How each conversion's delivery stands."""
        query = select(conversions.c.uid, deliveries.c.state, deliveries.c.reason, deliveries.c.counted, deliveries.c.code).join(
            conversions, conversions.c.id == deliveries.c.conversion_id
        )
        async with self.database.read() as connection:
            return {row[0]: Found(row[1], row[2], row[3], row[4] or "") for row in await connection.execute(query)}


def uid_of(number: int) -> str:
    """The id of the conversion with this number."""
    return f"ll{number:026d}"


@asynccontextmanager
async def owed_to_meta(
    database: Database, count: int, clicked_at: datetime = CLICKED_AT
) -> AsyncIterator[tuple[Owed, MetaPlatform]]:
    """`count` conversions owed to a simulated Meta, of people who clicked then."""
    clock, plan = Clock(), FaultPlan()
    platform = MetaPlatform([Dataset(DATASET, is_consolidated_container=True)])
    platform.add_token(Token("good", frozenset({DATASET})))
    settings = MetaSettings.from_mapping({"dataset_id": DATASET, "access_token": "good", "base_url": "http://meta.test"})
    people = {number: {Identifier.EMAIL_SHA256: DIGEST, Identifier.FBC: FBC} for number in range(1, count + 1)}
    await _owe(database, {"event_name": EVENT_NAME}, people, clicked_at)
    async with _client(create_meta(platform, clock), plan) as client:
        yield Owed(database, MetaDestination(client, settings, clock), clock, plan), platform


@asynccontextmanager
async def owed_to_google(database: Database, count: int, *, foreign: int = 0) -> AsyncIterator[tuple[Owed, GooglePlatform]]:
    """`count` conversions owed to a simulated Google; the one with the number `foreign` has another account's click."""
    clock, plan = Clock(), FaultPlan()
    action = ConversionAction(ACTION, NOW - timedelta(days=300))
    platform = GooglePlatform([Account(ADS, {ACTION: action}, currency="EUR"), Account(OTHER_ADS)])
    platform.add_token("good", [ADS], NOW + timedelta(days=30))
    people = {number: {Identifier.GCLID: f"Cj0KCQ_{number}"} for number in range(1, count + 1)}
    clicks = [Click(f"Cj0KCQ_{number}", OTHER_ADS if number == foreign else ADS, CLICKED_AT) for number in people]
    platform.add_clicks(*clicks)
    settings = GoogleSettings.from_mapping({"account_id": ADS, "access_token": "good", "base_url": "http://google.test"})
    await _owe(database, {"conversion_action": ACTION}, people, CLICKED_AT)
    async with _client(create_google(platform, clock), plan) as client:
        yield Owed(database, GoogleDestination(client, settings, StaticToken("good"), clock), clock, plan), platform


def _client(app: Any, plan: FaultPlan) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=FaultyTransport(httpx.ASGITransport(app=app), plan))


async def _owe(
    database: Database, target: Mapping[str, str], people: Mapping[int, Mapping[Identifier, str]], clicked_at: datetime
) -> None:
    """For each number one lead with its record, conversion and pending delivery."""
    at, clicked = to_ms(OCCURRED_AT), to_ms(clicked_at)
    wanted: dict[Any, list[dict[str, object]]] = {
        table: [] for table in (destinations, leads, identities, records, conversions, deliveries)
    }
    wanted[destinations].append({"id": 1, "name": "ads", "kind": "ads", "settings_sealed": b"", "created_at": at})
    text = orjson.dumps(dict(target)).decode()
    for number, identifiers in people.items():
        sealed = orjson.dumps({str(name): value for name, value in identifiers.items()})
        key = {"id": number, "source_id": 1}
        wanted[leads].append(
            {**key, "identity_id": number, "consent": "granted,granted", "created_at": at, "clicked_at": clicked}
        )
        wanted[identities].append({"id": number, "lead_id": number, "has": bit_mask(identifiers), "sealed": sealed})
        wanted[records].append(
            {**key, "object": "contact", "external_id": str(number), "lead_id": number, "state": "live", "modified_at": at}
            | {"fields_sealed": b""}
        )
        wanted[conversions].append(
            {**key, "uid": uid_of(number), "milestone": "qualified_lead", "scope_kind": "person", "scope_key": str(number)}
            | {"occurrence": 0, "occurred_at": at, "implied": False, "mapping_version": 1, "value_state": "none", "live": True}
            | {"record_id": number, "lead_id": number}
        )
        wanted[deliveries].append(
            {**key, "conversion_id": number, "destination_id": 1, "kind": "upload", "seq": 0, "state": "pending"}
            | {"reason": "new", "due_at": at, "deadline_at": to_ms(OCCURRED_AT + timedelta(days=7)), "target": text}
            | {"created_at": at}
        )
    async with database.write() as connection:
        for table, rows in wanted.items():
            await insert_rows(connection, table, rows)
