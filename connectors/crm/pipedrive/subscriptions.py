"""The webhook subscriptions that lead to us: found, replaced where Pipedrive has switched them off, made where missing."""

from collections.abc import Mapping, Sequence

from connectors.contract.errors import RequestRefused
from connectors.contract.records import ObjectKind
from connectors.contract.source import SubscriptionsKept
from connectors.crm.pipedrive.api import PipedriveApi
from connectors.crm.pipedrive.budget import Call
from connectors.crm.pipedrive.replies import text
from connectors.http.strict_json import Json

NAME = "leadloop"
VERSION = "2.0"
EVERY_ACTION = "*"
ACTIONS = frozenset({"create", "change", "delete"})
TOO_MANY = 422

_ENTITIES: Mapping[ObjectKind, str] = {
    ObjectKind.DEAL: "deal",
    ObjectKind.CONTACT: "person",
    ObjectKind.LEAD: "lead",
    ObjectKind.COMPANY: "organization",
}


async def keep_subscriptions(
    api: PipedriveApi, address: str, kinds: frozenset[ObjectKind], secrets: Sequence[str]
) -> SubscriptionsKept:
    """One subscription to all actions of each kind's object. Those that lead elsewhere are left alone."""
    if not secrets:
        message = "Pipedrive can be believed only by Basic authentication: set `webhook_secrets` to a pair user:password"
        raise RequestRefused(message, code="no_webhook_secret")
    user, _, password = secrets[0].partition(":")
    listed = [one for one in await api.all_of_v1(Call.WEBHOOKS, "webhooks") if one.get("subscription_url") == address]
    users = {pair.partition(":")[0] for pair in secrets}
    alive = [one for one in listed if _is_alive(one) and _user_of(one) in {None, *users}]
    present: list[str] = []
    made: list[str] = []
    for kind in sorted(kinds):
        entity = _ENTITIES[kind]
        word = f"{entity}.{EVERY_ACTION}"
        if _covers(entity, alive):
            present.append(word)
            continue
        for dead in listed:
            if dead not in alive and _entity_of(dead) == entity:
                await _remove(api, dead)
        await _add(api, {"subscription_url": address, "http_auth_user": user, "http_auth_password": password}, entity)
        made.append(word)
    return SubscriptionsKept(tuple(present), tuple(made))


async def _add(api: PipedriveApi, ours: Json, entity: str) -> None:
    body = {**ours, "event_action": EVERY_ACTION, "event_object": entity, "name": NAME, "version": VERSION}
    try:
        await api.add_webhook(body)
    except RequestRefused as error:
        if error.status != TOO_MANY:
            raise
        message = (
            f"{error.message}; Pipedrive takes at most 40 webhooks a user and only https addresses that it can reach: "
            "remove some in Pipedrive > Tools and apps > Webhooks, or use another admin's token"
        )
        raise RequestRefused(message, code=error.code or "too_many_webhooks", status=error.status) from error


async def _remove(api: PipedriveApi, dead: Json) -> None:
    one = text(dead.get("id"), "a webhook's `id`")
    if one and one.isdigit() and not dead.get("remove_time"):
        await api.remove_webhook(one)


def _is_alive(one: Json) -> bool:
    """Pipedrive switches a subscription off, and takes it away, when its deliveries fail for days."""
    is_active = one.get("is_active") in (1, True, "1")
    return is_active and not one.get("remove_time") and str(one.get("version")) == VERSION


def _covers(entity: str, alive: Sequence[Json]) -> bool:
    actions = {str(one.get("event_action")) for one in alive if _entity_of(one) in (entity, EVERY_ACTION)}
    return EVERY_ACTION in actions or actions >= ACTIONS


def _entity_of(one: Json) -> str:
    return str(one.get("event_object"))


def _user_of(one: Json) -> str | None:
    found = one.get("http_auth_user")
    return found if isinstance(found, str) and found else None
