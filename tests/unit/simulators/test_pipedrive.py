from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from connectors.simulators.pipedrive import Company
from tests.unit.simulators.pipedrive_rig import DEALS, START, Rig, at

ARCHIVED = "/api/v2/deals/archived"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig(Company(has_limits=False))
    yield made
    await made.client.aclose()


async def test_a_deal_is_written_as_the_vendor_writes_it(rig: Rig) -> None:
    """Times are RFC 3339 in seconds, local dates are the company's own, custom fields are nested and empty ones null."""
    company = rig.company
    gclid, tier = company.define_field("deal", "gclid", "text"), company.define_field("deal", "Tier", "enum", ["A", "B"])
    person = company.create_person({"name": "Jane Doe"}, START)
    deal = company.create_deal({"title": "Acme", "value": 10.5, "person_id": person, gclid: "Cj0"}, START)
    company.win(deal, START + timedelta(hours=11, milliseconds=900))

    [row] = await rig.data(DEALS, include_fields="first_won_time", include_option_labels="true")
    company.update("deal", deal, {tier: 2}, at(12))
    labelled = await rig.data(f"{DEALS}/{deal}", include_option_labels="true", custom_fields=tier)

    assert (row["id"], row["value"], row["currency"], row["person_id"], row["org_id"]) == (deal, 10.5, "EUR", person, None)
    assert (row["add_time"], row["won_time"], row["first_won_time"]) == (
        "2026-11-01T12:00:00Z",
        "2026-11-01T23:00:00Z",
        "2026-11-01T23:00:00Z",
    )
    assert (row["status"], row["local_won_date"], row["stage_change_time"]) == ("won", "2026-11-02", None)
    assert row["custom_fields"] == {gclid: "Cj0", tier: None}
    assert labelled["custom_fields"] == {tier: {"id": 2, "label": "B"}}


async def test_the_window_takes_its_start_and_leaves_its_end(rig: Rig) -> None:
    """updated_since is inclusive and updated_until is not: a row on the edge comes exactly once over two windows."""
    ids = [rig.company.create_deal({"title": "x"}, at(0, seconds=second)) for second in range(4)]
    edge = "2026-11-01T12:00:02Z"

    assert await rig.ids(DEALS, updated_until=edge) == ids[:2]
    assert await rig.ids(DEALS, updated_since=edge) == ids[2:]
    assert await rig.ids(DEALS, sort_by="update_time", updated_since="2026-11-01T12:00:01Z", updated_until=edge) == ids[1:2]


