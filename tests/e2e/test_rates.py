"""Currency rates that come later than the sales: what waited for them goes by itself, and is looked at once."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from app.bootstrap.services import Services
from app.db.bulk import insert_rows
from app.db.tables import conversions, deliveries, destinations, fx_rates
from app.ingest import recorder
from app.ingest.recorder import Recorder
from tests.e2e.kill_worker import config_text
from tests.e2e.kill_world import START
from tests.e2e.stage_rig import BASE, Rig

IN_DOLLARS = "value: {model: field, field: deal.amount}"
IN_EUROS = "value: {model: field, field: deal.amount, currency: EUR}"


async def _open(rig: Rig) -> Services:
    """Sales in dollars, told in euros."""
    text = config_text(BASE)
    assert IN_DOLLARS in text
    file = rig.folder / "leadloop.yaml"
    file.write_text(text.replace(IN_DOLLARS, IN_EUROS), encoding="utf-8")
    services = await rig.open(applies=False)
    await services.apply_file(file, actor="test")
    return services


def _sell(rig: Rig, number: int, days_ago: float = 0) -> None:
    at = rig.clock() - timedelta(days=days_ago, minutes=number)
    person = rig.create("contacts", at, {"email": f"ada.{number}@customer.example.com", "lastname": "Lovelace"})
    deal = rig.create("deals", at, {"dealname": "d", "dealstage": "closedwon", "amount": "100"})
    rig.portal.associate(deal, person, at=at)


async def _add_rate(services: Services, day: timedelta, version: int) -> None:
    row = {"day": (START + day).date().isoformat(), "base": "USD", "quote": "EUR", "rate_micros": 900_000, "version": version}
    async with services.database.write() as connection:
        await insert_rows(connection, fx_rates, [row])


async def _sales(services: Services) -> list[tuple[str, str, int | None]]:
    """State, reason and amount sent of the uploads of sales to Meta, which takes people by e-mail."""
    query = (
        select(deliveries.c.state, deliveries.c.reason, deliveries.c.sent_amount_micros)
        .join(conversions, conversions.c.id == deliveries.c.conversion_id)
        .join(destinations, destinations.c.id == deliveries.c.destination_id)
        .where(conversions.c.milestone == "closed_revenue", destinations.c.name == "meta")
        .order_by(conversions.c.occurred_at)
    )
    async with services.database.read() as connection:
        return [tuple(row) for row in await connection.execute(query)]


async def test_a_sale_that_waits_for_a_rate_goes_after_rates_came(tmp_path: Path, database_url: str) -> None:
    """Nobody touches a won deal again, and no poll is due: without a look of its own it would wait until it expires."""
    rig = Rig(database_url, tmp_path)
    try:
        services = await _open(rig)
        rig.stage.pass_time(START + timedelta(hours=5))
        _sell(rig, 1)
        await rig.tick_for(services, hours=1, every=timedelta(minutes=30))
        waiting = await _sales(services)

        await _add_rate(services, timedelta(), 1)
        await rig.tick_for(services, hours=0.001, every=timedelta(seconds=3))

        assert waiting == [("pending", "rate", None)]
        assert await _sales(services) == [("accepted", "delivered", 90_000_000)]
    finally:
        await rig.close()


async def test_every_waiting_sale_is_reached_and_rates_are_looked_at_once(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full batch that still finds no rate must not hide those behind it; and a restart must not look at all again."""
    monkeypatch.setattr(recorder, "MOST_REVALUED", 2)
    rig = Rig(database_url, tmp_path)
    looks: list[int] = []
    revalue = Recorder.revalue

    async def counted(self: Recorder, *args: object, after: int = 0, **named: object) -> object:
        looks.append(after)
        return await revalue(self, *args, after=after, **named)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(Recorder, "revalue", counted)
    try:
        services = await _open(rig)
        rig.stage.pass_time(START + timedelta(days=2))
        for number in range(5):
            _sell(rig, number, days_ago=1.5 if number < 4 else 0)
        await rig.tick_for(services, hours=1, every=timedelta(minutes=30))
        await _add_rate(services, timedelta(days=2), 1)
        await rig.tick_for(services, hours=0.001, every=timedelta(seconds=3))
        first, looks[:] = list(looks), []

        again = await rig.open(applies=False)
        await rig.tick_for(again, hours=1, every=timedelta(minutes=30))

        assert [state for state, _, _ in await _sales(services)] == [*["pending"] * 4, "accepted"]
        assert (len(first), looks) == (3, [])
    finally:
        await rig.close()
