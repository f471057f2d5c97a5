"""Currency rates: imported by file and over REST, listed; what waits for one is valued by the next pull."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from app.access.repository import add_audit
from app.bootstrap.bell import Bell
from app.bootstrap.contexts import Contexts
from app.db.instants import to_ms
from app.db.session import Database
from app.mapping import repository as mappings
from app.mapping.rates import DatedRate
from app.reports.rates_file import RatesImported, imported_of, read_rates


@dataclass(frozen=True, slots=True)
class RatesKeeping:
    """Keeps the table of rates."""

    database: Database
    clock: Callable[[], datetime]
    contexts: Contexts
    bell: Bell

    async def import_file(self, path: Path, *, actor: str) -> RatesImported:
        """Import a CSV file (day, base, quote, rate), all or nothing. FileInvalid, OSError."""
        return await self.save(read_rates(path), actor=actor)

    async def save(self, rates: Sequence[DatedRate], *, actor: str) -> RatesImported:
        """Store rates; what stood for the same day and pair gives way. What was valued by it keeps its rate."""
        now = self.clock()
        async with self.database.write() as connection:
            changed = await mappings.save_rates(connection, rates)
            imported = imported_of(list(rates), changed)
            if changed:
                detail = {"rates": len(rates), "changed": changed, "pairs": list(imported.pairs)}
                at = {"actor": actor, "action": "rates.save", "subject": "rates"}
                await add_audit(connection, **at, detail=detail, now_ms=to_ms(now))
        self.contexts.forget()
        self.bell.ring()
        return imported

    async def list(
        self, *, base: str | None, quote: str | None, after: tuple[str, str, str] | None, limit: int
    ) -> Sequence[DatedRate]:
        """Newest day first; `after` is the key (day, base, quote) of the last one of the page before."""
        async with self.database.read() as connection:
            return await mappings.list_rates(connection, base=base, quote=quote, after=after, limit=limit)
