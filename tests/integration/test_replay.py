"""Replay through its door: what is sent again, what never is, and what is written down about it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app.bootstrap.replaying import ReplayOrder, ReplayRefused, replay, replay_all
from app.config import ConnectionMode
from app.connections import repository as connections
from app.connections.repository import Role
from app.db.instants import to_ms
from app.db.tables import conversions, deliveries
from app.outbox.replay_repository import stopped_rows
from app.outbox.states import DeliveryState
from app.reports.listing_queries import DeliveryFilter
from tests.api.rig import NOW, Rig, rig_on
from tests.api.rows import AT, audit_lines, delivery_states, owe

REJECTED = DeliveryFilter(states=(DeliveryState.REJECTED,))
UNKNOWN = {"state": "uncertain", "first_unknown_at": AT, "frozen": True}


@pytest.fixture
async def rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    """An open house on a fresh database of each kind."""
    async with rig_on(tmp_path, database_url) as one:
        yield one


async def _post(rig: Rig, **body: Any) -> dict[str, Any]:
    answer = await rig.client.post("/v1/deliveries/replay", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _stayed(report: dict[str, Any]) -> dict[str, int]:
    return {one["why"]: one["count"] for one in report["stayed"]}


async def _sent(rig: Rig) -> list[str]:
    return [str(one["transactionId"]) for one in rig.stage.google.received()]


async def test_what_was_rejected_goes_again_and_what_was_accepted_never(rig: Rig) -> None:
    """The mend was made at the platform; all that it refused goes again, and nothing that it took."""
    ids = await owe(rig, [{"state": "rejected"}, {"state": "accepted"}, {"state": "confirmed"}, {"state": "unmatched"}])

    report = await _post(rig, ids=ids)
    await rig.services.tick()

    assert (report["examined"], report["reopened"], _stayed(report)) == (4, 1, {"sent": 3})
    assert await _sent(rig) == [f"ll{ids[0]:026d}"]
    assert await delivery_states(rig, ids[:1]) == [("accepted", "delivered")]
    assert await audit_lines(rig) == [
        ("key of the environment", "deliveries.replayed", "ids", {"reopened": 1, "counted_as_sent": 0}),
    ]


async def test_a_dry_run_tells_the_same_and_changes_nothing(rig: Rig) -> None:
    """A person looks first; a look that sends is a trap."""
    ids = await owe(rig, [{"state": "rejected"}, {"state": "skipped", "reason": "duplicate"}, {"state": "shadowed"}])
    before = await delivery_states(rig, ids)

    dry = await _post(rig, ids=ids, dry_run=True)

    assert await delivery_states(rig, ids) == before
    assert await audit_lines(rig) == []
    wet = await _post(rig, ids=ids)
    assert {**dry, "dry_run": False} == wet


async def test_an_uncertain_delivery_is_decided_by_a_person(rig: Rig) -> None:
    """Sent again at a person's risk, or counted as sent; both named in the audit log; neither by a filter or by default."""
    ids = await owe(rig, [UNKNOWN, UNKNOWN, UNKNOWN])

    assert _stayed(await _post(rig, ids=ids)) == {"unknown_effect": 3}
    again = await _post(rig, ids=ids[:1], resolution="send_again")
    async with rig.services.database.read() as connection:
        opened = (await connection.execute(select(deliveries).where(deliveries.c.id == ids[0]))).mappings().one()
    assert (opened["state"], opened["first_unknown_at"]) == ("pending", None)  # else its window would make it uncertain again
    counted = await _post(rig, ids=ids[1:2], resolution="count_as_sent")
    await rig.services.tick()

    assert (again["reopened"], counted["counted_as_sent"]) == (1, 1)
    assert await delivery_states(rig, ids) == [
        ("accepted", "delivered"),
        ("accepted", "counted_as_sent"),
        ("uncertain", "unknown_effect"),
    ]
    assert await _sent(rig) == [f"ll{ids[0]:026d}"]
    assert [line[3] for line in await audit_lines(rig)] == [
        {"reopened": 1, "counted_as_sent": 0, "resolution": "send_again", "ids": ids[:1]},
        {"reopened": 0, "counted_as_sent": 1, "resolution": "count_as_sent", "ids": ids[1:2]},
    ]


async def test_what_was_refused_after_a_lost_answer_can_be_counted_as_sent(rig: Rig) -> None:
    """The repeat was refused, the first try was not answered: a look at the platform decides, and must be heard."""
    ids = await owe(rig, [{"state": "rejected", "first_unknown_at": AT}, {"state": "rejected"}])

    report = await _post(rig, ids=ids, resolution="count_as_sent")

    assert (report["counted_as_sent"], _stayed(report)) == (1, {"not_uncertain": 1})
    assert await delivery_states(rig, ids) == [("accepted", "counted_as_sent"), ("rejected", "refused")]


