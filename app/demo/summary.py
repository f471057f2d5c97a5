"""SQL of the demo's summary: leads, milestones, deliveries by state and reason."""

from dataclasses import dataclass, field

from sqlalchemy import func, select

from app.db.session import Database
from app.db.tables import conversions, deliveries, destinations, leads


@dataclass(slots=True)
class Books:
    """Counts for the end of the demo."""

    leads: int = 0
    milestones: dict[str, int] = field(default_factory=dict)
    worth: dict[str, int] = field(default_factory=dict)
    deliveries: dict[tuple[str, str, str], int] = field(default_factory=dict)
    owed: int = 0

    @property
    def balance(self) -> bool:
        """Every delivery is in exactly one state, and nobody is stuck in sending."""
        return not any(state == "sending" for _, state, _ in self.deliveries)


async def read_books(database: Database) -> Books:
    """Read the summary in three statements."""
    books = Books()
    async with database.read() as connection:
        books.leads = int(await connection.scalar(select(func.count()).select_from(leads)) or 0)
        result = await connection.execute(
            select(conversions.c.milestone, func.count(), func.sum(conversions.c.amount_micros))
            .where(conversions.c.live)
            .group_by(conversions.c.milestone)
        )
        for milestone, count, worth in result:
            books.milestones[milestone] = count
            books.worth[milestone] = int(worth or 0)
        result = await connection.execute(
            select(destinations.c.name, deliveries.c.state, deliveries.c.reason, func.count())
            .join(destinations, destinations.c.id == deliveries.c.destination_id)
            .group_by(destinations.c.name, deliveries.c.state, deliveries.c.reason)
        )
        for name, state, reason, count in result:
            books.deliveries[name, state, reason] = count
    return books
