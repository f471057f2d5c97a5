"""SQL of mapping versions: immutable, one active per source. Never commits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import RowMapping, and_, bindparam, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows
from app.db.ids import take_ids
from app.db.tables import fx_rates, mapping_versions
from app.mapping.rates import DatedRate, Rates


@dataclass(frozen=True, slots=True)
class ActiveMapping:
    """The active version of a source; `first_activated_at` is the default of `start`."""

    version: int
    document_json: str = field(repr=False)
    activated_at: int
    first_activated_at: int


async def save_version(connection: AsyncConnection, source_id: int, document_json: str, created_by: str, now_ms: int) -> int:
    """Store a new version and return its number."""
    newest = await connection.scalar(
        select(func.max(mapping_versions.c.version)).where(mapping_versions.c.source_id == source_id)
    )
    version = int(newest or 0) + 1
    row = {
        "id": await take_ids(connection, 1),
        "source_id": source_id,
        "version": version,
        "document_json": document_json,
        "created_at": now_ms,
        "created_by": created_by,
        "is_active": False,
    }
    await insert_rows(connection, mapping_versions, [row])
    return version


async def activate(connection: AsyncConnection, source_id: int, version: int, now_ms: int) -> None:
    """Make this version the active one."""
    mine = mapping_versions.c.source_id == source_id
    await connection.execute(update(mapping_versions).where(mine, mapping_versions.c.is_active).values(is_active=False))
    await connection.execute(
        update(mapping_versions)
        .where(mine, mapping_versions.c.version == version)
        .values(is_active=True, activated_at=func.coalesce(mapping_versions.c.activated_at, now_ms))
    )


_EVER = mapping_versions.alias("ever")
_FIRST = select(func.min(_EVER.c.activated_at)).where(_EVER.c.source_id == mapping_versions.c.source_id).scalar_subquery()
_ACTIVE = select(
    mapping_versions.c.version, mapping_versions.c.document_json, mapping_versions.c.activated_at, _FIRST.label("first")
).where(mapping_versions.c.source_id == bindparam("source_id"), mapping_versions.c.is_active)


async def active(connection: AsyncConnection, source_id: int) -> ActiveMapping | None:
    """The active version, None where there is none."""
    row = (await connection.execute(_ACTIVE, {"source_id": source_id})).mappings().one_or_none()
    if row is None:
        return None
    return ActiveMapping(row["version"], row["document_json"], row["activated_at"], int(row["first"]))


@dataclass(frozen=True, slots=True)
class VersionsHeld:
    """A mapping's active version, and the newest that a config file brought."""

    active: int | None = None
    of_file: int | None = None

    @property
    def differs_from_file(self) -> bool:
        """While another version is active than the config file's."""
        return self.of_file is not None and self.active != self.of_file


async def versions_held(connection: AsyncConnection) -> dict[int, VersionsHeld]:
    """Of every source that has a mapping."""
    version = mapping_versions.c.version
    statement = select(
        mapping_versions.c.source_id,
        func.max(case((mapping_versions.c.is_active, version))).label("active"),
        func.max(case((mapping_versions.c.section_hash.is_not(None), version))).label("of_file"),
    ).group_by(mapping_versions.c.source_id)
    return {row.source_id: VersionsHeld(row.active, row.of_file) for row in await connection.execute(statement)}


async def activations(connection: AsyncConnection, source_id: int) -> list[tuple[int, str]]:
    """When each version that ever was active first was, with its document, oldest first."""
    result = await connection.execute(
        select(mapping_versions.c.activated_at, mapping_versions.c.document_json)
        .where(mapping_versions.c.source_id == source_id, mapping_versions.c.activated_at.is_not(None))
        .order_by(mapping_versions.c.activated_at, mapping_versions.c.version)
    )
    return [(row.activated_at, row.document_json) for row in result]


async def rates_version(connection: AsyncConnection) -> int:
    """The newest version of the table of rates, 0 where it is empty: it rises whenever rates come."""
    return int(await connection.scalar(select(func.max(fx_rates.c.version))) or 0)


async def save_rates(connection: AsyncConnection, rates: Sequence[DatedRate]) -> int:
    """Add rates, and replace those that are other than before, under a new version; how many these were."""
    newest = await rates_version(connection)
    rows = [
        {"day": one.day.isoformat(), "base": one.base, "quote": one.quote, "rate_micros": one.rate, "version": newest + 1}
        for one in rates
    ]
    key, changing = ("day", "base", "quote"), "fx_rates.rate_micros <> excluded.rate_micros"
    return await insert_rows(connection, fx_rates, rows, conflict=key, update=("rate_micros", "version"), where=changing)


async def list_rates(
    connection: AsyncConnection, *, base: str | None, quote: str | None, after: tuple[str, str, str] | None, limit: int
) -> list[DatedRate]:
    """Newest day first, then by pair; `after` is the key of the last one of the page before."""
    day, own, other = fx_rates.c.day, fx_rates.c.base, fx_rates.c.quote
    query = select(day, own, other, fx_rates.c.rate_micros).order_by(day.desc(), own, other).limit(limit)
    query = query if base is None else query.where(own == base)
    query = query if quote is None else query.where(other == quote)
    if after is not None:
        at, from_base, from_quote = after
        later = or_(own > from_base, and_(own == from_base, other > from_quote))
        query = query.where(or_(day < at, and_(day == at, later)))
    rows = await connection.execute(query)
    return [DatedRate(date.fromisoformat(row.day), row.base, row.quote, int(row.rate_micros)) for row in rows]


async def load_rates(connection: AsyncConnection, currencies: Iterable[str], since: date) -> Rates:
    """The rates to and from these currencies, from a day on."""
    wanted = sorted(set(currencies))
    result = await connection.execute(
        select(fx_rates.c.day, fx_rates.c.base, fx_rates.c.quote, fx_rates.c.rate_micros, fx_rates.c.version).where(
            fx_rates.c.day >= since.isoformat(), or_(fx_rates.c.quote.in_(wanted), fx_rates.c.base.in_(wanted))
        )
    )
    rows = list(result)
    by_day = {(date.fromisoformat(row.day), row.base, row.quote): int(row.rate_micros) for row in rows}
    return Rates(by_day, max((row.version for row in rows), default=0))


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version of a source's mapping; instants are epoch milliseconds. `is_of_file`: a config file brought it."""

    version: int
    created_at: int
    created_by: str
    activated_at: int | None
    is_active: bool
    is_of_file: bool
    document_json: str = field(repr=False)


async def versions(connection: AsyncConnection, source_id: int, *, limit: int, before: int | None = None) -> list[StoredVersion]:
    """Newest first; `before` is the number of the last one of the page before."""
    query = select(mapping_versions).where(mapping_versions.c.source_id == source_id)
    if before is not None:
        query = query.where(mapping_versions.c.version < before)
    rows = await connection.execute(query.order_by(mapping_versions.c.version.desc()).limit(limit))
    return [_version(row) for row in rows.mappings()]


async def version_of(connection: AsyncConnection, source_id: int, version: int) -> StoredVersion | None:
    """One version, None where there is none of this number."""
    query = select(mapping_versions).where(mapping_versions.c.source_id == source_id, mapping_versions.c.version == version)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else _version(row)


def _version(row: RowMapping) -> StoredVersion:
    return StoredVersion(
        version=row["version"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        activated_at=row["activated_at"],
        is_active=bool(row["is_active"]),
        is_of_file=row["section_hash"] is not None,
        document_json=row["document_json"],
    )
