"""The demo's results: reports as any user gets them, and the platforms' own ledgers beside them."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import Select, and_, case, func, select

from app.db.session import Database
from app.db.tables import conversions, deliveries, destinations, records
from app.demo.campaigns import spend_csv
from app.demo.play import Play
from app.outbox.states import Reason
from app.reports.books import Books, BooksQuery, books
from app.reports.funnel import Base, Funnel, FunnelQuery, campaigns, funnel
from app.reports.spend import import_spend

COUNTED = {"google": ("confirmed",), "meta": ("accepted",)}


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """A platform's own ledger beside ours: what it counts, how many of these twice, and what our books say it has."""

    platform: str
    counted: int
    doubled: int
    said: int

    @property
    def is_equal(self) -> bool:
        """None twice, and as many as we say."""
        return not self.doubled and self.counted == self.said


@dataclass(frozen=True, slots=True)
class Results:
    """All that the summary shows."""

    funnel: Funnel
    campaigns: Funnel
    books: Books
    ledgers: tuple[LedgerCheck, ...]
    won: int
    too_late: int
    example: str

    @property
    def is_right(self) -> bool:
        """The books balance and each ledger is equal."""
        return self.books.is_balanced and all(one.is_equal for one in self.ledgers)


async def results_of(play: Play, folder: Path) -> Results:
    """Import the spend and read the reports over the whole world."""
    database, world = play.services.database, play.stage.world
    file = folder / "spend.csv"
    file.write_text(spend_csv(world.spend), encoding="utf-8")
    await import_spend(database, file, actor="demo", now=world.ends_at)
    since, until = world.begins_at.date(), world.ends_at.date() - timedelta(days=1)
    query = FunnelQuery(since, until, Base.COHORT)
    by_campaign = FunnelQuery(since, until, Base.COHORT, "campaign")
    return Results(
        funnel=await funnel(database, query),
        campaigns=await campaigns(database, by_campaign),
        books=await books(database, BooksQuery(date(2000, 1, 1), until + timedelta(days=7))),
        ledgers=(await _google(play), await _meta(play)),
        won=await _won(database),
        too_late=await _too_late(database),
        example=await _example(database),
    )


async def _google(play: Play) -> LedgerCheck:
    entries = play.stage.google.ledger.entries.values()
    return await _check(play, "google", [entry.times_counted for entry in entries])


async def _meta(play: Play) -> LedgerCheck:
    entries = play.stage.meta.ledger.entries.values()
    return await _check(play, "meta", [entry.times_counted for entry in entries])


async def _check(play: Play, platform: str, times: list[int]) -> LedgerCheck:
    counts = case(
        (and_(deliveries.c.kind == "upload", deliveries.c.state.in_(COUNTED[platform])), 1),
        (and_(deliveries.c.kind == "retract", deliveries.c.state == "accepted"), -1),
        else_=0,
    )
    query = (
        select(func.sum(counts))
        .join(destinations, destinations.c.id == deliveries.c.destination_id)
        .where(destinations.c.name == platform)
    )
    async with play.services.database.read() as connection:
        said = int(await connection.scalar(query) or 0)
    return LedgerCheck(platform.capitalize(), sum(times), sum(count > 1 for count in times), said)


async def _won(database: Database) -> int:
    query = select(func.count()).select_from(conversions).where(conversions.c.milestone == "closed_revenue", conversions.c.live)
    async with database.read() as connection:
        return int(await connection.scalar(query) or 0)


def _too_late_at_google() -> Select[tuple[int, str]]:
    return (
        select(deliveries.c.id, records.c.external_id)
        .join(destinations, destinations.c.id == deliveries.c.destination_id)
        .join(conversions, conversions.c.id == deliveries.c.conversion_id)
        .join(records, records.c.id == conversions.c.record_id)
        .where(
            destinations.c.name == "google",
            conversions.c.milestone == "closed_revenue",
            conversions.c.live,
            deliveries.c.kind == "upload",
            deliveries.c.reason == Reason.TOO_OLD.value,
        )
    )


async def _too_late(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(_too_late_at_google().subquery())) or 0)


async def _example(database: Database) -> str:
    """A deal worth a look: won, and too late for Google; else any record."""
    async with database.read() as connection:
        late = (await connection.execute(_too_late_at_google().order_by(deliveries.c.id).limit(1))).one_or_none()
        if late is not None:
            return f"deal:{late.external_id}"
        any_one = (await connection.execute(select(records.c.object, records.c.external_id).limit(1))).one_or_none()
        return "contact:1" if any_one is None else f"{any_one.object}:{any_one.external_id}"
