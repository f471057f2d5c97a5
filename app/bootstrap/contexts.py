"""The active mapping of each source, ready for recording and sending; and how a mapping of the config file is stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.bootstrap.openers import Openers
from app.config import FileConfig, Mistake
from app.connections import repository as connections
from app.connections.file import ApplyMapping
from app.connections.repository import DestinationRow, SourceRow
from app.connections.schema_codec import decode_schema
from app.db.instants import from_ms, to_ms
from app.db.session import Database
from app.dispatch.model import MilestoneTerms, SourceTerms
from app.ingest.context import DestinationTerms, SourceContext
from app.mapping import repository as mappings
from app.mapping.aggregate import AccountFacts
from app.mapping.checking import check_document
from app.mapping.document import MappingDocument, parse_document
from app.mapping.mistakes import DocumentInvalid
from app.mapping.selection import selection_of
from app.mapping.values import parse_amount
from connectors.contract.conversions import Target
from connectors.contract.source import SourceSchema


class Contexts:
    """Reads the active mappings; a context is kept until `forget`, or until another version is active."""

    def __init__(self, database: Database, openers: Openers) -> None:
        self._database = database
        self._openers = openers
        self._kept: dict[int, tuple[int, SourceContext]] = {}

    def forget(self) -> None:
        """Read everything anew."""
        self._kept.clear()

    async def of_source(self, row: SourceRow) -> SourceContext | None:
        """The context of a source, None where no mapping is active or the CRM was never described."""
        async with self._database.read() as connection:
            active = await mappings.active(connection, row.id)
            destinations = await connections.list_destinations(connection)
        if active is None or row.schema_json is None:
            return None
        kept = self._kept.get(row.id)
        if kept is not None and kept[0] == active.version:
            return kept[1]
        document = parse_document(orjson.loads(active.document_json))
        schema = decode_schema(row.schema_json)
        context = SourceContext(
            id=row.id,
            name=row.name,
            kind=row.kind,
            document=document,
            facts=AccountFacts(row.kind, schema, active.version),
            selection=selection_of(document, schema),
            start=document.start or from_ms(active.first_activated_at),
            destinations=tuple(
                _terms(document, one, self._openers, active.first_activated_at)
                for one in destinations
                if one.name in document.destinations
            ),
        )
        self._kept[row.id] = (active.version, context)
        return context

    async def terms_of(self, source_id: int) -> SourceTerms:
        """What dispatching must know of a source's mapping."""
        async with self._database.read() as connection:
            row = await connections.source_by_id(connection, source_id)
        context = None if row is None else await self.of_source(row)
        if context is None:
            return SourceTerms("", {})
        document = context.document
        return SourceTerms(
            context.kind,
            {
                (name, milestone.name): MilestoneTerms(
                    send_when=str(targets.get("send_when", "any")),
                    minimum_micros=parse_amount(str(targets.get("minimum_value") or milestone.minimum_value or 0)) or 0,
                    prefer=document.person.prefer,
                )
                for name, targets in document.destinations.items()
                for milestone in document.milestones
                if targets.get(milestone.name) is not None
            },
        )

    async def targets(self) -> Mapping[str, Mapping[str, Target]]:
        """By destination name: the target of each milestone, over all active mappings."""
        async with self._database.read() as connection:
            sources = await connections.list_sources(connection)
        found: dict[str, dict[str, Target]] = {}
        for row in sources:
            context = await self.of_source(row)
            for terms in context.destinations if context is not None else ():
                found.setdefault(terms.name, {}).update(
                    {name: Target.of(orjson.loads(text)) for name, text in terms.targets.items()}
                )
        return found


def _terms(document: MappingDocument, row: DestinationRow, openers: Openers, first_activated_at: int) -> DestinationTerms:
    targets = document.destinations[row.name]
    names = {milestone.name for milestone in document.milestones}
    return DestinationTerms(
        id=row.id,
        name=row.name,
        limits=openers.limits(row.kind),
        mode=str(row.mode),
        targets={
            name: orjson.dumps(target, option=orjson.OPT_SORT_KEYS).decode()
            for name, target in targets.items()
            if name in names and target is not None
        },
        # A destination that came later is owed from then on; what is older goes by backfill only.
        owed_from=from_ms(row.created_at) if row.created_at > first_activated_at else None,
    )


def document_applier(
    schemas: Mapping[str, SourceSchema], config: FileConfig, openers: Openers, now: datetime, actor: str
) -> ApplyMapping:
    """How a mapping section is stored: parsed, checked against the CRM and the destinations, saved, activated."""
    settings = {name: openers.limits(section.kind).target_settings for name, section in config.destinations.items()}

    async def apply(connection: AsyncConnection, source_id: int, name: str, data: Mapping[str, object]) -> Sequence[Mistake]:
        try:
            document = parse_document(dict(data))
        except DocumentInvalid as invalid:
            return [Mistake(one.path, one.message, one.nearest) for one in invalid.mistakes]
        for row in await connections.list_destinations(connection):
            settings.setdefault(row.name, openers.limits(row.kind).target_settings)
        mistakes = check_document(document, schemas[name], settings) if name in schemas else ()
        if mistakes:
            return [Mistake(one.path, one.message, one.nearest) for one in mistakes]
        text = orjson.dumps(dict(data), default=str).decode()
        version = await mappings.save_version(connection, source_id, text, actor, to_ms(now))
        await mappings.activate(connection, source_id, version, to_ms(now))
        return []

    return apply
