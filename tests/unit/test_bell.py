"""The bell of a serving process: heard once for a burst, one turn at a time, and deaf to no second ring."""

import asyncio
from datetime import timedelta

from app.bootstrap.bell import Bell, Turns


async def test_a_burst_is_one_turn_and_a_ring_during_a_turn_is_heard_after_it() -> None:
    """A hundred webhooks are one pull; one that comes while the pull runs must not wait for the next tick."""
    bell, turns_taken, free = Bell(), 0, asyncio.Event()

    async def work() -> None:
        nonlocal turns_taken
        turns_taken += 1
        if turns_taken == 1:
            bell.ring()
            await free.wait()

    following = asyncio.create_task(Turns(work).follow(bell, lambda _error: None))
    for _ in range(100):
        bell.ring()
    await asyncio.sleep(0.3)
    assert turns_taken == 1
    free.set()
    await asyncio.sleep(0.3)
    following.cancel()

    assert turns_taken == 2


async def test_a_ring_during_any_turn_stands_until_its_own_begins() -> None:
    """A turn of a backfill ends early where somebody rings; it must see that whoever took the turn."""
    bell, free = Bell(), asyncio.Event()

    async def work() -> None:
        await free.wait()

    turns = Turns(work)
    by_the_clock = asyncio.create_task(turns.take())
    following = asyncio.create_task(turns.follow(bell, lambda _error: None))
    bell.ring()
    await asyncio.sleep(0.3)
    during = bell.is_rung
    free.set()
    await asyncio.sleep(0.3)
    following.cancel()
    await by_the_clock

    assert (during, bell.is_rung) == (True, False)


async def test_two_turns_never_run_at_once() -> None:
    """Leases know processes, not tasks: two pulls of one process would believe that they hold the same lease."""
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    turns = Turns(work)
    await asyncio.gather(*(turns.take() for _ in range(5)))

    assert most == 1


async def test_a_turn_that_fails_is_told_and_the_next_ring_is_heard() -> None:
    """A database that is away for a moment must not make the process deaf."""
    bell, told = Bell(), list[Exception]()

    async def work() -> None:
        raise OSError("away")

    following = asyncio.create_task(Turns(work).follow(bell, told.append))
    for _ in range(2):
        bell.ring()
        await asyncio.sleep(0.2)
    following.cancel()

    assert len(told) == 2


async def test_the_running_turn_is_heard_out_and_none_follows_it() -> None:
    """A turn may be in the middle of an upload when the process is told to stop."""
    told: list[str] = []

    async def work() -> None:
        told.append("began")
        await asyncio.sleep(0.1)
        told.append("ended")

    turns = Turns(work)
    taken = [asyncio.create_task(turns.take()) for _ in range(3)]
    await asyncio.sleep(0.01)
    await turns.end(timedelta(seconds=5))
    await asyncio.gather(*taken)
    await turns.take()

    assert told == ["began", "ended"]


async def test_a_turn_that_outlasts_the_grace_is_cut_off_and_tidies_up() -> None:
    """Whoever stops the process kills it soon: leases must be free before that."""
    told: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            told.append("tidy")

    turns = Turns(work)
    taken = asyncio.create_task(turns.take())
    await asyncio.sleep(0.01)
    await turns.end(timedelta(milliseconds=10))
    await asyncio.wait({taken})

    assert (told, taken.cancelled()) == (["tidy"], True)
