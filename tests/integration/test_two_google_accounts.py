"""Two Google accounts are two destinations: what a click of the other account costs, on both databases, at once and late."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx
import orjson
import pytest
from sqlalchemy import Table, select

from app.connections import repository as connections
from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import conversions, deliveries, destinations, identities, leads, records
from app.dispatch.dispatcher import Dispatcher
from app.dispatch.model import MilestoneTerms, OpenDestination, SourceTerms
from app.dispatch.verdicts import VerdictCollector
from connectors.ads.google.destination import GoogleDestination, GoogleSettings
from connectors.contract.conversions import Identifier, bit_mask
from connectors.http.auth import StaticToken
from connectors.simulators.google import Account, Behaviour, Click, ConversionAction, GooglePlatform, Key, create_google
from tests.contract.crm_stage import Clock
from tests.fingerprints import told
from tests.integration.ad_rig import DAY, NOW

# By destination: its account and that account's conversion action.
ACCOUNTS = {1: ("4812093377", "7302219941"), 2: ("5550001111", "7302219958")}
NAMES = {1: "north", 2: "south"}


def owner(number: int) -> int:
    """The destination whose account a person's click is of: every third is of the second."""
    return 2 if number % 3 == 0 else 1


@dataclass(slots=True)
class Brands:
    """Both destinations of one company on one platform; every conversion is owed to both, as by a mapping without `where`."""

    database: Database
    platform: GooglePlatform
    clock: Clock
    open_ones: dict[int, GoogleDestination]

    async def open_destination(self, destination_id: int) -> OpenDestination:
        """As the service opens it."""
        return OpenDestination(destination_id, NAMES[destination_id], self.open_ones[destination_id])

    async def terms_of(self, source_id: int) -> SourceTerms:
        """One milestone, at each destination an action of its own."""
        named = {
            (NAMES[one], "qualified_lead"): MilestoneTerms(target=target_of(action)) for one, (_, action) in ACCOUNTS.items()
        }
        return SourceTerms("hubspot", named)

    def open(self, sealed: bytes) -> bytes:
        """Nothing is sealed here."""
        return sealed

    async def live(self, days: int = 3) -> None:
        """Drain both and ask for verdicts."""
        for _ in range(days * 4):
            for one in ACCOUNTS:
                await Dispatcher(self.database, self, self, self.clock, "one", self, fingerprint=told).drain(one)
            self.clock.go_on(timedelta(hours=6))
            for one in ACCOUNTS:
                await VerdictCollector(self.database, self, self.clock).collect(one)

    async def found(self) -> dict[tuple[int, int], tuple[str, str | None]]:
        """By destination and conversion: state and code."""
        columns = (deliveries.c.destination_id, deliveries.c.conversion_id, deliveries.c.state, deliveries.c.code)
        async with self.database.read() as connection:
            return {(row[0], row[1]): (row[2], row[3]) for row in await connection.execute(select(*columns))}

    def counted(self, destination_id: int, number: int) -> int:
        """How often that account counts the conversion."""
        entry = self.platform.ledger.entries.get(Key(ACCOUNTS[destination_id][1], uid_of(number)))
        return 0 if entry is None else entry.times_counted


def target_of(action: str) -> str:
    """As deliveries store it."""
    return orjson.dumps({"conversion_action": action}).decode()


def uid_of(number: int) -> str:
    """A conversion's id."""
    return f"ll{number:026d}"


@asynccontextmanager
async def two_brands(database: Database, count: int, *, checks_at_once: bool) -> AsyncIterator[Brands]:
    """So many conversions, each owed to both accounts."""
    clock = Clock(NOW)
    accounts = [Account(account, {action: ConversionAction(action, NOW - 300 * DAY)}) for account, action in ACCOUNTS.values()]
    platform = GooglePlatform(accounts, behaviour=Behaviour(checks_click_owner_at_once=checks_at_once))
    for one, (account, _) in ACCOUNTS.items():
        platform.add_token(f"token-{one}", [account], NOW + 60 * DAY)
    numbers = range(1, count + 1)
    platform.add_clicks(*(Click(f"Cj0KCQ_{number}", ACCOUNTS[owner(number)][0], NOW - 3 * DAY) for number in numbers))
    await _owe(database, count)
    async with AsyncExitStack() as stack:
        transport = httpx.ASGITransport(create_google(platform, clock))
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport))
        opened = {}
        for one, (account, _) in ACCOUNTS.items():
            settings = {"account_id": account, "access_token": f"token-{one}", "base_url": "http://google.test"}
            opened[one] = GoogleDestination(client, GoogleSettings.from_mapping(settings), StaticToken(f"token-{one}"), clock)
        yield Brands(database, platform, clock, opened)


