"""Warnings of a source's mapping, by the destinations that are stored and by what its funnel is known to take."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from app.bootstrap.openers import Openers
from app.connections import repository as connections
from app.mapping.delay_queries import delays_of
from app.mapping.document import MappingDocument
from app.mapping.warnings import MappingWarning, warnings_of


async def unwise_in(
    connection: AsyncConnection, openers: Openers, source_id: int, document: MappingDocument
) -> Sequence[MappingWarning]:
    """What is legal in a source's document but unwise."""
    rows = [row for row in await connections.list_destinations(connection) if openers.knows(row.kind)]
    return warnings_of(document, {row.name: openers.limits(row.kind) for row in rows}, await delays_of(connection, source_id))
