"""CRM leads beside contacts: a mapping under which both make the same milestones of a person."""

from collections.abc import Sequence
from typing import Any

from app.db.session import Database
from connectors.contract.records import Entry, ObjectKind, PersonLink, Record, RecordRef, RecordState
from tests.integration.recorder_rig import World, day, world_of
from tests.unit.mapping.mapping_rig import DOCUMENT

CONTACT, LEAD = ObjectKind.CONTACT, ObjectKind.LEAD
IDENTITY = {"email": ["contact.email", "lead.email"], "gclid": ["lead.GCLID__c", "contact.GCLID__c"]}
WHEN: dict[str, dict[str, Any]] = {
    "lead": {"when": [{"object": "contact", "created": True}, {"object": "lead", "created": True}]},
    "qualified_lead": {
        "when": [*DOCUMENT["milestones"][1]["when"], {"object": "lead", "property": "Status", "enters": ["Qualified"]}]
    },
}


def crm_lead(
    ref: str,
    *steps: tuple[float, str],
    people: Sequence[str] | None = None,
    modified: float = 30,
    created: float = 0,
    state: RecordState = RecordState.LIVE,
    **fields: str,
) -> Record:
    """A CRM lead as the CRM gives it."""
    return Record(
        ref=RecordRef(LEAD, ref),
        modified_at=day(modified),
        created_at=day(created),
        fields=fields,
        entries=tuple(Entry("Status", value, day(at)) for at, value in steps),
        people=None if people is None else tuple(PersonLink(RecordRef(CONTACT, one)) for one in people),
        state=state,
    )


async def joined_world(database: Database, repeat: str = "first_only") -> World:
    """A world in which CRM leads and contacts make the same milestones of a person."""
    changes = {**WHEN, "qualified_lead": {**WHEN["qualified_lead"], "repeat": repeat}}
    return await world_of(database, changes, identity=IDENTITY)
