"""What never shares a request: rows whose form the platform wants apart, uploads and corrections, corrections of both kinds."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MethodType
from typing import Any

import orjson
import pytest
from sqlalchemy import update

from app.db.session import Database
from app.db.tables import identities, leads
from connectors.contract.conversions import Identifier, UploadRow, bit_mask
from connectors.contract.results import Accepted, NotProcessed, UploadResult
from connectors.simulators.faults import timeout
from tests.contract.ad_reading import without
from tests.integration.ad_rig import DAY, HOUR, NOW, AdWorld, ad_world
from tests.integration.test_dispatch import Fake, accept, world_of

LEAD_ID = {"meta": Identifier.META_LEAD_ID, "tiktok": Identifier.TIKTOK_LEAD_ID}


def listening(world: AdWorld) -> list[list[UploadRow]]:
    """Every request's rows from now on, as the connector is given them."""
    heard: list[list[UploadRow]] = []
    connector: Any = world.connector
    for name in ("upload", "adjust"):
        original = getattr(connector, name, None)
        if original is not None:

            async def hear(
                _: object, rows: Sequence[UploadRow], now: datetime, original: Any = original
            ) -> Sequence[UploadResult]:
                heard.append(list(rows))
                results: Sequence[UploadResult] = await original(rows, now)
                return results

            setattr(connector, name, MethodType(hear, connector))
    return heard


async def owe_mixed(world: AdWorld, lead_id: Identifier, count: int = 8) -> None:
    """Every second person came by the platform's own form."""
    for number in range(1, count + 1):
        person = world.stage.person(number)
        await world.owe(number, NOW - DAY, person if number % 2 else without(person, frozenset({lead_id})))


@pytest.mark.parametrize("kind", sorted(LEAD_ID))
@pytest.mark.parametrize("is_refused", [False, True], ids=["taken", "refused and halved"])
async def test_people_of_the_platform_s_own_form_go_by_themselves(database: Database, kind: str, *, is_refused: bool) -> None:
    """They are written otherwise (another event set, another source): together one of both would be read wrongly."""
    async with ad_world(database, kind) as world:
        lead_id = LEAD_ID[kind]
        await owe_mixed(world, lead_id)
        heard = listening(world)
        if is_refused:
            world.stage.plan.script(world.stage.faults.batch_refused)

        await world.drain()

        assert lead_id in world.connector.limits.apart
        assert [{lead_id in row.identifiers for row in rows} for rows in heard] == [
            {lead_id in rows[0].identifiers} for rows in heard
        ]
        assert len(heard) == (4 if is_refused else 2)
        assert [world.stage.counted(row) for row in world.rows.values()] == [1] * 8


@pytest.mark.parametrize("kind", sorted(LEAD_ID))
async def test_a_repeat_keeps_its_form_though_the_person_came_by_a_form_since(database: Database, kind: str) -> None:
    """What was sent as an offline event goes again as one: under the other form the platform would count it beside itself."""
    async with ad_world(database, kind) as world:
        lead_id = LEAD_ID[kind]
        await world.owe(1, NOW - DAY, without(world.stage.person(1), frozenset({lead_id})))
        await world.owe(2, NOW - DAY)
        heard = listening(world)
        world.stage.plan.script(timeout(has_effect=True), timeout(has_effect=True))
        await world.drain()
        first = list(heard)
        async with database.write() as connection:
            await connection.execute(update(leads).where(leads.c.id == 1).values(identity_id=2))

        await world.drain_over(6 * HOUR, step=HOUR)

        forms = {(row.conversion_id, lead_id in row.identifiers) for rows in heard for row in rows}
        assert len(heard) > len(first)
        assert sorted(has for _, has in forms) == [False, True]
        assert [world.stage.counted(row) for row in world.rows.values()] == [1, 1]


async def test_uploads_restatements_and_retractions_are_three_requests(database: Database) -> None:
    """Each has an address or a form of its own; a retraction among restatements would be read as a value."""
    async with ad_world(database, "microsoft") as world:
        for number in range(1, 7):
            await world.owe(number, NOW - DAY)
        await world.drain()
        world.stage.clock.go_on(HOUR)
        for number in (1, 3, 5):
            await world.correct(number, "restate", euros=70 + number)
        for number in (2, 4):
            await world.correct(number, "retract")
        await world.owe(7, NOW - DAY)
        heard = listening(world)

        await world.drain()

        assert sorted((str(rows[0].kind), len(rows)) for rows in heard) == [("restate", 3), ("retract", 2), ("upload", 1)]
        assert all(len({row.kind for row in rows}) == 1 for rows in heard)
        assert world.stage.total_counted() == 5


class Apart(Fake):
    """A platform that wants people with an e-mail apart, takes two together and refuses more."""

    def __init__(self) -> None:
        super().__init__(self.judge)
        self.forms: list[set[bool]] = []

    def judge(self, rows: Sequence[UploadRow]) -> Sequence[UploadResult]:
        self.forms.append({Identifier.EMAIL_SHA256 in row.identifiers for row in rows})
        return [NotProcessed("413")] * len(rows) if len(rows) > 2 else [Accepted()] * len(rows)


async def test_small_requests_and_parts_of_refused_ones_keep_apart_too(database: Database) -> None:
    """Halving cuts a request, it never mixes two; nor does a claim that holds both."""
    world = await world_of(database, accept, 13)
    platform = Apart()
    world.fake, world.batch_rows = platform, 5
    both = frozenset({Identifier.EMAIL_SHA256, Identifier.PHONE_SHA256})
    platform.limits = replace(  # type: ignore[misc]  # this fake's own
        Fake.limits,
        identifiers=both,
        sufficient=tuple(frozenset({one}) for one in both),
        apart=frozenset({Identifier.EMAIL_SHA256}),
        age_with_click=timedelta(days=90),
    )
    async with database.write() as connection:
        phone = {Identifier.PHONE_SHA256: "bb"}
        values = {"has": bit_mask(phone), "sealed": orjson.dumps({str(one): value for one, value in phone.items()})}
        await connection.execute(update(identities).where(identities.c.id % 3 == 0).values(**values))

    await world.drain()

    assert {row[0] for row in (await world.rows()).values()} == {"accepted"}
    assert all(len(forms) == 1 for forms in platform.forms)
    assert {True} in platform.forms
    assert {False} in platform.forms
