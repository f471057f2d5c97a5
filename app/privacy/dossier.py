"""All that is stored of one person, opened and readable: what is handed out when they ask. Never logged."""

from collections.abc import Mapping
from datetime import datetime

import orjson

from app.db.session import Database
from app.ingest.people import People
from app.privacy import repository as privacy
from app.reports.trace import as_json, trace
from app.secrets import SecretsUnreadable

_UNREADABLE = "sealed under a key that is not at hand"


async def dossier_of(database: Database, people: People, source: str, lead_id: int, now: datetime) -> Mapping[str, object]:
    """The trace of a lead, with the fields of its records and every identity as they are stored."""
    story = await trace(database, people.keyring, str(lead_id), now, source)
    async with database.read() as connection:
        held = await privacy.sealed_records_of(connection, lead_id)
        identities = await privacy.sealed_of_leads(connection, [lead_id])
    return {
        "source": source,
        "lead_id": lead_id,
        "records": [{"ref": row.ref, "state": row.state, "fields": _fields(people, row.sealed)} for row in held],
        "identities": [{"id": identity_id, "identifiers": _identifiers(people, sealed)} for _, identity_id, sealed in identities],
        "history": {} if story is None else dict(as_json(story)),
    }


def _fields(people: People, sealed: bytes) -> object:
    try:
        return orjson.loads(people.keyring.open(sealed))
    except SecretsUnreadable:
        return _UNREADABLE


def _identifiers(people: People, sealed: bytes) -> object:
    try:
        return {str(name): value for name, value in people.identifiers_in(sealed).items()}
    except SecretsUnreadable:
        return _UNREADABLE
