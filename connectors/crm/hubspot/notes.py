"""Writes the sync status of records into one of their properties, in batches; HubSpot's answers become one result a note."""

from collections.abc import Mapping, Sequence

from connectors.contract.errors import AuthenticationFailed, Effect, RequestRefused, Unavailable
from connectors.contract.records import ObjectKind
from connectors.contract.source import NoteOutcome, NoteResult, StatusNote
from connectors.crm.hubspot.api import HubSpotApi, named_ids
from connectors.crm.hubspot.refusals import OBJECT_NOT_FOUND, PROPERTY_FAULTS, detail_of
from connectors.crm.hubspot.replies import is_record_id, json_objects, unexpected
from connectors.http.scrub import scrub
from connectors.http.strict_json import Json

MOST_NOTES = 100
TRACE = "objectWriteTraceId"
NOT_FOUND = 404
FORBIDDEN = 403
# One input's fault may refuse the whole batch with these.
_OF_AN_INPUT = frozenset({400, 404, 409})
# Errors of an input that pass by themselves; all others are final for this text.
_PASSING = ("RATE_LIMIT", "INTERNAL_ERROR", "SERVER_ERROR", "TIMEOUT", "UNAVAILABLE")

_WRITTEN = NoteResult(NoteOutcome.WRITTEN)

# What to write, by record id: values by property.
_Inputs = Mapping[str, Mapping[str, str]]
_Results = dict[str, NoteResult]


async def write_notes(api: HubSpotApi, notes: Sequence[StatusNote]) -> Sequence[NoteResult]:
    """One result for each note, in order; notes on one record go in one input and share its result."""
    if len(notes) > MOST_NOTES:
        raise ValueError(f"at most {MOST_NOTES} notes at once")
    results: dict[ObjectKind, _Results] = {}
    for kind in ObjectKind:
        inputs = _inputs(kind, notes)
        if not inputs:
            continue
        try:
            results[kind] = await _write(api, kind, inputs)
        except AuthenticationFailed as error:
            # What another kind has written must be told, or it would be written again and again.
            if error.status != FORBIDDEN or not results:
                raise
            results[kind] = dict.fromkeys(inputs, NoteResult(NoteOutcome.REFUSED, error.code, error.message))
    gone = NoteResult(NoteOutcome.GONE, OBJECT_NOT_FOUND)
    return [results.get(note.ref.kind, {}).get(note.ref.external_id, gone) for note in notes]


def _inputs(kind: ObjectKind, notes: Sequence[StatusNote]) -> _Inputs:
    inputs: dict[str, dict[str, str]] = {}
    for note in notes:
        if note.ref.kind is kind and is_record_id(note.ref.external_id):
            inputs.setdefault(note.ref.external_id, {})[note.property] = note.text
    return inputs


async def _write(api: HubSpotApi, kind: ObjectKind, inputs: _Inputs, *, is_again: bool = False) -> _Results:
    """Write a batch. A record's id is its trace id too, as errors are matched by the one or the other."""
    asked = [{"id": one, "properties": dict(values), TRACE: one} for one, values in inputs.items()]
    try:
        body = await api.batch_update(kind, asked)
    except RequestRefused as error:
        return await _split(api, kind, inputs, error)
    results, passing = _read(body, inputs)
    rest = {one: inputs[one] for one in inputs if one not in results}
    if not rest:
        return results
    if not passing:  # errors that name no record: alone, each meets its own
        return {**results, **await _halved(api, kind, rest)}
    if is_again:
        message = f"HubSpot could not write {len(rest)} of {len(inputs)} records ({passing}); they will be written again"
        raise Unavailable(message, effect=Effect.NONE, code=passing)
    return {**results, **await _write(api, kind, rest, is_again=True)}


async def _split(api: HubSpotApi, kind: ObjectKind, inputs: _Inputs, error: RequestRefused) -> _Results:
    """HubSpot refused the batch: halve it until the fault stands alone, so that no record hinders its neighbours."""
    is_unknown_path = error.status == NOT_FOUND and error.code != OBJECT_NOT_FOUND
    if error.status not in _OF_AN_INPUT or is_unknown_path:
        raise error
    properties = {name for values in inputs.values() for name in values}
    is_of_the_property = len(properties) == 1 and any(fault in error.message for fault in PROPERTY_FAULTS)
    if len(inputs) == 1 or is_of_the_property:
        outcome = NoteOutcome.GONE if error.status == NOT_FOUND else NoteOutcome.REFUSED
        return dict.fromkeys(inputs, NoteResult(outcome, error.code, error.message))
    return await _halved(api, kind, inputs)


async def _halved(api: HubSpotApi, kind: ObjectKind, inputs: _Inputs) -> _Results:
    ids = list(inputs)
    halves = (ids[: len(ids) // 2], ids[len(ids) // 2 :])
    results: _Results = {}
    for half in filter(None, halves):
        results |= await _write(api, kind, {one: inputs[one] for one in half})
    return results


def _read(body: Json, inputs: _Inputs) -> tuple[_Results, str]:
    """The results of the inputs that are answered for good, and the code of an error that will pass ("" where there is none)."""
    results: _Results = {}
    for row in json_objects(body.get("results"), "`results`"):
        results |= {str(row[key]): _WRITTEN for key in (TRACE, "id") if str(row.get(key)) in inputs}
    waiting = [one for one in inputs if one not in results]
    errors = json_objects(body.get("errors"), "`errors`")
    if waiting and not errors:
        raise unexpected("a batch write answers for fewer records than it was given")
    passing = ""
    for error in errors:
        code = detail_of(error) or str(error.get("category") or "UNKNOWN")
        named = named_ids(error, waiting) or [one for one in waiting if str(error.get(TRACE)) == one]
        if any(word in code.upper() for word in _PASSING):
            passing = code
        elif named or len(waiting) == 1:
            results |= dict.fromkeys(named or waiting, _refused(error, code))
    return results, passing


def _refused(error: Json, code: str) -> NoteResult:
    is_gone = OBJECT_NOT_FOUND in (code, error.get("category")) or code.endswith(OBJECT_NOT_FOUND)
    return NoteResult(NoteOutcome.GONE if is_gone else NoteOutcome.REFUSED, code, scrub(str(error.get("message") or "")))
