"""Two CRM records of one e-mail: which of their conversions counts, and which is a duplicate of it (pure)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from app.mapping.aggregate import ConversionState
from app.mapping.derived import PERSON
from app.mapping.document import MappingDocument


def settle_duplicates(
    states: Sequence[ConversionState],
    stored: Iterable[ConversionState],
    email_of: Mapping[int, bytes | None],
    document: MappingDocument,
) -> list[ConversionState]:
    """The states of a page, each with what counts instead of it.

    `stored` are conversions of other leads as they stand, `email_of` the e-mail of every lead involved (as HMAC). What was
    tried counts, else the earliest, in whatever order they were recorded. Where the one that counts ends before anything of
    it was tried, the earliest of its duplicates takes its place; once it was tried they stay duplicates. States of other
    leads that change so are added to the answer.
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
        for one in _settled(members, sends_implied=sends_implied):
            derived[one.uid] = one
    return list(derived.values())


def _name(document: MappingDocument, name: str) -> str:
    milestone = document.named(name)
    return name if milestone is None else milestone.name


def _settled(members: Sequence[ConversionState], *, sends_implied: bool) -> list[ConversionState]:
    """The members that change. What was tried stays as it is; of the others the earliest counts."""
    by_uid = {one.uid: one for one in members}
    free = [one for one in members if one.is_live and _counts(one, sends_implied=sends_implied) and not _is_bound(one, by_uid)]
    if not free:
        return []
    keeper = min(free, key=lambda one: (not one.is_tried, one.occurred_at, one.uid))
    changed = []
    for one in free:
        instead = None if one.lead_id == keeper.lead_id else keeper.uid
        if not one.is_tried and one.duplicate_of != instead:
            changed.append(replace(one, duplicate_of=instead))
    return changed


def _is_bound(one: ConversionState, by_uid: Mapping[str, ConversionState]) -> bool:
    """What counts instead of it was told to a platform and has ended since, or is another person's by now."""
    if one.duplicate_of is None:
        return False
    counts = by_uid.get(one.duplicate_of)
    return counts is None or (counts.is_tried and not counts.is_live)


def _counts(one: ConversionState, *, sends_implied: bool) -> bool:
    """An implied conversion that is only reported counts for nobody."""
    return sends_implied or not one.is_implied