@pytest.mark.parametrize("sort", ["id", "update_time", "add_time"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_1201_deals_of_one_second_come_once_each(rig: Rig, sort: str, direction: str) -> None:
    """The keyset goes on by id within a second; nothing is skipped or repeated over a page's edge."""
    ids = [rig.company.create_deal({"title": "x"}, START) for _ in range(1201)]

    pages = await rig.pages(DEALS, sort_by=sort, sort_direction=direction, limit=500)

    assert [len(page) for page in pages] == [500, 500, 201]
    assert [one for page in pages for one in page] == (ids if direction == "asc" else ids[::-1])
    assert rig.company.tokens_spent["GET v2/deals"] == 30


async def test_a_row_that_changes_while_paging_moves_behind_the_cursor(rig: Rig) -> None:
    """A keyset is stable under updates: the changed row comes again at the end, the others are not shifted."""
    ids = [rig.company.create_deal({"title": "x"}, at(0, seconds=second)) for second in range(4)]

    first = (await rig.get(DEALS, sort_by="update_time", limit=2)).json()
    rig.company.update("deal", ids[0], {"title": "y"}, at(1))
    rest = await rig.ids(DEALS, sort_by="update_time", limit=10, cursor=first["additional_data"]["next_cursor"])

    assert rest == [ids[2], ids[3], ids[0]]


async def test_what_the_list_refuses(rig: Rig) -> None:
    """v2 is strict: a connector that asks wrongly must hear of it here, not at a customer."""
    rig.company.create_deal({"title": "x"}, START)
    rig.company.create_deal({"title": "x"}, START)
    cursor = (await rig.get(DEALS, limit=1)).json()["additional_data"]["next_cursor"]
    wrong: list[dict[str, Any]] = [
        {"limit": 501},
        {"limit": 0},
        {"ids": ",".join(map(str, range(101)))},
        {"custom_fields": ",".join(["a"] * 16)},
        {"include_fields": "frst_won_time"},
        {"include_fields": "marketing_status"},
        {"status": "open,wno"},
        {"sort_by": "title"},
        {"updated_since": "2026-11-01 12:00:00"},
        {"cursor": "garbage!"},
        {"cursor": cursor, "sort_by": "update_time"},
        {"person_id": "x"},
    ]

    answers = [await rig.get(DEALS, **params) for params in wrong]

    assert [one.status_code for one in answers] == [400] * len(wrong)
    assert all(one.json()["success"] is False and one.json()["data"] is None for one in answers)


async def test_statuses_and_archive_part_the_deals(rig: Rig) -> None:
    """Archived deals are in a list of their own and deleted ones only where asked for: reading one list loses the others."""
    opened, won, lost, gone, archived = (rig.company.create_deal({"title": "x"}, START) for _ in range(5))
    rig.company.win(won, at(1))
    rig.company.lose(lost, at(1), "price")
    rig.company.delete("deal", gone, at(1))
    rig.company.win(archived, at(1))
    rig.company.archive("deal", archived, at(2))

    assert await rig.ids(DEALS) == [opened, won, lost]
    assert await rig.ids(DEALS, status="open,won,lost,deleted") == [opened, won, lost, gone]
    assert await rig.ids(DEALS, status="deleted", updated_since="2026-11-01T13:00:00Z") == [gone]
    [kept] = await rig.data(ARCHIVED, updated_since="2026-11-01T14:00:00Z", status="won")
    assert (kept["id"], kept["is_archived"], kept["archive_time"]) == (archived, True, "2026-11-01T14:00:00Z")
    rig.company.unarchive("deal", archived, at(3))
    assert (await rig.ids(ARCHIVED), archived in await rig.ids(DEALS)) == ([], True)


async def test_a_deleted_deal_is_gone_after_thirty_days(rig: Rig) -> None:
    """Until then it shows with is_deleted; later even its id answers as if it never was, with 404 or 410."""
    deal = rig.company.create_deal({"title": "x"}, START)
    rig.company.delete("deal", deal, at(1))

    soft = await rig.data(f"{DEALS}/{deal}")
    rig.now = at(1) + timedelta(days=30)
    statuses = []
    for status in (404, 410):
        rig.company.gone_status = status
        statuses.append((await rig.get(f"{DEALS}/{deal}")).status_code)

    assert (soft["is_deleted"], soft["status"]) == (True, "deleted")
    assert (statuses, await rig.ids(DEALS, status="deleted")) == ([404, 410], [])
    assert (await rig.get(f"{DEALS}/999")).status_code == 404


async def test_a_won_deal_is_reopened_and_won_again(rig: Rig) -> None:
    """Each status change sets or clears its times; the first win stays known, and an import may set won_time."""
    deal = rig.company.create_deal({"title": "x"}, START)
    rig.company.win(deal, at(1))
    rig.company.reopen(deal, at(2))
    reopened = await rig.data(f"{DEALS}/{deal}")
    rig.company.win(deal, at(4), won_time=at(3))

    again = await rig.data(f"{DEALS}/{deal}", include_fields="first_won_time")

    assert (reopened["status"], reopened["won_time"], reopened["close_time"]) == ("open", None, None)
    assert (again["won_time"], again["first_won_time"]) == ("2026-11-01T15:00:00Z", "2026-11-01T13:00:00Z")
    assert again["update_time"] == "2026-11-01T16:00:00Z"


async def test_a_late_update_shows_up_behind_the_reader(rig: Rig) -> None:
    """A change that is seen late carries its older time: a poll that only goes forward would lose it."""
    early, deal = rig.company.create_deal({"title": "x"}, at(0)), rig.company.create_deal({"title": "x"}, at(0))
    rig.now = at(3)
    rig.company.move(deal, 2, at(1), visible_at=at(4))
    rig.company.update("deal", early, {"title": "y"}, at(2))
    unborn = rig.company.create_deal({"title": "z"}, at(2), visible_at=at(5))

    before = await rig.data(DEALS, sort_by="update_time")
    log_before = await rig.data(f"/v1/deals/{deal}/changelog")
    hidden = await rig.get(f"{DEALS}/{unborn}")
    rig.now = at(4)
    after = await rig.data(DEALS, sort_by="update_time")
    rig.now = at(5)

    assert [(one["id"], one["stage_id"]) for one in before] == [(deal, 1), (early, 1)]
    assert (log_before, hidden.status_code) == ([], 404)
    assert [(one["id"], one["stage_id"], one["update_time"]) for one in after] == [
        (deal, 2, "2026-11-01T13:00:00Z"),
        (early, 1, "2026-11-01T14:00:00Z"),
    ]
    assert await rig.ids(DEALS, sort_by="update_time", updated_since="2026-11-01T14:00:00Z") == [early, unborn]


async def test_a_late_update_is_overtaken_by_a_plain_one(rig: Rig) -> None:
    """The index must not keep two places for one row."""
    deal = rig.company.create_deal({"title": "x"}, at(0))
    rig.company.move(deal, 2, at(1), visible_at=at(50))
    rig.company.move(deal, 3, at(2), visible_at=at(40))
    rig.company.win(deal, at(3))

    assert [(one["stage_id"], one["status"]) for one in await rig.data(DEALS, sort_by="update_time")] == [(3, "won")]
    rig.now = at(60)
    assert await rig.ids(DEALS, sort_by="update_time") == [deal]


async def test_the_changelog_is_newest_first_in_texts(rig: Rig) -> None:
    """Values are strings or null, times are UTC without zone, and the stage of the creation has no line."""
    deal = rig.company.create_deal({"title": "x", "value": 1}, at(0))
    rig.company.move(deal, 3, at(1))
    rig.company.update("deal", deal, {"value": 99.0}, at(2), source="api")
    rig.company.win(deal, at(3))

    lines = await rig.data(f"/v1/deals/{deal}/changelog")

    assert [(one["time"], one["field_key"], one["old_value"], one["new_value"]) for one in lines[-3:]] == [
        ("2026-11-01 15:00:00", "status", "open", "won"),
        ("2026-11-01 14:00:00", "value", "1", "99"),
        ("2026-11-01 13:00:00", "stage_id", "1", "3"),
    ]
    assert [one["change_source"] for one in lines[-2:]] == ["api", "app"]
    assert {"field_key": "won_time", "old_value": None, "new_value": "2026-11-01 15:00:00"}.items() <= lines[1].items()


async def test_the_changelog_pages_by_a_cursor_that_is_never_zero(rig: Rig) -> None:
    """The first call takes no cursor at all, cursor=0 is refused, and lines written meanwhile shift nothing."""
    deal = rig.company.create_deal({"title": "0"}, at(0))
    for number in range(1, 6):
        rig.company.update("deal", deal, {"title": str(number)}, at(number))
    path = f"/v1/deals/{deal}/changelog"

    first = (await rig.get(path, limit=2)).json()
    rig.company.update("deal", deal, {"title": "6"}, at(6))
    second = (await rig.get(path, limit=2, cursor=first["additional_data"]["next_cursor"])).json()
    last = (await rig.get(path, limit=2, cursor=second["additional_data"]["next_cursor"])).json()

    titles = [one["new_value"] for page in (first, second, last) for one in page["data"]]
    assert (titles, last["additional_data"]["next_cursor"]) == (["5", "4", "3", "2", "1"], None)
    assert [(await rig.get(path, cursor=wrong)).status_code for wrong in ("0", "")] == [400, 400]


async def test_persons_have_a_changelog_and_leave_the_deal_alone(rig: Rig) -> None:
    """A person's change does not move the deal; unknown, hidden and deleted persons are silently left out of a batch."""
    company = rig.company
    status = company.define_field("person", "Lead status", "enum", ["New", "Hot"])
    person = company.create_person({"name": "Jane von Doe", "emails": "jane@example.com"}, at(0))
    gone, hidden = company.create_person({"name": "Gone"}, at(0)), company.create_person({"name": "H", "visible_to": 1}, at(0))
    deal = company.create_deal({"title": "x", "person_id": person}, at(0))
    company.update("person", person, {status: 2}, at(1))
    company.delete("person", gone, at(1))
    rig.token = company.issue_token(company.add_user("Rep", "rep@northwind.example"))

    [row] = await rig.data("/api/v2/persons", ids=f"{gone},{person},{hidden},4711", include_fields="marketing_status")
    [line] = await rig.data(f"/v1/persons/{person}/changelog")

    assert (row["first_name"], row["last_name"], row["custom_fields"]) == ("Jane", "von Doe", {status: 2})
    assert row["emails"] == [{"value": "jane@example.com", "primary": True, "label": "work"}]
    assert (line["field_key"], line["old_value"], line["new_value"]) == (status, None, "2")
    assert (await rig.data(f"{DEALS}/{deal}"))["update_time"] == "2026-11-01T12:00:00Z"


async def test_a_user_without_rights_sees_a_part_and_is_not_told(rig: Rig) -> None:
    """Rows are missing silently; only access[].admin tells, so the setup check must look there."""
    company = rig.company
    shown = company.create_deal({"title": "x"}, START)
    hidden = company.create_deal({"title": "x", "visible_to": 1}, START)
    rig.token = company.issue_token(company.add_user("Rep", "rep@northwind.example"))

    me = await rig.data("/v1/users/me")

    assert await rig.ids(DEALS) == [shown]
    assert (await rig.get(f"{DEALS}/{hidden}")).status_code == 404
    assert {one["admin"] for one in me["access"]} == {False}
    assert (me["company_id"], me["company_domain"], me["default_currency"]) == (7104235, "northwind", "EUR")


async def test_merging_deletes_the_loser_and_feeds_the_winner(rig: Rig) -> None:
    """The loser shows as deleted without a pointer to the winner; a merged person's deals hang on the winner."""
    company = rig.company
    jane, twin = (
        company.create_person({"name": "Jane", "emails": "jane@a.example"}, at(0)),
        company.create_person({"name": "J.", "emails": "j@b.example"}, at(0)),
    )
    winner, loser = company.create_deal({"title": "x"}, at(0)), company.create_deal({"title": "y", "person_id": twin}, at(0))
    company.merge("person", jane, twin, at(1))
    company.merge("deal", winner, loser, at(2))

    [row] = await rig.data(DEALS)
    [gone] = await rig.data(DEALS, status="deleted")
    [person] = await rig.data("/api/v2/persons")

    assert (row["id"], row["person_id"], row["update_time"]) == (winner, jane, "2026-11-01T14:00:00Z")
    assert (gone["id"], gone["is_deleted"], "merged_to_id" in gone) == (loser, True, False)
    assert [one["value"] for one in person["emails"]] == ["jane@a.example", "j@b.example"]


async def test_participants_are_the_person_and_those_added(rig: Rig) -> None:
    """Further people of a deal are only here."""
    company = rig.company
    one, two = (company.create_person({"name": name}, START) for name in ("One", "Two"))
    deal = company.create_deal({"title": "x", "person_id": one}, START)
    company.add_participant(deal, two, at(1))

    answer = (await rig.get(f"/v1/deals/{deal}/participants", limit=1)).json()

    assert [row["person_id"]["value"] for row in answer["data"]] == [one]
    assert answer["additional_data"]["pagination"]["next_start"] == 1


async def test_nulls_are_shown_or_left_out(rig: Rig) -> None:
    """The OpenAPI knows no null where the service has answered with one: a reader must bear both."""
    rig.company.create_deal({"title": "x"}, START)
    with_nulls = (await rig.get(DEALS)).json()
    rig.company.shows_nulls = False

    without = (await rig.get(DEALS)).json()

    assert (with_nulls["additional_data"], with_nulls["data"][0]["person_id"]) == ({"next_cursor": None}, None)
    assert (without["additional_data"], "person_id" in without["data"][0]) == ({}, False)
