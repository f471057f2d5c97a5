"""Merging two rows of a kind into one."""

from datetime import datetime

from connectors.simulators.pipedrive.rows import Kind, Lead, Organization, Person, Row
from connectors.simulators.pipedrive.store import Moment, Store

_LINKS = ("person_id", "org_id", "organization_id")


def merge(store: Store, winner: Row, loser: Row, at: datetime) -> None:
    """Delete the loser, pointing to the winner; the winner takes what it lacks, and all that hung on the loser."""
    if type(winner) is not type(loser) or winner is loser:
        raise ValueError("two different rows of one kind are merged")
    _take_over(store, winner, loser, at)
    loser.merged_to = winner.id
    store.delete(loser, at, {"merged_to_id": _name(winner)})
    custom = {code: value for code, value in loser.custom.items() if code not in winner.custom}
    plain: dict[str, object] = {
        name: getattr(loser, name) for name in _LINKS if hasattr(winner, name) and getattr(winner, name) is None
    }
    if isinstance(winner, Person) and isinstance(loser, Person):
        plain |= {"emails": _joined(winner.emails, loser.emails), "phones": _joined(winner.phones, loser.phones)}
    store.write(winner, (plain, custom), Moment(at, more={"merged_from_id": _name(loser)}))


def _take_over(store: Store, winner: Row, loser: Row, at: datetime) -> None:
    """Let deals, leads and persons that named the loser name the winner; their update times move."""
    if not isinstance(loser, Person | Organization):
        return
    names = ("person_id",) if isinstance(loser, Person) else ("org_id", "organization_id")
    for kind in (Kind.DEAL, Kind.LEAD, Kind.PERSON):
        for row in list(store.shelf(kind).rows.values()):
            fields = {name: winner.id for name in names if getattr(row, name, None) == loser.id}
            if fields and row.deleted_ms is None:
                store.write(row, (fields, {}), Moment(at))


def _joined(kept: tuple[object, ...], gone: tuple[object, ...]) -> tuple[object, ...]:
    known = {one["value"] for one in kept if isinstance(one, dict)}
    more = [{**one, "primary": not kept} for one in gone if isinstance(one, dict) and one["value"] not in known]
    return (*kept, *more)


def _name(row: Row) -> str:
    return row.uuid if isinstance(row, Lead) else str(row.id)
