"""Writes the sync status into properties that were chosen for it: many records in one request, each judged by itself."""

from collections.abc import Mapping, Sequence

from connectors.contract.errors import Effect, Unavailable, UnexpectedReply
from connectors.contract.records import RecordRef
from connectors.contract.source import NoteOutcome, NoteResult, StatusNote
from connectors.crm.salesforce.api import SalesforceApi
from connectors.crm.salesforce.objects import OBJECTS
from connectors.crm.salesforce.refusals import GONE, RETRYABLE, Refusal
from connectors.http.scrub import scrub
from connectors.http.strict_json import Json

MOST_NOTES = 200
OK = 200
# The first marks our writes in the org's change events, the second keeps assignment rules from running.
_HEADERS: Mapping[str, str] = {"Sforce-Call-Options": "client=leadloop", "Sforce-Auto-Assign": "FALSE"}


async def write_notes(api: SalesforceApi, notes: Sequence[StatusNote]) -> Sequence[NoteResult]:
    """One result for each note; a record with several notes is written once, and of two for one property the last counts."""
    if not notes:
        return ()
    changes: dict[RecordRef, dict[str, str]] = {}
    # Salesforce writes what stands together of one object at once, and takes ten such chunks in a request.
    for note in sorted(notes, key=lambda one: one.ref.kind):
        changes.setdefault(note.ref, {})[note.property] = note.text
    records = [
        {"attributes": {"type": OBJECTS[ref.kind].name}, "id": ref.external_id, **fields} for ref, fields in changes.items()
    ]
    reply = await api.update(records, _HEADERS)
    answers = reply.body
    if reply.status != OK or not isinstance(answers, list) or len(answers) != len(records):
        message = f"Salesforce's answer to {len(records)} updates does not hold one result for each"
        raise UnexpectedReply(message, effect=Effect.UNKNOWN, status=reply.status)
    results = {ref: _result(answer) for ref, answer in zip(changes, answers, strict=True)}
    return [results[note.ref] for note in notes]


def _result(answer: object) -> NoteResult:
    raw: Json = answer if isinstance(answer, dict) else {}
    if raw.get("success") is True:
        return NoteResult(NoteOutcome.WRITTEN)
    if raw.get("success") is not False:
        raise UnexpectedReply("Salesforce's result of an update does not say `success`", effect=Effect.UNKNOWN)
    refusal = Refusal.of(OK, raw.get("errors"))
    if refusal.code in RETRYABLE:
        message = f"Salesforce could not write for now: {refusal.code}"
        raise Unavailable(message, effect=Effect.UNKNOWN, code=refusal.code)
    outcome = NoteOutcome.GONE if refusal.code in GONE else NoteOutcome.REFUSED
    return NoteResult(outcome, refusal.code, scrub(refusal.words))
