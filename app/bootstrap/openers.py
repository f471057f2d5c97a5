"""Stored connections become connectors: settings unsealed, references resolved, the registry opened."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import httpx

from app.bootstrap.write_back_setting import WRITE_BACK, without_service_settings
from app.config import ConnectionMode, FileSection, Mistake, nearest
from app.connections import repository as connections
from app.connections.repository import DestinationRow, Role, SourceRow
from app.connections.schema_codec import time_zone_of
from app.connections.settings import SettingsRefused, open_settings, resolve_settings
from app.connections.tokens import DatabaseTokenStore, token_key, token_name
from app.db.instants import to_ms
from app.db.session import Database
from app.dispatch.model import OpenDestination
from app.leases.repository import acquire, release
from app.references import ReferenceUnresolved
from app.reports.platforms import Ability, Platform
from app.secrets import Keyring
from connectors import registry
from connectors.contract.destination import AdDestination, DestinationLimits
from connectors.contract.source import CrmSource
from connectors.http.auth import Lock
from connectors.http.client import Hooks
from connectors.registry import WebhookDoor

TOKEN_LEASE = timedelta(minutes=2)
TOKEN_WAIT_SECONDS = 0.2
# The method of the contract's protocol that a connector with the ability has.
ABILITIES: Mapping[Ability, str] = {
    Ability.ADJUSTS: "adjust",
    Ability.CONFIRMS: "verdict",
    Ability.SPEND: "spend",
    Ability.PROVISIONS: "provision",
    Ability.TEST_EVENTS: "send_test_event",
}


class Openers:
    """Builds connectors; one single-flight lock for each connection's tokens."""

    def __init__(  # noqa: PLR0913 everything a connector needs, passed in
        self,
        http: httpx.AsyncClient,
        database: Database,
        keyring: Keyring,
        clock: Callable[[], datetime],
        environ: Mapping[str, str],
        *,
        holder: str,
        allow_custom_base_urls: bool,
        hooks: Hooks,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._http = http
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._environ = environ
        self._holder = holder
        self._allow_custom = allow_custom_base_urls
        self._hooks = hooks
        self._sleep = sleep
        self._sources: dict[int, tuple[Mapping[str, str], int | None, CrmSource]] = {}
        self._destinations: dict[int, tuple[Mapping[str, str], AdDestination]] = {}

    def limits(self, kind: str) -> DestinationLimits:
        """The limits of a kind of destination, as data."""
        return registry.DESTINATIONS[kind].limits

    def knows(self, kind: str) -> bool:
        """Whether there is a connector of this kind of destination."""
        return kind in registry.DESTINATIONS

    def abilities(self, kind: str) -> frozenset[Ability]:
        """What the connector of a kind of destination can beside uploading."""
        connector = registry.DESTINATIONS.get(kind)
        return frozenset(one for one, method in ABILITIES.items() if hasattr(connector, method))

    def platform(self, row: DestinationRow) -> Platform:
        """What a stored destination's platform takes and can; without its versions where its settings cannot be used now."""
        limits, abilities = self.limits(row.kind), self.abilities(row.kind)
        try:
            return Platform(limits, abilities, tuple(self.stored_destination(row).api_versions()))
        except Exception:  # noqa: BLE001 whatever is wrong with its settings, a check says it, and the page is shown
            return Platform(limits, abilities)

    def source(self, name: str, kind: str, settings: Mapping[str, str], time_zone: str | None = None) -> CrmSource:
        """A CRM connector from resolved settings; `time_zone` is the account's, in whose midnight daily quotas end."""
        own = without_service_settings(settings)
        store, lock = self._tokens(Role.SOURCE, name, own)
        return registry.open_source(kind, own, self._http, store, lock, self._clock, self._hooks, self._sleep, time_zone)

    def stored_source(self, row: SourceRow) -> CrmSource:
        """The connector of a stored source; the same one, with its rate limits, while settings and account stay the same."""
        settings = self._resolved(row.settings_sealed)
        kept = self._sources.get(row.id)
        if kept is None or kept[:2] != (settings, row.described_at):
            time_zone = None if row.schema_json is None else time_zone_of(row.schema_json)
            kept = self._sources[row.id] = (settings, row.described_at, self.source(row.name, row.kind, settings, time_zone))
        return kept[2]

    def write_back_of(self, row: SourceRow) -> str:
        """The setting `write_back` of a stored source, "" where it has none."""
        return self._resolved(row.settings_sealed).get(WRITE_BACK, "")

    def can_write_back(self, kind: str) -> bool:
        """Whether the connector of a kind of source writes into the CRM."""
        return hasattr(registry.SOURCES[kind], "write_back")

    def kinds_with_webhooks(self) -> frozenset[str]:
        """The kinds of CRM that send webhooks."""
        return frozenset(registry.WEBHOOKS)

    def webhook(self, row: SourceRow) -> tuple[WebhookDoor, tuple[str, ...]]:
        """The door of a stored source's webhooks and the secrets of which any may have signed."""
        return registry.WEBHOOKS[row.kind], registry.webhook_secrets(self._resolved(row.settings_sealed))

    def stored_destination(self, row: DestinationRow) -> AdDestination:
        """The connector of a stored destination; the same one while its settings stay the same."""
        settings = self._resolved(row.settings_sealed)
        kept = self._destinations.get(row.id)
        if kept is None or kept[0] != settings:
            store, lock = self._tokens(Role.DESTINATION, row.name, settings)
            opened = registry.open_destination(row.kind, settings, self._http, store, lock, self._clock, self._hooks, self._sleep)
            kept = self._destinations[row.id] = (settings, opened)
        return kept[1]

    async def open_destination(self, destination_id: int) -> OpenDestination:
        """A destination ready to send."""
        async with self._database.read() as connection:
            row = await connections.destination_by_id(connection, destination_id)
            pauses = await connections.target_pauses_of(connection, [destination_id])
        if row is None:
            raise LookupError(f"destination {destination_id} is gone")
        return OpenDestination(
            id=row.id,
            name=row.name,
            connector=self.stored_destination(row),
            is_shadow=row.mode is ConnectionMode.SHADOW,
            batch_rows=row.batch_rows,
            adaptive_rows=row.adaptive_rows,
            clean_requests=row.clean_requests,
            paused_targets=frozenset(pause.target for pause in pauses.get(destination_id, ())),
        )

    def check_section(self, role: Role, name: str, section: FileSection) -> Sequence[Mistake]:
        """What is wrong with a section's kind and settings, told without opening anything."""
        del name
        kinds = registry.SOURCES if role is Role.SOURCE else registry.DESTINATIONS
        if section.kind not in kinds:
            return [Mistake("kind", f"there is no {role} of kind `{section.kind}`", nearest(section.kind, kinds))]
        try:
            settings = resolve_settings(section.settings, self._environ, allow_custom_base_urls=self._allow_custom)
            registry.check_settings(section.kind, without_service_settings(settings) if role is Role.SOURCE else settings)
        except (SettingsRefused, ValueError) as error:
            return [Mistake("", str(error))]
        return []

    def settings_as_written(self, row: SourceRow | DestinationRow) -> Mapping[str, str]:
        """A stored connection's settings with its references, as they were given."""
        return open_settings(self._keyring, row.settings_sealed)

    def resolved(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Settings with their references' values; SettingsRefused where one has none."""
        return resolve_settings(settings, self._environ, allow_custom_base_urls=self._allow_custom)

    def token_key_of(self, role: Role, name: str, section: FileSection) -> str:
        """Under which key the tokens gained with a section's settings are kept; "" where its settings cannot be read."""
        try:
            settings = resolve_settings(section.settings, self._environ, allow_custom_base_urls=self._allow_custom)
        except (SettingsRefused, ReferenceUnresolved):
            return ""
        return token_key(token_name(role, name), settings)

    def _resolved(self, sealed: bytes) -> Mapping[str, str]:
        return self.resolved(open_settings(self._keyring, sealed))

    def _tokens(self, role: Role, name: str, settings: Mapping[str, str]) -> tuple[DatabaseTokenStore, Lock]:
        """Where a connection's tokens are kept, and the lock under which they are renewed."""
        key = token_name(role, name)
        return DatabaseTokenStore(self._database, self._keyring, token_key(key, settings)), self._lock(key)

    def _lock(self, name: str) -> Lock:
        lease = f"token:{name}"

        @asynccontextmanager
        async def held() -> AsyncIterator[None]:
            # Two connectors of one process keep each other out too: one may have been opened for a check.
            holder = f"{self._holder}:{uuid.uuid4().hex[:8]}"
            while not await self._take(lease, holder):  # noqa: ASYNC110 the holder may be another process
                await asyncio.sleep(TOKEN_WAIT_SECONDS)
            try:
                yield
            finally:
                async with self._database.write() as connection:
                    await release(connection, lease, holder)

        return held

    async def _take(self, lease: str, holder: str) -> bool:
        async with self._database.write() as connection:
            now_ms = to_ms(self._clock())
            return await acquire(connection, lease, holder, now_ms, int(TOKEN_LEASE.total_seconds() * 1000)) is not None
