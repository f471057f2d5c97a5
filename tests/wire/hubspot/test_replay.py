"""What users of other connectors lost, replayed: crowded days, late indexes, random edits between polls."""

from collections import Counter
from datetime import timedelta
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract.records import ObjectKind, RecordRef, RecordState
from connectors.contract.selection import ObjectSelection, Selection
from connectors.simulators.hubspot import Portal
from tests.wire.hubspot.portal_world import SELECTION, START, PortalWorld

STAGES = ("appointmentscheduled", "qualifiedtobuy", "closedwon", "closedlost")
DEALS_OF_A_RUN = 4


async def test_30000_deals_of_a_day_are_read_exactly() -> None:
    """Search ends at 10,000 rows of a query: the rows after them must come too, and none of the last millisecond twice."""
    world = PortalWorld()
    made = [
        world.portal.create("deals", {"dealname": "a"}, START + number // 3 * timedelta(milliseconds=8_640))
        for number in range(30_000)
    ]

    pages = await world.pages(ObjectKind.DEAL, START, Selection({ObjectKind.DEAL: ObjectSelection()}))

    assert Counter(record.ref.external_id for page in pages for record in page.records) == Counter(made)
    assert world.calls["POST /crm/objects/2026-09/deals/search"] == 150


class Step(NamedTuple):
    """What happens next: `what` to a deal, after so many seconds, shown by search so many seconds late."""

    what: str
    deal: int
    stage: str
    seconds: int
    late: int


STEPS = st.builds(
    Step,
    st.sampled_from(["move", "move", "edit", "merge", "archive", "restore", "poll", "poll"]),
    st.integers(0, DEALS_OF_A_RUN - 1),
    st.sampled_from(STAGES),
    st.sampled_from([0, 0, 1, 60]),
    st.sampled_from([0, 0, 30, 240]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=40))
async def test_any_edits_between_any_polls_are_all_known_in_the_end(steps: list[Step]) -> None:
    """Missing and doubled rows in incremental runs are what everybody reports: after a quiet while nothing may differ."""
    late = timedelta(0)
    world = PortalWorld(Portal(has_limits=False, index_lag=lambda *_: late))
    world.now = START
    ids = [world.portal.create("deals", {"dealstage": STAGES[0]}, world.now) for _ in range(DEALS_OF_A_RUN)]
    states = ["live"] * DEALS_OF_A_RUN

    for step in steps:
        world.now += timedelta(seconds=step.seconds)
        late = timedelta(seconds=step.late)
        await _do(world, step, ids, states)
    late = timedelta(0)
    world.now += timedelta(minutes=4, seconds=1)
    await world.poll(ObjectKind.DEAL)

    live = [RecordRef(ObjectKind.DEAL, one) for one, state in zip(ids, states, strict=True) if state == "live"]
    expected = await world.source.fetch(live, SELECTION, world.memory.stored())
    for record in expected:
        held = world.memory.records[record.ref]
        assert (held.state, held.modified_at, held.entries) == (RecordState.LIVE, record.modified_at, record.entries)
        assert {entry for ref, entry in world.memory.entries if ref == record.ref} >= set(record.entries)


async def _do(world: PortalWorld, step: Step, ids: list[str], states: list[str]) -> None:
    """Play a step where it is possible."""
    record, state = ids[step.deal], states[step.deal]
    other = (step.deal + 1) % DEALS_OF_A_RUN
    match step.what:
        case "poll":
            await world.poll(ObjectKind.DEAL)
            world.now += timedelta(milliseconds=1)  # no answer comes back in the millisecond of the change that it tells
        case "move" if state == "live":
            world.portal.update("deals", record, {"dealstage": step.stage}, world.now)
        case "edit" if state == "live":
            world.portal.touch("deals", record, world.now)
        case "archive" if state == "live":
            world.portal.archive("deals", record, world.now)
            states[step.deal] = "archived"
        case "restore" if state == "archived":
            world.portal.restore("deals", record, world.now)
            states[step.deal] = "live"
        case "merge" if state == states[other] == "live":
            ids[step.deal] = world.portal.merge("deals", record, ids[other], world.now, new_id=step.stage == STAGES[2])
            states[other] = "merged"
        case _:
            pass