async def test_what_was_tried_without_an_answer_is_no_matter_of_a_filter(rig: Rig) -> None:
    """A rejected row with an unknown try before it may be counted already."""
    ids = await owe(rig, [{"state": "rejected", "first_unknown_at": AT}])

    report = await _post(rig, filter={"state": ["rejected"]})

    assert (report["reopened"], _stayed(report)) == (0, {"unknown_effect": 1})
    assert await delivery_states(rig, ids) == [("rejected", "refused")]


async def test_the_window_of_the_platform_rules_over_a_replay(rig: Rig) -> None:
    """Too old stays too old; where the platform's window is open still, the deadline follows it."""
    old = to_ms(NOW - timedelta(days=200))
    ids = await owe(rig, [{"state": "expired", "occurred_at": old}, {"state": "expired", "deadline_at": AT}])

    report = await _post(rig, filter={"state": ["expired"]})
    await rig.services.tick()

    assert (report["reopened"], _stayed(report)) == (1, {"too_old": 1})
    assert await delivery_states(rig, ids) == [("expired", "deadline"), ("accepted", "delivered")]


async def test_a_filter_takes_exactly_what_it_names(rig: Rig) -> None:
    """A code that was mended at the platform, before the mend, and nothing beside it."""
    ids = await owe(
        rig,
        [
            {"code": "MENDED"},
            {"code": "OTHER"},
            {"code": "MENDED", "settled_at": to_ms(NOW)},
            {"code": "MENDED", "state": "skipped", "reason": "no_value"},
            {"code": "MENDED", "milestone": "opportunity"},
        ],
    )
    chosen = {"state": ["rejected"], "code": "MENDED", "milestone": "qualified_lead", "destination": "google"}

    report = await _post(rig, filter={**chosen, "before": (NOW - timedelta(hours=1)).isoformat()})

    assert report["reopened"] == 1
    assert [state for state, _ in await delivery_states(rig, ids)] == ["pending", "rejected", "rejected", "skipped", "rejected"]
    ((_, _, subject, _),) = await audit_lines(rig)
    assert '"code":"MENDED"' in subject


async def test_a_new_target_is_taken_by_what_was_never_tried(rig: Rig) -> None:
    """A milestone mapped anew: what was skipped as unmapped goes to the new target, what was tried stays with its own."""
    ids = await owe(
        rig,
        [
            {"state": "skipped", "reason": "unmapped", "target": '{"conversion_action":"1"}'},
            {"state": "rejected", "frozen": True, "target": '{"conversion_action":"1"}'},
            {"state": "skipped", "reason": "unmapped", "milestone": "gone"},
        ],
    )

    report = await _post(rig, filter={"state": ["skipped", "rejected"]})

    assert (report["reopened"], _stayed(report)) == (2, {"unmapped": 1})
    async with rig.services.database.read() as connection:
        result = await connection.execute(select(deliveries.c.id, deliveries.c.target))
        found = {row.id: row.target for row in result}
    assert "7302219941" in found[ids[0]]
    assert found[ids[1]] == '{"conversion_action":"1"}'


async def test_shadowed_deliveries_wait_for_the_destination_to_be_live(rig: Rig) -> None:
    """A replay in shadow mode would only shadow them once more and look like a success."""
    ids = await owe(rig, [{"state": "shadowed"}])
    (destination,) = await rig.services.destinations()
    async with rig.services.database.write() as connection:
        await connections.set_mode(connection, Role.DESTINATION, destination.id, ConnectionMode.SHADOW)

    assert _stayed(await _post(rig, ids=ids)) == {"shadow": 1}
    async with rig.services.database.write() as connection:
        await connections.set_mode(connection, Role.DESTINATION, destination.id, ConnectionMode.LIVE)
    assert (await _post(rig, ids=ids))["reopened"] == 1


async def test_a_correction_that_a_newer_one_replaced_is_not_replayed(rig: Rig) -> None:
    """The old amount sent after the new one would stand at the platform."""
    (upload,) = await owe(rig, [{"state": "confirmed"}])
    old, new = await owe(rig, [{"kind": "restate", "seq": 1}, {"kind": "restate", "seq": 2}])
    async with rig.services.database.write() as connection:
        await connection.execute(update(deliveries).where(deliveries.c.id.in_([old, new])).values(conversion_id=upload))
        await connection.execute(conversions.delete().where(conversions.c.id.in_([old, new])))

    report = await _post(rig, ids=[old, new])

    assert (report["reopened"], _stayed(report)) == (1, {"superseded": 1})


