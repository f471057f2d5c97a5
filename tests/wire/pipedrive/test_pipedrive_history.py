"""Changelogs and rows become entries: every move at its instant, none twice, and only where a request is worth its price."""

from datetime import timedelta

import httpx
import pytest

from connectors.contract.errors import AuthenticationFailed, UnexpectedReply
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Window
from tests.wire.pipedrive.fake_company import CONSENT, NOW, change, iso, read, refusal
from tests.wire.pipedrive.history_rig import ADDED, HOUR, PATH, SELECTION, Rig


async def test_a_deal_moved_twice_between_polls_and_won_reopened_and_won_again() -> None:
    """Each of them is an event at its own time (complaint 9)."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    await rig.poll()

    rig.move(2, ADDED + HOUR)
    rig.move(3, ADDED + 2 * HOUR)
    rig.close("won", ADDED + 3 * HOUR)
    rig.close("open", ADDED + 4 * HOUR)
    rig.close("won", ADDED + 5 * HOUR)
    await rig.poll()

    assert rig.entries("stage_id") == [("1", ADDED), ("2", ADDED + HOUR), ("3", ADDED + 2 * HOUR)]
    assert rig.entries("status") == [
        ("open", ADDED),
        ("won", ADDED + 3 * HOUR),
        ("open", ADDED + 4 * HOUR),
        ("won", ADDED + 5 * HOUR),
    ]


async def test_a_deal_won_again_between_polls_is_told_by_its_won_time() -> None:
    """The status is won before and after; only the time tells."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    rig.close("won", ADDED + HOUR)
    await rig.poll()

    rig.close("open", ADDED + 2 * HOUR)
    rig.close("won", ADDED + 3 * HOUR)
    await rig.poll()

    assert [value for value, _ in rig.entries("status")] == ["open", "won", "open", "won"]


async def test_a_deal_won_and_reopened_between_polls_is_told_by_its_first_win() -> None:
    """The row is open before and after."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    await rig.poll()

    rig.close("won", ADDED + HOUR)
    rig.close("open", ADDED + 2 * HOUR)
    await rig.poll()

    assert rig.entries("status") == [("open", ADDED), ("won", ADDED + HOUR), ("open", ADDED + 2 * HOUR)]


async def test_a_deal_that_moved_back_is_read() -> None:
    """The stage is the stored one; it changed nevertheless."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    await rig.poll()

    rig.move(2, ADDED + HOUR)
    rig.move(1, ADDED + 2 * HOUR)
    await rig.poll()

    assert [value for value, _ in rig.entries("stage_id")] == ["1", "2", "1"]


