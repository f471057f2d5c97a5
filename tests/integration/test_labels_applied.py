"""A mapping in words is stored by the CRM's names, so that every later reader finds what it knows."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import orjson

from app.bootstrap.contexts import document_applier
from app.config import FileConfig, Mistake
from app.connections.schema_codec import decode_schema
from app.mapping import repository as mappings
from tests.api.rig import NOW, Rig, rig_on

DOCUMENT: Mapping[str, object] = {
    "identity": {"email": "contact.Email"},
    "consent": {"not_required": True, "because": "a test"},
    "milestones": [
        {
            "name": "closed_revenue",
            "when": [{"object": "deal", "property": "Deal Stage", "pipeline": "Sales Pipeline", "enters": ["Closed Won"]}],
        }
    ],
}


async def _apply(rig: Rig, document: Mapping[str, object]) -> tuple[list[Mistake], Mapping[str, object]]:
    """The mistakes, and the document that is active afterwards."""
    (row,) = await rig.services.sources()
    schema = replace(decode_schema(row.schema_json or ""), names_by_label=True)
    config = FileConfig(sources={}, destinations={}, mappings={})
    apply = document_applier({"hubspot": schema}, config, rig.services.openers, NOW, "test")
    async with rig.services.database.write() as connection:
        mistakes = list(await apply(connection, row.id, "hubspot", document))
    async with rig.services.database.read() as connection:
        active = await mappings.active(connection, row.id)
    assert active is not None
    return mistakes, orjson.loads(active.document_json)


async def test_words_are_stored_as_names(tmp_path: Path, database_url: str) -> None:
    """The engine, the selection and the trace compare names."""
    async with rig_on(tmp_path, database_url) as rig:
        mistakes, stored = await _apply(rig, DOCUMENT)

    assert mistakes == []
    assert stored["identity"] == {"email": "contact.email"}
    assert orjson.dumps(stored["milestones"]).count(b'"closedwon"') == 1


async def test_a_mistyped_word_is_told_once_and_stores_nothing(tmp_path: Path, database_url: str) -> None:
    """Label and name are one mistake, with the label that was meant."""
    async with rig_on(tmp_path, database_url) as rig:
        mistakes, stored = await _apply(rig, {**DOCUMENT, "identity": {"email": "contact.Emial"}})

    assert [(one.path, one.nearest) for one in mistakes] == [("identity.email", "contact.Email")]
    assert stored["identity"] != {"email": "contact.Emial"}
