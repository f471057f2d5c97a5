"""Value fits as a use case: made every night and where a mapping has none yet, made on request, shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from app.bootstrap.contexts import Contexts
from app.bootstrap.mapping_versions import VersionUnknown
from app.connections import repository as connections
from app.connections.repository import SourceRow
from app.db.session import Database
from app.ingest.context import SourceContext
from app.ingest.learning import learn
from app.mapping import fit_repository as fits
from app.mapping.fits import Fit, MilestoneFit, kept_of
from app.mapping.value_model import ValueModel
from app.reports.snapshot import snapshot

log = structlog.get_logger()

EVERY = timedelta(days=1)
# A fit that has too few cases is soon made anew: a first pull or a backfill brings them within hours.
AGAIN = timedelta(hours=1)


class NothingLearnt(Exception):
    """The source's mapping has no value that is learnt; the message says so."""


@dataclass(frozen=True, slots=True)
class LearntValue:
    """A milestone's model, and what the newest fit says of it (None: nothing of this model yet).

    `why_not`: why the fallback values new conversions, None where it does not.
    """

    milestone: str
    model: ValueModel
    fit: MilestoneFit | None
    why_not: str | None


@dataclass(frozen=True, slots=True)
class LearntValues:
    """What the active mapping of a source learns, and the newest fit."""

    source: str
    values: Sequence[LearntValue] = ()
    fit: Fit | None = None


@dataclass(frozen=True, slots=True)
class ValueFits:
    """Makes fits and shows them."""

    database: Database
    clock: Callable[[], datetime]
    contexts: Contexts

    async def run(self, now: datetime) -> None:
        """A job: fit every source whose fit is a day old, has too few cases, or is not of the active mapping."""
        for row in await self._rows():
            context = await self.contexts.of_source(row)
            if context is not None and _is_due(context, now):
                await self._fit(context, now)

    async def fit(self, source: str | None = None) -> Sequence[LearntValues]:
        """Fit one source, or all whose mapping learns values. Raises VersionUnknown, NothingLearnt."""
        for row in await self._rows(source):
            context = await self.contexts.of_source(row)
            if context is not None and context.document.learns:
                await self._fit(context, self.clock())
            elif source is not None:
                raise NothingLearnt(f"no value of the active mapping of {source} is learnt: none is `average` or `predicted`")
        return await self.shown(source)

    async def shown(self, source: str | None = None) -> Sequence[LearntValues]:
        """The newest figures of one source, or of all. Raises VersionUnknown."""
        found = []
        for row in await self._rows(source):
            context = await self.contexts.of_source(row)
            found.append(LearntValues(row.name) if context is None else LearntValues(row.name, _values(context), context.fit))
        return found

    async def _rows(self, source: str | None = None) -> list[SourceRow]:
        async with self.database.read() as connection:
            rows = await connections.list_sources(connection)
        if source is None:
            return rows
        found = [row for row in rows if row.name == source]
        if not found:
            raise VersionUnknown(f"there is no source `{source}`; there are: {', '.join(row.name for row in rows) or 'none'}")
        return found

    async def _fit(self, context: SourceContext, now: datetime) -> None:
        async with snapshot(self.database) as connection:
            fit = await learn(connection, context, now)
        async with self.database.write() as connection:
            fit = replace(fit, version=await fits.save_fit(connection, context.id, fit))
        self.contexts.forget()
        enough = sum(one.is_enough for one in fit.milestones.values())
        log.info("values.fitted", source=context.name, version=fit.version, milestones=len(fit.milestones), enough=enough)


def _values(context: SourceContext) -> list[LearntValue]:
    home, values = context.facts.schema.currency, []
    for name, model in context.document.learns.items():
        found = None if context.fit is None else context.fit.milestones.get(name)
        kept = kept_of(context.fit, name, model, (), home)
        suits = found is not None and found.suits(model, home)
        values.append(LearntValue(name, model, found if suits else None, kept if isinstance(kept, str) else None))
    return values


def _is_due(context: SourceContext, now: datetime) -> bool:
    if not context.document.learns:
        return False
    fit = context.fit
    if fit is None or context.lacks_fit:
        return True
    has_enough = all(fit.milestones[name].is_enough for name in context.document.learns)
    return now - fit.fitted_at >= (EVERY if has_enough else AGAIN)
