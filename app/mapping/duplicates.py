"""Two CRM records of one e-mail: which of their conversions counts, and which is a duplicate of it (pure)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from app.mapping.aggregate import ConversionState
from app.mapping.document import MappingDocument
from app.mapping.people import PERSON


def settle_duplicates(
    states: Sequence[ConversionState],
    stored: Iterable[ConversionState],
    email_of: Mapping[int, bytes | None],
    document: MappingDocument,
) -> list[ConversionState]:
    """The states of a page, each with what counts instead of it.

    `stored` are conversions of other leads as they stand, `email_of` the e-mail of every lead involved (as HMAC). What was
    recorded first counts; within a page the earliest does. Where the one that counts ends before anything of it was tried,
    the earliest of its duplicates takes its place; once it was tried they stay duplicates. States of other leads that
    change so are added to the answer.
    """
    derived = {one.uid: one for one in states}
    before = {one.uid: one for one in stored}
    groups: dict[tuple[str, bytes], list[ConversionState]] = defaultdict(list)
    for one in (*derived.values(), *(one for uid, one in before.items() if uid not in derived)):
        email = None if one.lead_id is None else email_of.get(one.lead_id)
        if one.scope_kind == PERSON and email is not None:
            groups[_name(document, one.milestone), email].append(one)
    for (name, _), members in groups.items():
        milestone = document.named(name)
        sends_implied = milestone is not None and milestone.implied == "send"
        for one in _settled(members, set(before), sends_implied=sends_implied):
            derived[one.uid] = one
    return list(derived.values())


def _name(document: MappingDocument, name: str) -> str:
    milestone = document.named(name)
    return name if milestone is None else milestone.name


def _settled(members: Sequence[ConversionState], known: set[str], *, sends_implied: bool) -> list[ConversionState]:
    """The members that change."""
    by_uid = {one.uid: one for one in members}
    keeper = _keeper(members, known, sends_implied=sends_implied)
    changed = []
    for one in members:
        counts = by_uid.get(one.duplicate_of or "")
        if one is keeper:
            instead = None
        elif one.duplicate_of is not None:
            is_over = counts is not None and not counts.is_live and not counts.is_tried
            instead = (None if keeper is None else keeper.uid) if is_over and one.is_live else one.duplicate_of
        elif one.is_live and not one.is_tried and one.uid not in known and _counts(one, sends_implied=sends_implied):
            instead = keeper.uid if keeper is not None and keeper.lead_id != one.lead_id else None
        else:
            instead = one.duplicate_of
        if instead != one.duplicate_of:
            changed.append(replace(one, duplicate_of=instead))
    return changed


def _keeper(members: Sequence[ConversionState], known: set[str], *, sends_implied: bool) -> ConversionState | None:
    """What counts: one that was told or recorded already, else the earliest of those that may."""
    by_uid = {one.uid: one for one in members}
    live = [one for one in members if one.is_live and _counts(one, sends_implied=sends_implied)]

    def is_free(one: ConversionState) -> bool:
        counts = by_uid.get(one.duplicate_of or "")
        return one.duplicate_of is None or (counts is not None and not counts.is_live and not counts.is_tried)

    return min(
        (one for one in live if is_free(one)),
        key=lambda one: (not one.is_tried, one.uid not in known, one.duplicate_of is not None, one.occurred_at, one.uid),
        default=None,
    )


def _counts(one: ConversionState, *, sends_implied: bool) -> bool:
    """An implied conversion that is only reported counts for nobody."""
    return sends_implied or not one.is_implied
