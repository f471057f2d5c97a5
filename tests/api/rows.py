"""Deliveries in chosen states, written straight into the tables of an open house."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import orjson
from sqlalchemy import select

from app.db.bulk import insert_rows
from app.db.ids import take_ids
from app.db.instants import to_ms
from app.db.tables import audit, conversions, deliveries, identities, leads, records
from app.demo.config import ACTIONS
from app.outbox.states import STOPPED_REASONS, DeliveryState
from connectors.contract.conversions import Identifier, bit_mask
from tests.api.rig import NOW, Rig

IDENTIFIERS = {Identifier.EMAIL_SHA256: "ab" * 32, Identifier.EMAIL_GOOGLE_SHA256: "ab" * 32}
AT = to_ms(NOW - timedelta(days=2))
TARGET = orjson.dumps({"conversion_action": ACTIONS["qualified_lead"]}).decode()


async def owe(rig: Rig, wanted: Sequence[Mapping[str, object]]) -> list[int]:
    """One lead, conversion and delivery for each of `wanted`; its keys override columns of the delivery or conversion.

    Returns the deliveries' ids, rising.
    """
    source = (await rig.services.sources())[0].id
    destination = (await rig.services.destinations())[0].id
    sealed = rig.services.keyring.seal(orjson.dumps({str(name): value for name, value in IDENTIFIERS.items()}))
    async with rig.services.database.write() as connection:
        first = await take_ids(connection, len(wanted))
        ids = list(range(first, first + len(wanted)))
        lead = {"source_id": source, "consent": "granted,granted", "created_at": AT}
        await insert_rows(connection, leads, [{**lead, "id": n, "identity_id": n} for n in ids])
        identity = {"has": bit_mask(IDENTIFIERS), "sealed": sealed}
        await insert_rows(connection, identities, [{**identity, "id": n, "lead_id": n} for n in ids])
        record = {"source_id": source, "object": "contact", "state": "live", "modified_at": AT, "fields_sealed": b""}
        await insert_rows(connection, records, [{**record, "id": n, "external_id": str(n), "lead_id": n} for n in ids])
        pairs = list(zip(ids, wanted, strict=True))
        await insert_rows(connection, conversions, [_conversion(source, n, one) for n, one in pairs])
        await insert_rows(connection, deliveries, [_delivery(source, destination, n, one) for n, one in pairs])
    return ids


def _conversion(source: int, number: int, given: Mapping[str, object]) -> dict[str, object]:
    row = {
        "id": number, "uid": f"ll{number:026d}", "source_id": source, "milestone": "qualified_lead", "scope_kind": "person",
        "scope_key": str(number), "occurrence": 0, "record_id": number, "lead_id": number, "occurred_at": AT, "implied": False,
        "mapping_version": 1, "value_state": "ready", "amount_micros": 50_000_000, "currency": "USD", "live": True,
        "duplicate_of": None,
    }  # fmt: skip
    return {name: given.get(name, value) for name, value in row.items()}


def _delivery(source: int, destination: int, number: int, given: Mapping[str, object]) -> dict[str, object]:
    state = DeliveryState(str(given.get("state", "rejected")))
    reasons = STOPPED_REASONS.get(state, ())
    row = {
        "id": number, "source_id": source, "conversion_id": number, "destination_id": destination, "kind": "upload", "seq": 0,
        "state": state.value, "reason": reasons[0].value if reasons else "new", "code": None, "due_at": None,
        "deadline_at": to_ms(NOW + timedelta(days=60)), "tries": 1, "counted": 1, "first_unknown_at": None, "frozen": False,
        "target": TARGET, "created_at": AT, "settled_at": AT,
    }  # fmt: skip
    tried = {"identity_id": number, "person_id": number, "sent_amount_micros": 50_000_000, "sent_currency": "USD"}
    row |= tried if given.get("frozen") else dict.fromkeys(tried)
    return {name: given.get(name, value) for name, value in row.items()}


async def delivery_states(rig: Rig, ids: Sequence[int]) -> list[tuple[str, str]]:
    """State and reason of each, in the order of the ids."""
    async with rig.services.database.read() as connection:
        result = await connection.execute(select(deliveries).where(deliveries.c.id.in_(ids)).order_by(deliveries.c.id))
        return [(row.state, row.reason) for row in result]


async def audit_lines(rig: Rig) -> list[tuple[str, str, str, dict[str, object]]]:
    """Actor, action, subject and detail of every replay, in order."""
    async with rig.services.database.read() as connection:
        result = await connection.execute(select(audit).where(audit.c.action == "deliveries.replayed").order_by(audit.c.id))
        return [(row.actor, row.action, row.subject, orjson.loads(row.detail_json)) for row in result]
