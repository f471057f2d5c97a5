"""The webhook use case: who may knock, what the vendor's parser says, and the bell for what is waiting then."""

import hmac
from collections.abc import Callable

import structlog

from app.bootstrap.services import Services
from app.connections import repository as connections
from app.connections.repository import SourceRow
from app.connections.settings import SettingsRefused
from app.ingest.door import HintsTaken, take_hints
from connectors.contract.source import WebhookRefused, WebhookReply, WebhookRequest
from connectors.registry import WEBHOOK_SECRETS

log = structlog.get_logger()

NO_TOKEN = "-" * 43
NOT_READY = 503
FORBIDDEN = 403
TAKEN = WebhookReply(204)


async def knock(services: Services, name: str, token: str) -> SourceRow | None:
    """The source behind a webhook address, None for a wrong name, a wrong token, or a CRM without webhooks alike."""
    async with services.database.read() as connection:
        row = await connections.source_by_name(connection, name)
    wanted = NO_TOKEN if row is None or row.webhook_token is None else row.webhook_token
    fits = hmac.compare_digest(wanted.encode(), token.encode())
    if row is None or row.webhook_token is None or row.kind not in services.openers.kinds_with_webhooks():
        return None
    return row if fits else None


async def receive(services: Services, row: SourceRow, request: WebhookRequest) -> WebhookReply | WebhookRefused:
    """Verify a request, keep its hints, ring the bell. What is refused is logged with its reason, never with its content.

    The reply is what the vendor must read, given only when the hints are stored. The reason of a 503 tells of our settings:
    it is the operator's, not the caller's.
    """
    answer = await _receive(services, row, request)
    if isinstance(answer, WebhookRefused):
        log.warning("webhook.refused", source=row.name, status=answer.status, reason=answer.reason)
        return answer
    taken, acknowledge = answer
    if taken.foreign:
        log.info("webhook.foreign", source=row.name, events=taken.foreign)
    if taken.records:
        services.bell.ring()
    reply = None if acknowledge is None else acknowledge(request)
    return TAKEN if reply is None else reply


async def _receive(
    services: Services, row: SourceRow, request: WebhookRequest
) -> tuple[HintsTaken, Callable[[WebhookRequest], WebhookReply | None] | None] | WebhookRefused:
    try:
        door, secrets = services.openers.webhook(row)
    except SettingsRefused as refused:
        return WebhookRefused(NOT_READY, f"the settings of the source {row.name} cannot be read here: {refused}")
    if door.needs_secret and not secrets:
        return WebhookRefused(
            NOT_READY,
            f"the source {row.name} has no webhook secret, so nobody can be believed: "
            f"set `{WEBHOOK_SECRETS}` as the README of its kind says",
        )
    hints = door.parse(request, secrets, services.clock())
    if isinstance(hints, WebhookRefused):
        return hints
    if door.is_one_account and hints and all(hint.account_ref != row.account_ref for hint in hints):
        if row.account_ref is None:
            return WebhookRefused(NOT_READY, f"the account of the source {row.name} is not known yet; apply its mapping")
        return WebhookRefused(FORBIDDEN, "its events are of another account than this source's")
    context = await services.contexts.of_source(row)
    kinds = frozenset(context.selection.objects) if context is not None else frozenset()
    taken = await take_hints(services.database, row.id, row.account_ref, kinds, hints, services.clock())
    return taken, door.acknowledge
