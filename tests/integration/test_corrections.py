"""Corrections on their way to a simulated Google, on both databases: held until the verdict, stopped where nothing is there."""

from collections.abc import Sequence
from datetime import timedelta

import orjson
from sqlalchemy import select, update

from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import conversions, deliveries
from app.dispatch.verdicts import VerdictCollector
from connectors.simulators.google import GooglePlatform
from connectors.simulators.google.ledger import Key
from tests.integration.delivery_rig import ACTION, NOW, OCCURRED_AT, Owed, owed_to_google, uid_of

Standing = tuple[str, str, str]


async def _amount(owed: Owed, micros: int) -> None:
    async with owed.database.write() as connection:
        await connection.execute(update(conversions).values(value_state="ready", amount_micros=micros, currency="EUR"))


async def _restate(owed: Owed) -> None:
    """What recording owes when a deal's amount was edited."""
    row = {
        "id": 90, "source_id": 1, "conversion_id": 1, "destination_id": 1, "kind": "restate", "seq": 1, "state": "pending",
        "reason": "new", "due_at": to_ms(NOW), "deadline_at": to_ms(OCCURRED_AT + timedelta(days=54)), "created_at": to_ms(NOW),
        "target": orjson.dumps({"conversion_action": ACTION}).decode(),
    }  # fmt: skip
    async with owed.database.write() as connection:
        await insert_rows(connection, deliveries, [row])


async def _standing(owed: Owed) -> Sequence[Standing]:
    async with owed.database.read() as connection:
        rows = await connection.execute(select(deliveries).order_by(deliveries.c.seq))
        return [(row.kind, row.state, row.reason) for row in rows]


async def _ask(owed: Owed) -> None:
    """A day later Google has its verdict."""
    owed.clock.now += timedelta(days=1)
    await VerdictCollector(owed.database, owed, owed.clock).collect(1)


def _counted(google: GooglePlatform) -> tuple[float, int]:
    entry = google.ledger.entries[Key(ACTION, uid_of(1))]
    return entry.value, entry.times_counted


async def test_a_restatement_waits_for_the_verdict_on_its_upload(database: Database) -> None:
    """Sent before Google has the conversion it would be taken for the conversion itself."""
    async with owed_to_google(database, 1) as (owed, google):
        await _amount(owed, 5_000_000)
        await owed.drain()
        await _amount(owed, 7_000_000)
        await _restate(owed)

        held = await owed.drain()
        waiting = await _standing(owed)
        await _ask(owed)
        await owed.drain()

        assert held.sent == 0
        assert waiting == [("upload", "accepted", "delivered"), ("restate", "pending", "upload")]
        assert await _standing(owed) == [("upload", "confirmed", "confirmed"), ("restate", "accepted", "delivered")]
        await _ask(owed)
        assert _counted(google) == (7.0, 1)


async def test_what_google_never_recorded_is_not_restated(database: Database) -> None:
    """A restatement of nothing is refused as late as a day after; the trace says at once that there is nothing to correct."""
    async with owed_to_google(database, 1, foreign=1) as (owed, _):
        await _amount(owed, 5_000_000)
        await owed.drain()
        await _amount(owed, 7_000_000)
        await _restate(owed)
        await _ask(owed)

        sent = (await owed.drain()).sent

        (upload, restate) = await _standing(owed)
        assert upload[1] in ("rejected", "unmatched")
        assert (sent, restate) == (0, ("restate", "skipped", "unsupported"))
