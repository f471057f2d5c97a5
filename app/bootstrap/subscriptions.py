"""Webhook subscriptions that the vendor may take away: looked at every hour, made again where they are gone."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from app.bootstrap.bell import Bell
from app.bootstrap.contexts import Contexts
from app.bootstrap.failures import place, told
from app.bootstrap.openers import Openers
from app.config import ConnectionMode
from app.connections import repository as connections
from app.connections.repository import SourceRow
from app.db.instants import to_ms
from app.db.session import Database
from app.ingest.watch import note_kept, poll_at_once
from app.reports.status import WebhookAddress, webhook_url
from app.telemetry.scrub import scrub
from connectors.contract.errors import ConnectorError
from connectors.contract.source import KeepsWebhooks

log = structlog.get_logger()

LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Keeps the subscriptions of every source that has them by API. A failure is told and pauses nothing."""

    database: Database
    clock: Callable[[], datetime]
    openers: Openers
    contexts: Contexts
    bell: Bell

    async def keep(self, address: WebhookAddress) -> None:
        """Look at each source; nothing where the public address is not known."""
        if address.public_url is None:
            return
        async with self.database.read() as connection:
            rows = await connections.list_sources(connection)
        for row in rows:
            url = webhook_url(row, address)
            if url is not None and not row.is_paused(to_ms(self.clock())) and row.mode is not ConnectionMode.PAUSED:
                await self._keep(row, url)

    async def _keep(self, row: SourceRow, url: str) -> None:
        error: str | None = None
        is_made = False
        try:
            crm = self.openers.stored_source(row)
            context = await self.contexts.of_source(row)
            if context is None or not isinstance(crm, KeepsWebhooks):
                return
            kept = await crm.keep_webhooks(url, frozenset(context.selection.objects))
            is_made = bool(kept.made)
            if is_made:
                log.info("webhook.subscribed", source=row.name, made=list(kept.made), present=list(kept.present))
        except Exception as failure:  # noqa: BLE001 whatever is wrong with one source, the others are looked at
            error = scrub(told(failure))[:LONGEST_ERROR]
            at = None if isinstance(failure, ConnectorError) else place(failure)
            log.warning("webhook.not_subscribed", source=row.name, message=error, at=at)
        now_ms = to_ms(self.clock())
        async with self.database.write() as connection:
            await note_kept(connection, row.id, now_ms, error)
            if is_made:  # what changed while there was none
                await poll_at_once(connection, row.id, now_ms)
        if is_made:
            self.bell.ring()