async def _owe(database: Database, count: int) -> None:
    at = to_ms(NOW - DAY)
    async with database.write() as connection:
        for one, name in NAMES.items():
            row = {"id": one, "name": name, "kind": "google", "settings_sealed": b"", "created_at": at}
            await insert_rows(connection, destinations, [row])
        for number in range(1, count + 1):
            for table, row in _rows(number, at).items():
                await insert_rows(connection, table, [row])
            owed = {"source_id": 1, "conversion_id": number, "kind": "upload", "seq": 0, "state": "pending", "reason": "new"}
            times = {"due_at": at, "deadline_at": to_ms(NOW + 30 * DAY), "created_at": at}
            both = [
                {**owed, **times, "id": 100 * one + number, "destination_id": one, "target": target_of(action)}
                for one, (_, action) in ACCOUNTS.items()
            ]
            await insert_rows(connection, deliveries, both)


def _rows(number: int, at: int) -> dict[Table, dict[str, object]]:
    """A person with a click, their record and conversion."""
    key: dict[str, object] = {"id": number, "source_id": 1}
    click = {Identifier.GCLID: f"Cj0KCQ_{number}"}
    sealed = orjson.dumps({str(name): value for name, value in click.items()})
    lead = {"identity_id": number, "consent": "granted,granted", "created_at": at, "clicked_at": to_ms(NOW - 3 * DAY)}
    record = {"object": "contact", "external_id": str(number), "lead_id": number, "state": "live", "fields_sealed": b""}
    scope = {"uid": uid_of(number), "milestone": "qualified_lead", "scope_kind": "person", "scope_key": str(number)}
    state = {"occurrence": 0, "occurred_at": at, "implied": False, "mapping_version": 1, "value_state": "none", "live": True}
    return {
        leads: {**key, **lead},
        identities: {"id": number, "lead_id": number, "has": bit_mask(click), "sealed": sealed},
        records: {**key, **record, "modified_at": at},
        conversions: {**key, **scope, **state, "record_id": number, "lead_id": number},
    }


@pytest.mark.parametrize(
    ("checks_at_once", "code"),
    [(True, "INVALID_AD_IDENTIFIER_FOR_ACCOUNT"), (False, "INVALID_OPERATING_ACCOUNT_FOR_CLICK")],
    ids=["at once", "late"],
)
async def test_a_click_of_the_other_account_settles_its_row_alone(database: Database, *, checks_at_once: bool, code: str) -> None:
    """Google refuses the whole request for it, or says so a day later: neighbours count, each click once, at its own account."""
    async with two_brands(database, 9, checks_at_once=checks_at_once) as brands:
        await brands.live()
        asked = len(brands.platform.bodies)

        await brands.live()

        found = await brands.found()
        own = {key for key in found if owner(key[1]) == key[0]}
        assert {found[key][0] for key in own} == {"confirmed"}
        assert {found[key] for key in found if key not in own} == {("rejected", code)}
        assert all(brands.counted(*key) == (key in own) for key in found)
        assert len(brands.platform.bodies) == asked, "what is refused for good is not sent again"


async def test_a_request_of_foreign_clicks_only_pauses_nothing(database: Database) -> None:
    """The account is well: its own conversions go in the same minute."""
    async with two_brands(database, 6, checks_at_once=True) as brands:
        dispatcher = Dispatcher(database, brands, brands, brands.clock, "one", brands, fingerprint=told)

        summary = await dispatcher.drain(2)

        assert (summary.accepted, summary.rejected, summary.failure) == (2, 4, "")
        assert summary.requests <= 2
        async with database.read() as connection:
            assert not (await connections.target_pauses_of(connection, [1, 2]))
            assert set(await connection.scalars(select(destinations.c.pause_reason))) == {None}
