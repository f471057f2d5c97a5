"""When the day's tokens run short, history is read cheaply: exact where the row tells instants, silent on what lies between."""

from datetime import timedelta

import pytest

from tests.wire.pipedrive.fake_company import NOW
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