async def test_a_deal_that_did_not_move_costs_no_changelog() -> None:
    """A new deal proves by itself that nothing happened; a note or an activity moves only the update time."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    await rig.poll()
    rig.move(2, ADDED + HOUR)
    await rig.poll()
    rig.company.calls.clear()

    for hour in range(2, 5):
        rig.company.rows["deals"][1] |= {"update_time": iso(ADDED + hour * HOUR), "title": "x"}
        await rig.poll()

    assert rig.company.calls[PATH] == 0


async def test_the_row_of_an_unknown_deal_says_whether_it_ever_moved() -> None:
    """Stage changed at creation, still open: nothing to read. Won: something to read."""
    rig = Rig()
    rig.company.deal(1, NOW, added=ADDED, stage_change_time=iso(ADDED))
    rig.company.deal(2, NOW, added=ADDED)
    rig.close("won", ADDED + HOUR, number=2)

    await rig.poll()

    assert rig.company.calls[PATH] == 0
    assert rig.company.calls[PATH.replace("/1/", "/2/")] == 1
    assert rig.entries("status", 2) == [("open", ADDED), ("won", ADDED + HOUR)]


async def test_a_changelog_is_read_back_to_what_is_held_and_no_further() -> None:
    """A busy deal has hundreds of lines, twenty tokens a page; the first call carries no cursor (complaint 7)."""
    rig = Rig()
    rig.company.changelog_page = 10
    rig.company.deal(1, ADDED)
    for hour in range(1, 35):
        rig.move(hour + 1, ADDED + hour * HOUR)
    await rig.poll()
    whole = rig.company.calls[PATH]
    rig.company.calls.clear()

    rig.move(50, ADDED + 40 * HOUR)
    await rig.poll()

    assert (whole, rig.company.calls[PATH]) == (4, 1)
    assert len(rig.entries("stage_id")) == 36
    assert rig.entries("stage_id")[0] == ("1", ADDED)


async def test_a_changelog_that_starts_with_the_oldest_is_read_to_its_end() -> None:
    """The order is an example's, not a promise; stopping early would lose the newest."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    await rig.poll()
    for hour in range(1, 6):
        rig.move(hour + 1, ADDED + hour * HOUR)
    lines = rig.company.changelogs["deals/1"]
    pages = {None: (lines[:3], "id:3"), "id:3": (lines[3:], None)}

    def oldest_first(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("changelog"):
            return None
        data, onward = pages[request.url.params.get("cursor")]
        return httpx.Response(200, json={"success": True, "data": data, "additional_data": {"next_cursor": onward}})

    rig.company.on_request = oldest_first
    await rig.poll()

    assert [value for value, _ in rig.entries("stage_id")] == ["1", "2", "3", "4", "5", "6"]


async def test_an_entry_names_the_pipeline_of_its_time() -> None:
    """A deal that moves over to another pipeline was in the first one before."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    rig.move(2, ADDED + HOUR)
    rig.move(11, ADDED + 2 * HOUR, pipeline=7)

    (record,) = await rig.poll()

    stages = [(one.value, one.pipeline) for one in record.entries if one.property == "stage_id"]
    assert stages == [("1", "1"), ("2", "1"), ("11", "7")]
    assert (record.stage, record.pipeline) == ("11", "7")


@pytest.mark.parametrize(("stage_key", "status_key"), [("stage_id", "status"), ("stage", "status"), ("unheard", "of")])
async def test_unknown_names_in_a_changelog_cost_no_entry_of_the_current_state(stage_key: str, status_key: str) -> None:
    """The names of stage and status are practice, not documentation: the row's own instants count where they fail."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    rig.move(2, ADDED + HOUR)
    rig.close("won", ADDED + 2 * HOUR)
    stage, status = rig.company.changelogs["deals/1"]
    stage["field_key"], status["field_key"] = stage_key, status_key

    await rig.poll()

    assert ("2", ADDED + HOUR) in rig.entries("stage_id")
    assert ("won", ADDED + 2 * HOUR) in rig.entries("status")


async def test_an_imported_won_deal_was_open_when_it_was_added() -> None:
    """An import writes no line for what it creates."""
    rig = Rig()
    rig.company.deal(1, ADDED + HOUR, added=ADDED, status="won", won_time=iso(ADDED + HOUR))
    rig.company.deal(2, ADDED, status="won", won_time=iso(ADDED - HOUR))

    await rig.poll()

    assert rig.entries("status") == [("open", ADDED), ("won", ADDED + HOUR)]
    assert [value for value, _ in rig.entries("status", 2)] == ["won"]


async def test_row_and_changelog_a_second_apart_are_one_change() -> None:
    """Else the deal would be asked for its changelog at every update, for ever."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    rig.move(2, ADDED + HOUR)
    rig.company.rows["deals"][1]["stage_change_time"] = iso(ADDED + HOUR + timedelta(seconds=1))
    await rig.poll()
    rig.company.calls.clear()

    rig.company.rows["deals"][1]["update_time"] = iso(ADDED + 2 * HOUR)
    await rig.poll()

    assert rig.company.calls[PATH] == 0
    assert len(rig.entries("stage_id")) == 2


async def test_a_deletion_in_the_changelog_is_no_status() -> None:
    """Deleted and restored: as if never deleted."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    rig.move(2, ADDED + HOUR)
    lines = rig.company.changelogs["deals/1"]
    lines += [change("status", "open", "deleted", ADDED + 2 * HOUR), change("status", "deleted", "open", ADDED + 3 * HOUR)]

    await rig.poll()

    assert rig.entries("status") == [("open", ADDED)]


async def test_custom_field_and_value_histories_are_read_by_their_keys() -> None:
    """An option's id, an amount: as text, an emptied value as nothing."""
    rig = Rig()
    selection = Selection({ObjectKind.DEAL: ObjectSelection(history_properties=frozenset({CONSENT, "value"}))})
    rig.company.deal(1, ADDED + 3 * HOUR, added=ADDED, value=250.5, custom_fields={CONSENT: 12})
    rig.company.changelogs["deals/1"] = [
        change(CONSENT, None, "11", ADDED + HOUR),
        change(CONSENT, "11", "12", ADDED + 2 * HOUR),
        change("value", "0", "250.50", ADDED + 3 * HOUR),
        change("title", "a", "b", ADDED + 3 * HOUR),
    ]

    await rig.poll(selection)
    rig.company.rows["deals"][1]["update_time"] = iso(ADDED + 4 * HOUR)
    await rig.poll(selection)

    assert rig.entries(CONSENT) == [("11", ADDED + HOUR), ("12", ADDED + 2 * HOUR)]
    assert rig.entries("value") == [("250.50", ADDED + 3 * HOUR)]
    assert rig.company.calls[PATH] == 1


async def test_a_refused_changelog_ends_the_window_before_its_page() -> None:
    """Going on without the history would lose the stages in between for good."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    rig.move(2, ADDED + HOUR)
    rig.company.on_request = lambda request: (
        refusal(403, "Scope and URL mismatch") if request.url.path.endswith("changelog") else None
    )

    with pytest.raises(AuthenticationFailed, match="scope"):
        await rig.poll()

    assert rig.store.versions == {}


async def test_a_deal_that_vanishes_before_its_changelog_is_read_keeps_what_its_row_tells() -> None:
    """Deleted for good between two calls."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    rig.move(2, ADDED + HOUR)
    rig.company.on_request = lambda request: refusal(404, "gone") if request.url.path.endswith("changelog") else None

    await rig.poll()

    assert rig.entries("stage_id") == [("2", ADDED + HOUR)]


async def test_many_histories_are_committed_in_parts() -> None:
    """A page of five hundred changelogs would outlive its lease and be read again."""
    rig = Rig(daily_tokens="1000000")
    for number in range(1, 251):
        rig.company.deal(number, ADDED)
        rig.move(2, ADDED + HOUR, number)

    pages = await read(rig.company, Window(ObjectKind.DEAL, NOW - timedelta(days=21)), SELECTION, source=rig.source)

    assert [len(page.records) for page in pages if page.records] == [100, 100, 50]


async def test_a_changelog_without_times_is_garbage() -> None:
    """An instant is never our now."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    rig.move(2, ADDED + HOUR)
    rig.company.changelogs["deals/1"][0]["time"] = "soon"

    with pytest.raises(UnexpectedReply, match="`time`"):
        await rig.poll()


async def test_a_deal_from_a_lead_names_the_lead() -> None:
    """A lead that became a deal is the same lead; the CRM shows it no longer."""
    rig = Rig()
    lead = "adf21080-0e10-11eb-879b-05d71fb426ec"
    rig.company.deal(1, ADDED, source_lead_id=lead)
    rig.company.deal(2, ADDED, source_lead_id=lead, person_id=5)
    rig.company.person(5, ADDED)

    records = {record.ref: record for record in await rig.poll()}

    alone, with_person = (records[RecordRef(ObjectKind.DEAL, one)] for one in ("1", "2"))
    lead_ref = RecordRef(ObjectKind.LEAD, lead)
    assert alone.converted_from == with_person.converted_from == (lead_ref,)
    assert alone.people is not None
    assert [link.ref for link in alone.people] == [lead_ref]
    assert with_person.people is not None
    assert [link.ref for link in with_person.people] == [RecordRef(ObjectKind.CONTACT, "5")]
    asked = {request.url.params.get("include_fields") for request in rig.company.requests if "deals" in request.url.path}
    assert asked == {"first_won_time,source_lead_id"}


async def test_a_deal_moved_in_the_second_of_its_creation_is_read_once() -> None:
    """An automation moves it at once; its row must not look unread for ever."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    rig.move(2, ADDED)
    rig.company.rows["deals"][1] |= {"stage_change_time": iso(ADDED + timedelta(seconds=1)), "update_time": iso(ADDED + HOUR)}
    await rig.poll()
    rig.company.calls.clear()

    rig.company.rows["deals"][1]["update_time"] = iso(ADDED + 2 * HOUR)
    await rig.poll()

    assert rig.company.calls[PATH] == 0
    assert sorted(value for value, _ in rig.entries("stage_id")) == ["1", "2"]


@pytest.mark.parametrize("seconds", [1, 2])
async def test_a_stage_that_was_stamped_a_moment_after_creation_is_read_once(seconds: int) -> None:
    """Nothing moved; the two times of one creation differ."""
    rig = Rig()
    rig.company.deal(1, ADDED + HOUR, added=ADDED, stage_change_time=iso(ADDED + timedelta(seconds=seconds)))
    await rig.poll()
    rig.company.rows["deals"][1]["update_time"] = iso(ADDED + 2 * HOUR)

    await rig.poll()

    assert rig.company.calls[PATH] == 1
    assert [value for value, _ in rig.entries("stage_id")] == ["1"]


@pytest.mark.parametrize("moved", [HOUR, -HOUR])
async def test_a_time_of_winning_set_by_hand_is_no_second_win(moved: timedelta) -> None:
    """The changelog says when it was won; the deal is not asked for it at every update."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    rig.close("won", ADDED + 2 * HOUR)
    rig.company.rows["deals"][1] |= {"won_time": iso(ADDED + 2 * HOUR + moved), "update_time": iso(ADDED + 4 * HOUR)}
    await rig.poll()
    rig.company.rows["deals"][1]["update_time"] = iso(ADDED + 5 * HOUR)

    await rig.poll()

    assert rig.company.calls[PATH] == 1
    statuses = rig.entries("status")
    assert statuses[:2] == [("open", ADDED), ("won", ADDED + 2 * HOUR)]
    assert {value for value, _ in statuses[1:]} == {"won"}


async def test_a_lead_id_that_is_none_hinders_no_deal() -> None:
    """One odd row must not hold up its neighbours."""
    rig = Rig()
    rig.company.deal(1, ADDED, source_lead_id="17")

    (record,) = await rig.poll()

    assert (record.people, record.converted_from) == ((), ())
