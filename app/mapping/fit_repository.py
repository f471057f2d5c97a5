"""SQL of value fits: versions of what a source's history teaches, the newest one values. Never commits."""

from sqlalchemy import Row, bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows
from app.db.instants import from_ms, to_ms
from app.db.tables import value_fits
from app.mapping.fits import Fit, read_fit, write_fit

# A conversion keeps the figures by which it was valued; older fits only show how they moved.
MOST_KEPT = 90
_MINE = value_fits.c.source_id == bindparam("source_id")
_NEWEST = select(func.max(value_fits.c.version)).where(_MINE)
_FIT = select(value_fits).where(_MINE).order_by(value_fits.c.version.desc()).limit(1)


async def newest_version(connection: AsyncConnection, source_id: int) -> int:
    """The number of the newest fit of a source, 0 before there is one."""
    return int(await connection.scalar(_NEWEST, {"source_id": source_id}) or 0)


async def newest_fit(connection: AsyncConnection, source_id: int) -> Fit | None:
    """The newest fit of a source, None before there is one."""
    row = (await connection.execute(_FIT, {"source_id": source_id})).one_or_none()
    return None if row is None else _fit(row)


async def save_fit(connection: AsyncConnection, source_id: int, fit: Fit) -> int:
    """Store a fit as the newest one and return its version; the oldest go."""
    version = await newest_version(connection, source_id) + 1
    row = {
        "source_id": source_id,
        "version": version,
        "mapping_version": fit.mapping_version,
        "fitted_at": to_ms(fit.fitted_at),
        "fit_json": write_fit(fit),
    }
    await insert_rows(connection, value_fits, [row])
    await connection.execute(
        delete(value_fits).where(value_fits.c.source_id == source_id, value_fits.c.version <= version - MOST_KEPT)
    )
    return version


def _fit(row: Row[tuple[object, ...]]) -> Fit:
    return read_fit(row.fit_json, version=row.version, mapping_version=row.mapping_version, fitted_at=from_ms(row.fitted_at))