async def test_a_great_replay_goes_in_bounded_calls_and_loses_none(rig: Rig) -> None:
    """Ten thousand rejected rows must not be one transaction, nor a row be skipped between two calls."""
    ids = await owe(rig, [{"state": "rejected"} for _ in range(2500)])

    first = await replay(rig.services, ReplayOrder(wanted=REJECTED, limit=1200), actor="test")
    rest = await replay_all(rig.services, ReplayOrder(wanted=REJECTED, limit=1200, cursor=first.next), actor="test")

    assert (first.examined, first.reopened) == (1200, 1200)
    assert (rest.examined, rest.reopened, rest.next) == (1300, 1300, None)
    assert {state for state, _ in await delivery_states(rig, ids)} == {"pending"}
    assert sum(int(str(line[3]["reopened"])) for line in await audit_lines(rig)) == 2500


async def test_two_replays_at_once_reopen_each_row_once(rig: Rig) -> None:
    """Two impatient people, one row: it is owed once and sent once."""
    ids = await owe(rig, [{"state": "rejected"} for _ in range(50)])

    reports = await asyncio.gather(*(replay(rig.services, ReplayOrder(ids=tuple(ids)), actor=str(n)) for n in range(3)))
    await rig.services.tick()

    assert sum(report.reopened for report in reports) == 50
    assert sorted(await _sent(rig)) == sorted(f"ll{number:026d}" for number in ids)


async def test_what_is_being_judged_is_locked(rig: Rig) -> None:
    """Between the judgement and the writing nobody else may send, or judge, the same row."""
    ids = await owe(rig, [{"state": "rejected"}])

    async with rig.services.database.write() as connection:
        await stopped_rows(connection, ids, lock=True)
        other = asyncio.create_task(replay(rig.services, ReplayOrder(ids=tuple(ids)), actor="other"))
        await asyncio.sleep(0.3)
        assert not other.done()
    assert (await other).reopened == 1


BAD_ORDERS: tuple[tuple[object, str, str], ...] = (
    ({}, "body", "either `ids` or `filter`"),
    ({"ids": [1], "filter": {"state": ["rejected"]}}, "body", "either `ids` or `filter`"),
    ({"filter": {}}, "body.filter.state", "required"),
    ({"filter": {"state": ["uncertain"]}}, "body.filter.state", "one by one"),
    ({"filter": {"state": ["accepted"]}}, "body.filter.state", "not replayed"),
    ({"filter": {"state": ["rejectd"]}}, "body.filter.state.0", "rejected"),
    ({"filter": {"state": ["rejected"], "destination": "gogle"}}, "body.filter.destination", "google"),
    ({"filter": {"state": ["rejected"], "resolution": "send_again"}}, "body.filter.resolution", "not known"),
    ({"filter": {"state": ["rejected"]}, "resolution": "send_again"}, "body", "name them in `ids`"),
    ({"ids": ["1"]}, "body.ids.0", "whole number"),
    ({"ids": [1.5]}, "body.ids.0", "whole number"),
    ({"ids": []}, "body.ids", "at least 1"),
    ({"ids": [1], "dry_run": "yes"}, "body.dry_run", "boolean"),
    ({"ids": [1], "dryrun": True}, "body.dryrun", "dry_run"),
    ({"filter": {"state": ["rejected"], "before": 1795514400}}, "body.filter.before", "ISO 8601"),
    ({"filter": {"state": ["rejected"]}, "cursor": "abc"}, "cursor", "none of this list"),
    ([], "body", "dictionary"),
)


async def test_a_mistake_in_the_body_names_its_place_and_changes_nothing(tmp_path: Path) -> None:
    """A typo must not replay everything."""
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig:
        ids = await owe(rig, [{"state": "rejected"}])
        for body, path, words in BAD_ORDERS:
            answer = await rig.client.post("/v1/deliveries/replay", json=body)

            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), body
            (error,) = answer.json()["errors"]
            assert error["path"] == path
            assert words in error["message"] + error.get("nearest", "")
        assert await delivery_states(rig, ids) == [("rejected", "refused")]


async def test_the_same_mistakes_end_the_command_line(tmp_path: Path) -> None:
    """`leadloop replay` is the same use case behind another door."""
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig:
        for order, words in (
            (ReplayOrder(), "either ids or a filter"),
            (ReplayOrder(wanted=DeliveryFilter(destination="google")), "filter.state: is needed"),
            (ReplayOrder(wanted=DeliveryFilter(states=(DeliveryState.REJECTED,), source="hubspt")), "did you mean 'hubspot'"),
        ):
            with pytest.raises(ReplayRefused, match=words):
                await replay(rig.services, order, actor="cli")
