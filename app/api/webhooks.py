"""The webhook door: one address for each source; verified, reduced to refs, answered at once. It needs no key."""

from fastapi import APIRouter, Request, Response

from app.api.gate import check_announced_size, limited_receive
from app.api.house import house_of
from app.api.problems import Problem, ProblemKind, responses
from app.bootstrap.hints import NOT_READY, knock, receive
from connectors.contract.source import WebhookRefused, WebhookRequest

REFUSALS = {401: ProblemKind.WEBHOOK_REFUSED, 403: ProblemKind.WEBHOOK_FOREIGN}

doors = APIRouter(tags=["webhooks"])


@doors.post(
    "/webhooks/{source}/{token}",
    summary="A CRM's webhook",
    status_code=204,
    responses={
        200: {"description": "Taken; the acknowledgement that the vendor demands", "content": {"text/xml": {}}},
        204: {"description": "Taken; nothing is to do"},
        **responses(
            ProblemKind.WEBHOOK_REFUSED,
            ProblemKind.WEBHOOK_FOREIGN,
            ProblemKind.NOT_FOUND,
            ProblemKind.TOO_LARGE,
            ProblemKind.MALFORMED,
            ProblemKind.INVALID,
            ProblemKind.NOT_READY,
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "array", "items": {"type": "object"}},
                    "example": [
                        {"portalId": 62515, "objectTypeId": "0-3", "objectId": 17, "subscriptionType": "object.propertyChange"}
                    ],
                },
                "text/xml": {"schema": {"type": "string", "description": "A SOAP message, as Salesforce sends it"}},
            },
        }
    },
)
async def webhook_door(request: Request, source: str, token: str) -> Response:
    """Events say which records may have changed; their values are never kept. The vendor's signature is demanded."""
    services = house_of(request.app.state).open()
    row = await knock(services, source, token)
    if row is None:
        raise Problem(ProblemKind.NOT_FOUND, "No webhook has this address; `leadloop check` shows the right one.")
    check_announced_size(request.headers)
    body = await Request(request.scope, limited_receive(request.receive)).body()
    called = WebhookRequest(
        method=request.method,
        url=_public_url(request, services.settings.public_url),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
    )
    answer = await receive(services, row, called)
    if isinstance(answer, WebhookRefused):
        if answer.status == NOT_READY:
            raise Problem(ProblemKind.NOT_READY, "Webhooks cannot be taken yet; the reason is in the logs under this request id.")
        kind = REFUSALS.get(answer.status, ProblemKind.MALFORMED)
        raise Problem(kind, f"The webhook is refused: {answer.reason}.")
    if not answer.body:
        return Response(status_code=answer.status)
    return Response(answer.body, status_code=answer.status, media_type=answer.media_type)


def _public_url(request: Request, public_url: str | None) -> str:
    """The address as the vendor called it, escapes kept: it is part of what is signed."""
    raw_path = request.scope.get("raw_path")
    path = request.url.path if raw_path is None else bytes(raw_path).partition(b"?")[0].decode("ascii", "replace")
    query = bytes(request.scope.get("query_string", b"")).decode("ascii", "replace")
    origin = public_url or f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"
    return f"{origin}{path}" + (f"?{query}" if query else "")
