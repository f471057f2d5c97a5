"""What a recording found becomes rows: conversions, valuations, deliveries; and whose deliveries are judged again by it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import Row
from app.db.ids import IdBlock
from app.db.instants import to_ms
from app.ingest import conversion_repository as conversions
from app.ingest.aggregates import Neighbourhood
from app.ingest.context import SourceContext
from app.ingest.conversion_repository import StoredConversion
from app.ingest.difference import Difference
from app.ingest.identities import PeopleWritten
from app.ingest.owing import Owed, Turned
from app.ingest.storing import PagePlan


def woken_by(
    stored: Mapping[str, StoredConversion], near: Neighbourhood, plan: PagePlan, people: PeopleWritten
) -> list[StoredConversion]:
    """Conversions whose person or consent changed, or whose deal did: what waits of them may go now."""
    persons = {known.id for lead_id in people.changed for known in near.held_by.get(lead_id, ())}
    deals = plan.deals | {deal_id for deal_id, links in near.links.items() if any(link.person_id in persons for link in links)}
    return [one for one in stored.values() if one.state.lead_id in people.changed or one.state.record_id in deals]


async def turned_by_consent(connection: AsyncConnection, stored: Mapping[str, StoredConversion], people: PeopleWritten) -> Turned:
    """What was sent for people who withdrew their consent now, or granted it again."""
    if not people.withdrawn and not people.granted:
        return Turned()
    by_id = {one.id: one for one in stored.values()}
    sent_for = await conversions.uploads_sent_for(connection, sorted(by_id), sorted(people.withdrawn | people.granted))
    uploads = {upload_id: lead_id in people.withdrawn for upload_id, lead_id in sent_for.items()}
    mine = [one for one in by_id.values() if any(row.id in uploads for row in one.deliveries)]
    return Turned(mine, uploads)


async def write_owed(connection: AsyncConnection, source: SourceContext, owed: Owed, ids: IdBlock) -> bool:
    """Write deliveries; False where some were being sent and stayed as they are."""
    first = await ids.take(len(owed.added)) if owed.added else 0
    rows = [*(replace(one, id=first + place) for place, one in enumerate(owed.added)), *owed.changed.values()]
    return await conversions.write_deliveries(connection, source.id, rows) == len(rows)


def refreshed(found: Difference, current: Mapping[str, StoredConversion]) -> Difference:
    """The same changes, with the deliveries as they are now."""
    changed = [(replace(before, deliveries=current[state.uid].deliveries), state) for before, state in found.changed]
    return Difference(changed=changed)


async def write_conversions(
    connection: AsyncConnection, source: SourceContext, found: Difference, ids: IdBlock, now: datetime
) -> dict[str, int]:
    """Write new and changed conversions, and the valuations of the changed; the new ones' ids by uid."""
    first = await ids.take(len(found.new)) if found.new else 0
    numbers = {state.uid: first + place for place, state in enumerate(found.new)}
    rows = [conversions.row_of(numbers[state.uid], source.id, state, 0) for state in found.new]
    revalued = {before.id for before, _ in found.revalued}
    valuations: list[Row] = []
    for before, state in found.changed:
        value_seq = before.value_seq + (before.id in revalued)
        rows.append(conversions.row_of(before.id, source.id, state, value_seq))
        if before.id in revalued:
            valuations.append(
                {
                    "conversion_id": before.id,
                    "seq": value_seq,
                    "amount_micros": state.money.amount_micros if state.money else None,
                    "currency": state.money.currency if state.money else None,
                    "why": state.value_why,
                    "rates_version": state.rates_version,
                    "at": to_ms(now),
                }
            )
    await conversions.write_conversions(connection, rows)
    await conversions.insert_valuations(connection, valuations)
    return numbers
