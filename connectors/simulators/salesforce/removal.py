"""Recycle bin, deletion for good and merges, with what they do to children and histories."""

from collections.abc import Mapping

from connectors.simulators.salesforce.catalogue import FIELD_HISTORIES
from connectors.simulators.salesforce.records import Records, Transaction
from connectors.simulators.salesforce.table import Row

_CHILDREN: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Opportunity": (("OpportunityContactRole", "OpportunityId"),),
    "Contact": (("OpportunityContactRole", "ContactId"),),
    "Account": (("Contact", "AccountId"), ("Opportunity", "AccountId")),
}
_CONVERTED = {"Contact": "ConvertedContactId", "Account": "ConvertedAccountId"}


def delete(records: Records, name: str, row: Row, when: Transaction) -> None:
    """Put a record and its children into the bin; their SystemModstamps move."""
    _mark(records, name, row, when, {"IsDeleted": True})
    _mark_histories(records, name, row.id, when, is_deleted=True)
    if name == "OpportunityContactRole" and records.tables[name].get(row, "IsPrimary"):
        records.mirror_primary(row, None, when)
    for child, field in _CHILDREN.get(name, ()):
        for one in records.children(child, field, row.id):
            if not records.tables[child].get(one, "IsDeleted"):
                delete(records, child, one, when)


def undelete(records: Records, name: str, row: Row, when: Transaction) -> None:
    """Take a record out of the bin, and the children that went in at the same time."""
    table = records.tables[name]
    deleted_ms = table.deletions.pop(row.id)
    records.binned.pop((name, row.id), None)
    own = {"MasterRecordId": None} if "MasterRecordId" in table.columns else {}
    records.change(name, row, {"IsDeleted": False, **own}, when)
    _mark_histories(records, name, row.id, when, is_deleted=False)
    if name == "OpportunityContactRole" and table.get(row, "IsPrimary"):
        records.make_primary(row, when)
    for child, field in _CHILDREN.get(name, ()):
        for one in records.children(child, field, row.id):
            if records.tables[child].deletions.get(one.id) == deleted_ms:
                undelete(records, child, one, when)


def hard_delete(records: Records, name: str, row: Row, at_ms: int) -> None:
    """Drop a record with its roles and its history; only getDeleted still tells of it."""
    table = records.tables[name]
    table.deletions.setdefault(row.id, at_ms)
    records.binned.pop((name, row.id), None)
    table.drop(row)
    for history, field in _histories(name):
        for one in records.children(history, field, row.id):
            records.tables[history].drop(one)
    for child, field in _CHILDREN.get(name, ()):
        for one in records.children(child, field, row.id):
            if child == "OpportunityContactRole":
                hard_delete(records, child, one, at_ms)


def empty_bin(records: Records, until_ms: int) -> None:
    """Drop what went into the bin before an instant."""
    while records.binned:
        (name, record_id), deleted_ms = next(iter(records.binned.items()))
        if deleted_ms > until_ms:
            return
        row = records.tables[name].rows.get(record_id)
        records.binned.pop((name, record_id), None)
        if row is not None:
            hard_delete(records, name, row, deleted_ms)


def merge(
    records: Records,
    name: str,
    kept: Row,
    gone: Row,
    when: Transaction,
    fields: Mapping[str, object],
    *,
    moves_converted: bool,
) -> None:
    """Move the loser's children and history to the winner and the loser into the bin, with its MasterRecordId."""
    if name not in ("Lead", "Contact", "Account") or kept is gone:
        raise ValueError(f"{name} cannot be merged so")
    for child, field in _CHILDREN.get(name, ()):
        for one in records.children(child, field, gone.id):
            records.change(child, one, {field: kept.id}, when)
            if child == "OpportunityContactRole" and records.tables[child].get(one, "IsPrimary"):
                records.make_primary(one, when)
    for history, field in _histories(name):
        for one in records.children(history, field, gone.id):
            records.set_quietly(history, one, {field: kept.id}, when)
    if moves_converted and name in _CONVERTED:
        for one in records.children("Lead", _CONVERTED[name], gone.id):
            records.change("Lead", one, {_CONVERTED[name]: kept.id}, when)
    records.change(name, kept, fields, when)
    _mark(records, name, gone, when, {"IsDeleted": True, "MasterRecordId": kept.id})


def _mark(records: Records, name: str, row: Row, when: Transaction, fields: Mapping[str, object]) -> None:
    records.tables[name].deletions[row.id] = when.at_ms
    records.binned[name, row.id] = when.at_ms
    records.change(name, row, fields, when)


def _mark_histories(records: Records, name: str, record_id: str, when: Transaction, *, is_deleted: bool) -> None:
    for history, field in _histories(name):
        for one in records.children(history, field, record_id):
            records.set_quietly(history, one, {"IsDeleted": is_deleted}, when)


def _histories(name: str) -> list[tuple[str, str]]:
    found = [FIELD_HISTORIES[name]] if name in FIELD_HISTORIES else []
    return [*found, ("OpportunityHistory", "OpportunityId")] if name == "Opportunity" else found
