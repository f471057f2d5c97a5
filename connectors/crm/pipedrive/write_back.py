"""Writes the sync status into custom fields, one request a record: Pipedrive updates no two at once."""

from collections.abc import Sequence

from connectors.contract.errors import AuthenticationFailed, RequestRefused
from connectors.contract.records import ObjectKind
from connectors.contract.source import NoteOutcome, NoteResult, StatusNote
from connectors.crm.pipedrive.api import PipedriveApi
from connectors.crm.pipedrive.budget import Call
from connectors.crm.pipedrive.objects import CUSTOM_KEY, OBJECTS, V1, V2
from connectors.crm.pipedrive.refusals import GONE, is_of_one_record
from connectors.crm.pipedrive.replies import is_record_id

NO_CUSTOM_FIELD = NoteResult(NoteOutcome.REFUSED, "no_custom_field", "Only a custom field is written to, named by its key")
NO_SUCH_RECORD = NoteResult(NoteOutcome.GONE, "no_such_id", "Pipedrive has no such id")


async def write_notes(api: PipedriveApi, notes: Sequence[StatusNote]) -> Sequence[NoteResult]:
    """One result a note, in order; raises where the call failed (notes before it may be written, which repeats harmlessly)."""
    return [await _write(api, note) for note in notes]


async def _write(api: PipedriveApi, note: StatusNote) -> NoteResult:
    """Nothing but the field goes into the body: a `value` beside it would reset deals with products (client-nodejs 626)."""
    kind, one = note.ref.kind, note.ref.external_id
    if not CUSTOM_KEY.fullmatch(note.property):
        return NO_CUSTOM_FIELD
    if not is_record_id(kind, one):
        return NO_SUCH_RECORD
    try:
        if kind is ObjectKind.LEAD:
            await api.change(Call.UPDATE_LEAD, f"{V1}/leads/{one}", {note.property: note.text})
        else:
            body = {"custom_fields": {note.property: note.text}}
            await api.change(Call.UPDATE, f"{V2}/{OBJECTS[kind].path}/{one}", body)
    except RequestRefused as error:
        outcome = NoteOutcome.GONE if error.status in GONE else NoteOutcome.REFUSED
        return NoteResult(outcome, error.code, error.message)
    except AuthenticationFailed as error:
        if not is_of_one_record(error):
            raise
        return NoteResult(NoteOutcome.REFUSED, error.code, error.message)
    return NoteResult(NoteOutcome.WRITTEN)
