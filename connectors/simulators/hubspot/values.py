"""What a property of a record holds: stored values, and those that HubSpot derives or calculates."""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation

from connectors.simulators.hubspot.catalogue import OBJECT_TYPES, Pipeline
from connectors.simulators.hubspot.instants import iso
from connectors.simulators.hubspot.records import HistoryEntry, StoredRecord, Version

# How many live records of a type a record of another type is associated with: (from type, its id, to type).
Count = Callable[[str, int, str], int]
_Calculation = Callable[["ValueReader", StoredRecord, Version], str | None]


class ValueReader:
    """Reads the properties of one portal's records; every value is text or None."""

    def __init__(self, pipelines: Mapping[str, Mapping[str, Pipeline]], count: Count) -> None:
        self._pipelines = pipelines
        self._count = count

    def of(self, record: StoredRecord, version: Version, name: str) -> str | None:
        """The value of a property at a version of its record."""
        kind = OBJECT_TYPES[record.object_type]
        if name == "hs_object_id":
            return str(record.id)
        if name == kind.created:
            return iso(record.created_ms)
        if name == kind.cursor:
            return iso(version.modified_ms)
        calculation = _CALCULATIONS.get((record.object_type, name))
        return calculation(self, record, version) if calculation else version.values.get(name)

    def history(self, record: StoredRecord, name: str) -> list[HistoryEntry]:
        """All values of a property, newest first. A calculated one has the instant of the last calculation."""
        kind = OBJECT_TYPES[record.object_type]
        if name in ("hs_object_id", kind.created):
            return [HistoryEntry(self.of(record, record.version, name), record.created_ms, "CRM_UI", "")]
        if name == kind.cursor or (record.object_type, name) in _CALCULATIONS:
            return [HistoryEntry(self.of(record, record.version, name), record.version.modified_ms, "CALCULATED", "")]
        return record.history(name)

    def probability(self, record: StoredRecord, version: Version) -> float | None:
        """The probability of the stage that a deal is in."""
        pipeline = self._pipelines[record.object_type].get(version.values.get("pipeline") or "")
        stage = pipeline.stage(version.values.get("dealstage")) if pipeline else None
        return stage.probability if stage else None

    def contacts(self, record: StoredRecord) -> str:
        """How many contacts a deal has."""
        return str(self._count("deals", record.id, "contacts"))

    def deals(self, record: StoredRecord) -> str | None:
        """How many deals a contact is on; empty without any."""
        return str(self._count("contacts", record.id, "deals") or "") or None


def _is_closed(values: ValueReader, record: StoredRecord, version: Version) -> str:
    return "true" if values.probability(record, version) in (0.0, 1.0) else "false"


def _is_won(values: ValueReader, record: StoredRecord, version: Version) -> str:
    return "true" if values.probability(record, version) == 1.0 else "false"


def _probability(values: ValueReader, record: StoredRecord, version: Version) -> str | None:
    probability = values.probability(record, version)
    return None if probability is None else str(probability)


def _home_amount(_: ValueReader, __: StoredRecord, version: Version) -> str | None:
    amount = _decimal(version.values.get("amount"))
    if amount is None:
        return None
    rate = _decimal(version.values.get("hs_exchange_rate")) or Decimal(1)
    return format((amount * rate).normalize(), "f")


def _closed_amount(values: ValueReader, record: StoredRecord, version: Version) -> str | None:
    return version.values.get("amount") if values.probability(record, version) == 1.0 else "0"


def _closed_home_amount(values: ValueReader, record: StoredRecord, version: Version) -> str | None:
    return _home_amount(values, record, version) if values.probability(record, version) == 1.0 else "0"


def _contact_count(values: ValueReader, record: StoredRecord, _: Version) -> str:
    return values.contacts(record)


def _deal_count(values: ValueReader, record: StoredRecord, _: Version) -> str | None:
    return values.deals(record)


def _decimal(text: str | None) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return None


_CALCULATIONS: dict[tuple[str, str], _Calculation] = {
    ("deals", "hs_is_closed"): _is_closed,
    ("deals", "hs_is_closed_won"): _is_won,
    ("deals", "hs_deal_stage_probability"): _probability,
    ("deals", "num_associated_contacts"): _contact_count,
    ("contacts", "num_associated_deals"): _deal_count,
    ("deals", "amount_in_home_currency"): _home_amount,
    ("deals", "hs_closed_amount"): _closed_amount,
    ("deals", "hs_closed_amount_in_home_currency"): _closed_home_amount,
}
