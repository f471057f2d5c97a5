"""The v1 endpoints that register, list and delete webhooks."""

from urllib.parse import urlsplit

from connectors.simulators.pipedrive.calls import Answer, Call, item
from connectors.simulators.pipedrive.errors import Json, Refusal, refusal
from connectors.simulators.pipedrive.instants import iso_millis
from connectors.simulators.pipedrive.webhooks import ACTIONS, MOST_WEBHOOKS, OBJECTS, Webhook

_KNOWN = frozenset(
    ["subscription_url", "event_action", "event_object", "name", "user_id", "http_auth_user", "http_auth_password", "version"]
)


def webhooks(call: Call) -> Answer:
    """`GET /v1/webhooks`, those switched off too."""
    return item([_row(call, one) for one in call.company.webhooks.all.values()], status="ok")


def create_webhook(call: Call) -> Answer:
    """`POST /v1/webhooks`; the 41st active one of a user is refused with 422."""
    body = call.json_object()
    errors = _errors(call, body)
    if errors:
        raise Refusal(400, {"status": "error", "success": False, "errors": errors})
    owned = [one for one in call.company.webhooks.all.values() if one.is_active and one.owner_id == call.caller.user_id]
    if len(owned) >= MOST_WEBHOOKS:
        raise refusal(422, f"Webhooks limit of {MOST_WEBHOOKS} per user is reached")
    made = call.company.webhooks.add(body, call.caller.user_id, call.now_ms)
    made.type = "application" if call.caller.is_oauth else "general"
    return Answer({"status": "ok", "success": True, "data": _row(call, made)}, 201)


def delete_webhook(call: Call) -> Answer:
    """`DELETE /v1/webhooks/{id}`: one's own, or any for an administrator."""
    text, known = call.path["id"], call.company.webhooks.all
    found = known.get(int(text)) if text.isdigit() else None
    if found is None:
        raise Refusal(404, {"status": "error", "success": False, "errors": {"id": ["not found"]}})
    if found.owner_id != call.caller.user_id and not call.company.catalogue.users[call.caller.user_id].is_admin:
        raise Refusal(403, {"success": False, "message": "Forbidden"})
    del known[found.id]
    return Answer({"status": "ok", "success": True})


def _errors(call: Call, body: object) -> Json:
    if not isinstance(body, dict):
        return {"body": ["must be an object"]}
    errors: Json = {name: ["is not allowed"] for name in sorted(body.keys() - _KNOWN)}
    url = urlsplit(str(body.get("subscription_url")))
    if url.scheme != "https" or not url.hostname or url.hostname.endswith("pipedrive.com"):
        errors["subscription_url"] = ["invalid or non-reachable URL"]
    for name, choices in (("event_action", ACTIONS), ("event_object", OBJECTS)):
        if body.get(name) not in choices:
            errors[name] = [f"must be one of [{', '.join(sorted(choices))}]"]
    if not isinstance(body.get("name"), str) or not body["name"]:
        errors["name"] = ["is required"]
    if body.get("version", "2.0") != "2.0":
        errors["version"] = ["must be 2.0"]
    if body.get("user_id") is not None and body["user_id"] not in call.company.catalogue.users:
        errors["user_id"] = ["not found"]
    for name in ("http_auth_user", "http_auth_password"):
        if body.get(name) is not None and not isinstance(body[name], str):
            errors[name] = ["must be a string"]
    return errors


def _row(call: Call, one: Webhook) -> Json:
    return {
        "id": one.id,
        "company_id": call.company.company_id,
        "owner_id": one.owner_id,
        "user_id": one.user_id,
        "event_action": one.event_action,
        "event_object": one.event_object,
        "subscription_url": one.subscription_url,
        "version": "2.0",
        "is_active": int(one.is_active),
        "add_time": iso_millis(one.add_ms),
        "remove_time": None if one.remove_ms is None else iso_millis(one.remove_ms),
        "type": one.type,
        "http_auth_user": one.http_auth_user,
        "http_auth_password": one.http_auth_password,
        "remove_reason": one.remove_reason,
        "last_delivery_time": None if one.last_delivery_ms is None else iso_millis(one.last_delivery_ms),
        "last_http_status": one.last_http_status,
        "admin_id": call.company.admin,
        "name": one.name,
    }
