"""HubSpotSource against the simulated portal, over ASGI."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import httpx

from connectors.contract.findings import FindingStatus
from connectors.contract.records import ObjectKind, RecordRef, RecordState
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Page, PropertyType, Stored, Window
from connectors.crm.hubspot.source import HubSpotSettings, HubSpotSource
from connectors.simulators.hubspot import Portal, Stage, create_hubspot

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
SELECTION = Selection(
    {
        ObjectKind.DEAL: ObjectSelection(frozenset({"amount"}), frozenset({"dealstage"}), with_people=True, with_company=True),
        ObjectKind.CONTACT: ObjectSelection(frozenset({"email"}), frozenset({"lifecyclestage"})),
    }
)


class World:
    """A portal, a clock that sleeping moves, and a store that knows nothing."""

    def __init__(self) -> None:
        self.now = START + timedelta(days=1)
        self.portal = Portal()
        transport = httpx.ASGITransport(app=create_hubspot(self.portal, lambda: self.now))
        client = httpx.AsyncClient(transport=transport, event_hooks={"request": [self.note]})
        self.searched: list[datetime] = []
        settings = HubSpotSettings.from_mapping({"access_token": self.portal.tokens[0], "page_rows": "40"})
        self.source = HubSpotSource(client, settings, lambda: self.now, sleep=self.sleep)

    async def note(self, request: httpx.Request) -> None:
        if request.url.path.endswith("/search"):
            self.searched.append(self.now)

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def deals(self, count: int, step: timedelta) -> list[str]:
        values = {"dealname": "a", "dealstage": "appointmentscheduled", "pipeline": "default"}
        return [self.portal.create("deals", values, START + number * step) for number in range(count)]

    async def pages(self, resume: str | None = None, until: datetime | None = None) -> list[Page]:
        window = Window(ObjectKind.DEAL, START, until, resume)
        return [page async for page in self.source.changes(window, SELECTION, Stored(unchanged, known))]


async def unchanged(kind: ObjectKind, rows: Mapping[str, datetime]) -> frozenset[str]:
    return frozenset()


async def known(kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:
    return frozenset()


def ids_of(pages: Sequence[Page], kind: ObjectKind = ObjectKind.DEAL) -> Counter[str]:
    return Counter(record.ref.external_id for page in pages for record in page.records if record.ref.kind is kind)


async def test_every_deal_of_several_pages_comes_once() -> None:
    world = World()
    made = world.deals(450, timedelta(milliseconds=7))
    pages = await world.pages()
    assert ids_of(pages) == Counter(made)
    assert [page.is_last for page in pages] == [False, False, True]
    assert pages[-1].resume is None
    assert len({page.until for page in pages}) == 1


async def test_deals_of_one_millisecond_come_once_each() -> None:
    world = World()
    made = world.deals(600, timedelta(0))
    later = world.portal.create("deals", {"dealname": "b"}, START + timedelta(milliseconds=1))
    assert ids_of(await world.pages()) == Counter([*made, later])


async def test_no_second_holds_more_searches_than_hubspot_takes() -> None:
    """HubSpot takes five a second of the whole account; a burst at the start would be answered by 429."""
    world = World()

    for _ in range(12):
        await world.pages()

    busiest = max(sum(at <= one < at + timedelta(seconds=1) for one in world.searched) for at in world.searched)
    assert len(world.searched) == 12
    assert busiest == 4


async def test_resuming_after_any_page_neither_skips_nor_repeats() -> None:
    for step in (timedelta(0), timedelta(microseconds=20), timedelta(milliseconds=1)):
        world = World()
        made = world.deals(650, step)
        pages = await world.pages()
        assert ids_of(pages) == Counter(made)
        for number, page in enumerate(pages[:-1], 1):
            rest = await world.pages(page.resume, page.until)
            assert ids_of([*pages[:number], *rest]) == Counter(made)


async def test_stage_moves_are_entries_with_the_pipeline_of_their_instant() -> None:
    world = World()
    world.portal.define_pipeline("deals", "second", [Stage("new", "New", 0.2), Stage("won", "Won", 1.0)])
    (deal,) = world.deals(1, timedelta(0))
    world.portal.update("deals", deal, {"pipeline": "second", "dealstage": "new"}, START + timedelta(minutes=1))
    world.portal.update("deals", deal, {"dealstage": "won"}, START + timedelta(minutes=2))
    (page,) = await world.pages()
    (record,) = page.records
    assert [(one.value, one.pipeline) for one in record.entries] == [
        ("appointmentscheduled", "default"),
        ("new", "second"),
        ("won", "second"),
    ]
    assert [one.entered_at for one in record.entries] == [START + timedelta(minutes=number) for number in range(3)]
    assert (record.stage, record.pipeline) == ("won", "second")


async def test_a_deals_contacts_come_before_it_in_its_page() -> None:
    world = World()
    world.portal.association_page = 1
    (deal,) = world.deals(1, timedelta(0))
    contacts = [world.portal.create("contacts", {"email": f"{n}@example.com"}, START) for n in range(3)]
    for contact, label in zip(contacts, ("Decision maker", None, None), strict=True):
        world.portal.associate(deal, contact, label)
    (page,) = await world.pages()
    assert [record.ref.external_id for record in page.records] == [*contacts, deal]
    people = page.records[-1].people
    assert people is not None
    assert [(one.ref.external_id, one.labels) for one in people] == list(
        zip(contacts, (("Decision maker",), (), ()), strict=True)
    )


async def test_a_fetched_record_that_is_gone_comes_as_deleted() -> None:
    world = World()
    kept, gone = world.deals(2, timedelta(0))
    world.portal.archive("deals", gone, START)
    found = await world.source.fetch(
        [RecordRef(ObjectKind.DEAL, kept), RecordRef(ObjectKind.DEAL, gone)], SELECTION, Stored(unchanged, known)
    )
    assert [record.state for record in found] == [RecordState.LIVE, RecordState.DELETED]


async def test_a_merged_deal_names_its_winner() -> None:
    world = World()
    winner, loser = world.deals(2, timedelta(0))
    world.portal.merge("deals", winner, loser, START + timedelta(minutes=1))
    found = await world.source.fetch(
        [RecordRef(ObjectKind.DEAL, loser), RecordRef(ObjectKind.DEAL, winner)], SELECTION, Stored(unchanged, known)
    )
    assert [record.state for record in found] == [RecordState.MERGED, RecordState.LIVE]
    assert found[0].merged_into == found[1].ref


async def test_check_names_what_is_missing() -> None:
    world = World()
    assert FindingStatus.FAILED not in {one.status for one in await world.source.check()}
    world.portal.scopes -= {"crm.objects.deals.read"}
    failed = [one.subject for one in await world.source.check() if one.status is FindingStatus.FAILED]
    assert failed == ["scope:crm.objects.deals.read"]
    world.portal.access.revoke()
    assert (await world.source.check())[0].status is FindingStatus.FAILED


async def test_describe_tells_money_and_won_stages() -> None:
    schema = await World().source.describe()
    amount = schema.properties[ObjectKind.DEAL]["amount"]
    assert (amount.type, amount.currency_property) == (PropertyType.MONEY, "deal_currency_code")
    assert [stage.id for stage in schema.pipelines[0].stages if stage.is_won] == ["closedwon"]
    assert [stage.id for stage in schema.pipelines[0].stages if stage.is_lost] == ["closedlost"]
    assert (schema.account_ref, schema.currency, schema.time_zone) == ("62515", "USD", "America/New_York")
