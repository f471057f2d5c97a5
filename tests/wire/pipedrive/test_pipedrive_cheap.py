"""When the day's tokens run short, history is read cheaply: exact where the row tells instants, silent on what lies between."""

from datetime import timedelta

import pytest

from tests.wire.pipedrive.fake_company import NOW, iso
from tests.wire.pipedrive.history_rig import ADDED, HOUR, PATH, Rig


async def test_a_spent_share_makes_history_cheap_until_the_day_is_over() -> None:
    """The guard keeps the company's budget; what the row tells is exact all the same."""
    rig = Rig(daily_tokens="1000", daily_share="10")
    rig.company.deal(1, ADDED)
    await rig.poll()
    rig.move(2, ADDED + HOUR)
    rig.move(3, ADDED + 2 * HOUR)
    rig.close("won", ADDED + 3 * HOUR)
    rig.source.budget._spent = 90

    await rig.poll()

    assert rig.company.calls[PATH] == 0
    assert rig.entries("stage_id") == [("1", ADDED), ("3", ADDED + 2 * HOUR)]
    assert rig.entries("status") == [("open", ADDED), ("won", ADDED + 3 * HOUR)]
    assert rig.source.budget.cheap_reads == 1

    rig.company.now += timedelta(days=1)
    rig.move(4, NOW + HOUR)
    await rig.poll()

    assert rig.company.calls[PATH] == 1
    assert [value for value, _ in rig.entries("stage_id")] == ["1", "2", "3", "4"]


async def test_little_left_for_the_company_makes_history_cheap() -> None:
    """Other apps spend the same tokens."""
    rig = Rig()
    rig.company.headers = {"x-daily-ratelimit-token-limit": "60000", "x-daily-ratelimit-token-remaining": "5000"}
    rig.company.deal(1, ADDED)
    rig.move(2, ADDED + HOUR)

    await rig.poll()

    assert rig.company.calls[PATH] == 0
    assert rig.source.budget.daily_tokens == 60_000


@pytest.mark.parametrize(("mode", "calls"), [("exact", 1), ("cheap", 0)])
async def test_the_setting_decides_over_the_budget(mode: str, calls: int) -> None:
    """A company may rather spend its tokens, or never."""
    rig = Rig(history=mode, daily_tokens="100")
    rig.company.deal(1, ADDED)
    rig.move(2, ADDED + HOUR)

    await rig.poll()

    assert rig.company.calls[PATH] == calls


async def test_a_time_of_winning_set_long_back_is_no_win_before_the_deal_was_open() -> None:
    """Imports and the API may write any `won_time`: before what is stored it would seem an old win of an open deal."""
    rig = Rig(history="cheap")
    rig.company.deal(1, ADDED)
    await rig.poll()
    rig.close("won", ADDED + HOUR)
    rig.company.rows["deals"][1]["won_time"] = iso(ADDED - timedelta(days=400))
    await rig.poll()
    told = rig.entries("status")
    rig.source = rig.company.source(history="exact")
    rig.company.rows["deals"][1]["update_time"] = iso(ADDED + 2 * HOUR)
    await rig.poll()

    assert told == [("open", ADDED), ("won", ADDED + HOUR)]
    assert rig.entries("status") == told


async def test_what_was_read_cheaply_is_made_good_when_the_tokens_are_back() -> None:
    """A deal that is won in the meantime never moves again: nobody else would ask for the stages that it passed."""
    rig = Rig(daily_tokens="1000", daily_share="10")
    for number in range(1, 4):
        rig.company.deal(number, ADDED)
    await rig.poll()
    for number in range(1, 4):
        rig.move(2, ADDED + HOUR, number)
        rig.move(3, ADDED + 2 * HOUR, number)
    rig.company.rows["deals"][3] |= {"is_deleted": True, "status": "deleted"}
    rig.source.budget._spent = 90
    await rig.poll()
    cheap = rig.entries("stage_id")

    rig.company.now += timedelta(days=1)
    await rig.poll()
    made_good = rig.entries("stage_id"), rig.entries("stage_id", 2)
    rig.company.calls.clear()
    await rig.poll()

    assert cheap == [("1", ADDED), ("3", ADDED + 2 * HOUR)]
    assert made_good == ([("1", ADDED), ("2", ADDED + HOUR), ("3", ADDED + 2 * HOUR)],) * 2
    assert not [call for call in rig.company.calls if "changelog" in call]


async def test_a_debt_larger_than_the_day_is_paid_in_parts() -> None:
    """Making good must not spend what polling needs."""
    rig = Rig(daily_tokens="2000", daily_share="10")
    for number in range(1, 31):
        rig.company.deal(number, ADDED)
        rig.move(2, ADDED + HOUR, number)
    await rig.poll()
    read_at_once = sum(count for call, count in rig.company.calls.items() if "changelog" in call)

    owed = []
    for _day in range(5):
        owed.append(sum(len(rig.entries("stage_id", number)) < 2 for number in range(1, 31)))
        rig.company.now += timedelta(days=1)
        await rig.poll()

    assert read_at_once == 9
    assert owed == [21, 13, 5, 0, 0]
