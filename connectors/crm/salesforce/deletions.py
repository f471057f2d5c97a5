"""Lists deleted records, hard-deleted ones too, from `/sobjects/X/deleted/`: the only place that still knows them."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime, timedelta

from connectors.contract.errors import RequestRefused
from connectors.contract.records import ObjectKind, RecordRef
from connectors.crm.salesforce.api import SalesforceApi
from connectors.crm.salesforce.objects import OBJECTS
from connectors.crm.salesforce.refusals import BEFORE_REPLICATION, ID_LIMIT
from connectors.crm.salesforce.replies import json_object, json_objects, record_id
from connectors.crm.salesforce.soql import PAGE_ROWS, iso

# Salesforce refuses more than 30 days; an hour is for clocks that differ.
REACH = timedelta(days=30) - timedelta(hours=1)
# Seconds are cut off, and a start that is not before the end is refused.
SHORTEST = timedelta(minutes=2)
# Older deletions come by the daily listing, which overlaps by as much.
RECENT = timedelta(hours=72)


async def list_deleted(
    api: SalesforceApi, kind: ObjectKind, since: datetime | None, now: datetime
) -> AsyncIterator[Sequence[RecordRef]]:
    """Yield the refs in pages. A range with more than 600,000 ids is asked in halves; one before the org began is shortened."""
    earliest = now - REACH
    start = earliest if since is None else max(since, earliest)
    waiting = [(min(start, now - SHORTEST), now)]
    while waiting:
        low, high = waiting.pop()
        try:
            found = await api.get(f"sobjects/{OBJECTS[kind].name}/deleted/", {"start": iso(low), "end": iso(high)})
        except RequestRefused as error:
            middle = low + (high - low) / 2
            if error.code not in (ID_LIMIT, BEFORE_REPLICATION) or high - middle < SHORTEST:
                raise
            waiting += [(middle, high)] if error.code == BEFORE_REPLICATION else [(middle, high), (low, middle)]
            continue
        rows = json_objects(json_object(found, "the deleted records").get("deletedRecords"), "`deletedRecords`")
        refs = [RecordRef(kind, record_id(row.get("id"), "a deleted record's `id`")) for row in rows]
        for place in range(0, max(len(refs), 1), PAGE_ROWS):
            yield refs[place : place + PAGE_ROWS]


async def deleted_among(api: SalesforceApi, kind: ObjectKind, ids: Collection[str], now: datetime) -> frozenset[str]:
    """Which of these were deleted lately. A record that sharing hides from our user looks like a deleted one, and is none."""
    wanted, found = frozenset(ids), set[str]()
    async for page in list_deleted(api, kind, now - RECENT, now):
        found.update(ref.external_id for ref in page if ref.external_id in wanted)
    return frozenset(found)
