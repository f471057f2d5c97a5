"""What schemathesis is told of us: which requests that fit the contract may be refused, by what is stored."""

import re
from typing import Any

import schemathesis
from schemathesis.generation.meta import TestPhase

NAME = r"no (source|destination|milestone) has this name"
REF = r"give the record of the person"
EMAIL = r"this is no e-mail address"
PHONE = r"this is no valid phone number"
ORDER = r"lies after `until`"
CURSOR = r"is none of this list; take it from `next`"
# By operation: the message of a mistake that no schema can foresee.
BY_STATE: dict[str, tuple[str, ...]] = {
    "GET /v1/audit": (CURSOR,),
    "GET /v1/deliveries": (NAME, CURSOR),
    "GET /v1/leads/{ref}/trace": (NAME,),
    "GET /v1/mappings/{source}/versions": (CURSOR,),
    "GET /v1/rates": (CURSOR,),
    "GET /v1/reports/books": (NAME, ORDER),
    "GET /v1/reports/campaigns": (NAME, ORDER),
    "GET /v1/reports/funnel": (NAME, ORDER),
    "GET /v1/runs": (NAME, CURSOR),
    "GET /v1/spend": (CURSOR,),
    "PUT /v1/spend": (r"is no ISO 4217 currency", r"stand in `rows", r"a spreadsheet shortened", r"control characters"),
    "POST /v1/deliveries/replay": (NAME, CURSOR),
    "POST /v1/destinations/{name}/mode": (r"no active mapping sends",),
    "POST /v1/keys": (r"a key expires in the future",),
    "POST /v1/leads/find": (NAME,),
    "POST /v1/mappings/{source}/versions": (r".",),  # a document's own rules are MAPPING's, and tested there
    "POST /v1/people/export": (NAME, REF, PHONE, EMAIL),
    "POST /v1/people/forget": (NAME, REF, PHONE, EMAIL),
    "PUT /v1/destinations/{name}": (r".",),  # a kind's settings are told by the kind, not by the contract
    "PUT /v1/rates": (r"is no ISO 4217 currency",),
    "PUT /v1/sources/{name}": (r".",),
}
PRECONDITIONS = frozenset({412, 428})
WITH_ETAG = frozenset(
    {"POST /v1/mappings/{source}/versions/{version}/activate", "PUT /v1/destinations/{name}", "PUT /v1/sources/{name}"}
)
INVALID = 422


@schemathesis.check
def refused_by_what_is_stored(
    _ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """A request that fits the contract is refused only for a reason that is listed above."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    label = case.operation.label
    if response.status_code in PRECONDITIONS:
        assert label in WITH_ETAG, f"{label} knows no ETag"
    if response.status_code != INVALID:
        return
    body: dict[str, Any] = response.json()
    allowed = BY_STATE.get(label, ())
    errors = body.get("errors", ())
    if case.meta.phase.name is TestPhase.STATEFUL:  # a link that was guessed gives a version of another thing
        errors = [one for one in errors if not one["path"].startswith("path.")]
    strange = [one for one in errors if not any(re.search(text, one["message"]) for text in allowed)]
    assert body.get("errors"), "a refusal without its mistakes"
    assert not strange, f"{label} refuses what its schema takes: {strange}"
