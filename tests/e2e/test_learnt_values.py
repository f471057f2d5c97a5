"""Values learnt from our own history, end to end: the fallback first, then the fit's figures; nothing is restated by itself."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from app.bootstrap import value_fits
from app.bootstrap.services import Services
from app.db.tables import conversions, deliveries
from app.db.tables import value_fits as stored_fits
from app.mapping import fit_repository, fits
from tests.e2e.kill_worker import config_text
from tests.e2e.kill_world import START
from tests.e2e.stage_rig import BASE, Rig

OPPORTUNITY = "enters: [qualifiedtobuy, presentationscheduled]}]"
FALLBACK = "{model: fixed, amount: 20, currency: USD}"
PREDICTED = f"{OPPORTUNITY}\n        value: {{model: predicted, field: deal.amount, fallback: {FALLBACK}}}"


async def _open(rig: Rig, value: str = PREDICTED) -> Services:
    file = rig.folder / "leadloop.yaml"
    file.write_text(config_text(BASE).replace(OPPORTUNITY, value), encoding="utf-8")
    services = await rig.open(applies=False)
    await services.apply_file(file, actor="test")
    return services


def _deal(rig: Rig, number: int, amount: str = "100") -> str:
    at = rig.clock() - timedelta(minutes=number % 7)
    person = rig.create("contacts", at, {"email": f"ada.{number}@customer.example.com", "lastname": "Lovelace"})
    deal = rig.create("deals", at, {"dealname": "d", "dealstage": "qualifiedtobuy", "amount": amount})
    rig.portal.associate(deal, person, at=at)
    return deal


def _end(rig: Rig, deal: str, stage: str) -> None:
    rig.portal.update("deals", deal, {"dealstage": stage}, rig.clock())


async def _values(services: Services) -> list[tuple[int | None, str]]:
    """Amount and explanation of the opportunities, in the order of their instants."""
    query = (
        select(conversions.c.amount_micros, conversions.c.value_why)
        .where(conversions.c.milestone == "opportunity")
        .order_by(conversions.c.occurred_at, conversions.c.id)
    )
    async with services.database.read() as connection:
        return [(row.amount_micros, row.value_why) for row in await connection.execute(query)]


async def _restatements(services: Services) -> int:
    async with services.database.read() as connection:
        return len(list(await connection.execute(select(deliveries.c.id).where(deliveries.c.kind == "restate"))))


async def _versions(services: Services) -> list[int]:
    async with services.database.read() as connection:
        return list(await connection.scalars(select(stored_fits.c.version).order_by(stored_fits.c.version)))


async def test_a_fit_values_what_is_new_and_restates_what_was_sent_only_on_request(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before history there is the fallback; every night there is a new fit, and a platform must not hear of each."""
    monkeypatch.setattr(fits, "LEAST_LEADS", 8)
    monkeypatch.setattr(fits, "LEAST_WON", 2)
    rig = Rig(database_url, tmp_path)
    try:
        services = await _open(rig)
        rig.stage.pass_time(START + timedelta(days=1))
        deals = [_deal(rig, number) for number in range(8)]
        await services.value_fits().run(rig.clock())
        await rig.tick_for(services, hours=1, every=timedelta(minutes=30))
        for number, deal in enumerate(deals):
            _end(rig, deal, "closedwon" if number % 4 == 0 else "closedlost")
        await rig.tick_for(services, hours=2, every=timedelta(minutes=30))
        first = await _values(services)

        await services.value_fits().run(rig.clock())
        _deal(rig, 100, amount="1000")
        await rig.tick_for(services, hours=1, every=timedelta(minutes=30))
        second = await _values(services)

        await rig.tick_for(services, hours=26, every=timedelta(hours=2))
        _deal(rig, 101, amount="1000")
        _end(rig, deals[1], "closedwon")
        await rig.tick_for(services, hours=1, every=timedelta(minutes=30))
        await services.value_fits().run(rig.clock())
        await rig.tick_for(services, hours=1, every=timedelta(minutes=30))
        before = await _restatements(services)
        third = await _values(services)

        await services.reapplies().ask("hubspot", 1, restates=True, actor="test")
        await services.reapplies().finish("hubspot")

        why = "too few cases: 0 leads, 0 won, of at least 8 and 2 (fit 1): the fallback of `predicted`, fixed at 20 USD"
        assert first == [(20_000_000, why)] * 8
        fitted_on = (START + timedelta(days=1)).date()
        told = f"predicted: deal.amount in USD times 25.0%, the chance to win of 8 leads (fit 2 of {fitted_on})"
        assert second[-1] == (250_000_000, told)
        assert third[:9] == second
        assert before == 0
        restated = await _values(services)
        assert "the chance to win of 10 leads (fit 3 of" in restated[0][1]
        assert restated[0][0] != 20_000_000
        assert await _versions(services) == [1, 2, 3]
    finally:
        await rig.close()


async def test_a_mapping_that_learns_is_fitted_at_once_and_again_when_it_asks_otherwise(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever activates a mapping must not wait for the night; nor may figures by other segments value anything."""
    monkeypatch.setattr(fit_repository, "MOST_KEPT", 2)
    rig = Rig(database_url, tmp_path)
    try:
        services = await _open(rig)
        job = services.value_fits()
        await job.run(rig.clock())
        await job.run(rig.clock() + value_fits.AGAIN - timedelta(seconds=1))
        once = await _versions(services)
        await job.run(rig.clock() + value_fits.AGAIN)
        with_few_cases = await _versions(services)

        await _open(rig, PREDICTED.replace("model: predicted,", "model: predicted, by: [platform],"))
        await job.run(rig.clock() + value_fits.AGAIN)

        assert (once, with_few_cases) == ([1], [1, 2])
        assert await _versions(services) == [2, 3]
        (shown,) = await job.shown("hubspot")
        assert shown.fit is not None
        assert (shown.fit.version, shown.fit.mapping_version, shown.fit.milestones["opportunity"].by) == (3, 2, ("platform",))
    finally:
        await rig.close()


async def test_a_mapping_that_learns_nothing_is_not_fitted(tmp_path: Path, database_url: str) -> None:
    """It costs nobody anything."""
    rig = Rig(database_url, tmp_path)
    try:
        services = await rig.open()
        await services.value_fits().run(rig.clock())

        assert await _versions(services) == []
        with pytest.raises(value_fits.NothingLearnt):
            await services.value_fits().fit("hubspot")
        assert [(one.source, list(one.values)) for one in await services.value_fits().shown()] == [("hubspot", [])]
    finally:
        await rig.close()
