"""What new and changed conversions owe their destinations: uploads, corrections, and what is judged again (pure)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.db.instants import from_ms, optional_ms, to_ms
from app.ingest.context import DestinationTerms, SourceContext
from app.ingest.conversion_repository import StoredConversion, StoredDelivery
from app.ingest.difference import Difference
from app.mapping.aggregate import ConversionState
from app.outbox.policy import Opening, initial
from app.outbox.states import DeliveryState, Reason
from connectors.contract.conversions import DeliveryKind, Money

UPLOAD, RESTATE, RETRACT = DeliveryKind.UPLOAD.value, DeliveryKind.RESTATE.value, DeliveryKind.RETRACT.value
PENDING, SKIPPED = DeliveryState.PENDING.value, DeliveryState.SKIPPED.value
# Skipped for a reason that a later fact of the CRM may lift.
LIFTED = frozenset({Reason.DUPLICATE.value, Reason.WITHDRAWN.value, Reason.BEFORE_START.value})
WAITS = frozenset({Reason.PERSON.value, Reason.VALUE.value, Reason.RATE.value})
LACKED = frozenset({Reason.NO_CONSENT.value, Reason.NO_IDENTIFIER.value})
KNOWN = frozenset({DeliveryState.ACCEPTED.value, DeliveryState.CONFIRMED.value})
# What comes due so soon another process, by its own clock, may claim now.
SOON = timedelta(minutes=1)
NEW_ID = 0


@dataclass(slots=True)
class Owed:
    """Rows to add (their ids are 0 as yet) and rows to change."""

    added: list[StoredDelivery] = field(default_factory=list)
    changed: dict[int, StoredDelivery] = field(default_factory=dict)

    @property
    def destinations(self) -> set[int]:
        """Whose bell to ring: something of theirs is due."""
        return {one.destination_id for one in (*self.added, *self.changed.values()) if one.due_at is not None}


@dataclass(frozen=True, slots=True)
class Turned:
    """Conversions sent for people who withdrew their consent (True) or granted it again (False), by the id of the upload."""

    conversions: Sequence[StoredConversion] = ()
    uploads: Mapping[int, bool] = field(default_factory=dict)


def owe(
    source: SourceContext,
    found: Difference,
    ids: Mapping[str, int],
    woken: Iterable[StoredConversion],
    turned: Turned,
    now: datetime,
) -> Owed:
    """All that this recording owes. `ids` are the new conversions', `woken` are conversions whose people or deal changed."""
    owed = Owed()
    for state in found.new:
        owed.added += _uploads(source, state, ids[state.uid], (), now)
    for before, state in found.changed:
        owed.added += _uploads(source, state, before.id, before.deliveries, now)
        _reopen(owed, source, before, state, now)
        _correct(owed, source, before, state, turned.uploads, now)
    changed = {before.id for before, _ in found.changed}
    for before in turned.conversions:
        if before.id not in changed:
            _correct(owed, source, before, before.state, turned.uploads, now)
    revalued = [before for before, _ in found.revalued]
    for stored in (*woken, *revalued):
        for row in stored.deliveries:
            row = owed.changed.get(row.id, row)  # noqa: PLW2901 as it was changed above
            if _is_woken(row, now):
                owed.changed[row.id] = replace(row, state=PENDING, reason=Reason.NEW.value, due_at=to_ms(now), settled_at=None)
            elif _may_be_claimed(row, now):
                owed.changed.setdefault(row.id, row)
    return owed


def owe_past(
    source: SourceContext, past: Iterable[StoredConversion], judged: Mapping[str, ConversionState], now: datetime
) -> Owed:
    """What was never owed of these conversions (their destination, or its target, came later): an upload each, skipped.

    `judged` are conversions as the mapping makes them today, by uid: what it excludes is filed as excluded, what it has no
    answer for is left alone where it excludes anything at all.
    """
    owed = Owed()
    excludes = bool(source.document.exclude or source.document.destination_conditions)
    by_id = {terms.id: terms for terms in source.destinations}
    for stored in past:
        today = judged.get(stored.state.uid)
        if not stored.state.is_live or (excludes and today is None):
            continue
        state = stored.state
        if today is not None:
            state = replace(state, excluded=today.excluded, excluded_for=today.excluded_for)
        for row in _uploads(source, state, stored.id, stored.deliveries, now):
            filed = replace(row, state=SKIPPED, reason=Reason.BEFORE_START.value, due_at=None, settled_at=to_ms(now))
            owed.added.append(row if row.state == SKIPPED else filed)
        for row in stored.deliveries:
            terms = by_id.get(row.destination_id)
            is_past = row.kind == UPLOAD and row.state == SKIPPED and row.reason == Reason.BEFORE_START
            if is_past and terms is not None and _opening(source, terms, state, now).reason is Reason.EXCLUDED:
                owed.changed[row.id] = replace(row, reason=Reason.EXCLUDED.value)
    return owed


def source_start(source: SourceContext, terms: DestinationTerms) -> datetime:
    """From when on a destination is owed by itself."""
    return max(source.start, terms.owed_from or source.start)


def _is_woken(row: StoredDelivery, now: datetime) -> bool:
    """What waited for a person, a value or a rate, or lacked consent or an identifier, is judged again."""
    if row.state == PENDING:
        return row.reason in WAITS
    return row.state == SKIPPED and row.reason in LACKED and row.deadline_at > to_ms(now)


def _may_be_claimed(row: StoredDelivery, now: datetime) -> bool:
    """A dispatcher may be judging it by what was true before: written as it is, it waits for that, and is judged again.

    Where it goes meanwhile the row is not written, and what was recorded is held against what is sent.
    """
    return row.state == PENDING and row.due_at is not None and row.due_at <= to_ms(now + SOON)


def _uploads(
    source: SourceContext, state: ConversionState, conversion_id: int, known: Iterable[StoredDelivery], now: datetime
) -> Iterator[StoredDelivery]:
    """One for each destination that the mapping names; an implied conversion that is only reported owes none."""
    milestone = source.document.named(state.milestone)
    if state.is_implied and (milestone is None or milestone.implied != "send"):
        return
    have = {row.destination_id for row in known if row.kind == UPLOAD}
    for terms in source.destinations:
        target = terms.targets.get(state.milestone)
        if target is None or terms.id in have:
            continue
        deadline = _deadline(terms, state)
        opening = _opening(source, terms, state, now, deadline)
        yield StoredDelivery(
            id=NEW_ID,
            conversion_id=conversion_id,
            destination_id=terms.id,
            kind=UPLOAD,
            seq=0,
            state=opening.state.value,
            reason=opening.reason.value,
            target=target,
            tries=0,
            frozen=False,
            deadline_at=deadline,
            created_at=to_ms(now),
            due_at=optional_ms(opening.due_at),
            settled_at=None if opening.due_at is not None else to_ms(now),
        )


def _opening(
    source: SourceContext, terms: DestinationTerms, state: ConversionState, now: datetime, deadline: int | None = None
) -> Opening:
    is_excluded = bool(state.excluded) or terms.name in state.excluded_for
    return initial(
        occurred_at=state.occurred_at,
        start=source_start(source, terms),
        is_live=state.is_live,
        # Of two reasons the lasting one is told: a duplicate may come to count, what is excluded may not.
        is_duplicate=state.duplicate_of is not None and not is_excluded,
        is_excluded=is_excluded,
        now=now,
        deadline=None if deadline is None else from_ms(deadline),
    )


def _deadline(terms: DestinationTerms, state: ConversionState) -> int:
    return to_ms(state.occurred_at + terms.limits.longest_age)


def _reopen(owed: Owed, source: SourceContext, before: StoredConversion, state: ConversionState, now: datetime) -> None:
    """Untried uploads begin anew where the conversion ended, lives again, moved, or (no longer) is a duplicate."""
    old = before.state
    if (old.is_live, old.occurred_at, old.duplicate_of) == (state.is_live, state.occurred_at, state.duplicate_of):
        return
    by_id = {terms.id: terms for terms in source.destinations}
    for row in before.deliveries:
        terms = by_id.get(row.destination_id)
        if row.kind != UPLOAD or row.was_tried or terms is None:
            continue
        if row.state != PENDING and not (row.state == SKIPPED and row.reason in LIFTED):
            continue
        opening, deadline = _opening(source, terms, state, now), _deadline(terms, state)
        # What waits though it is before the start was owed by an explicit backfill: that stands.
        was_asked_for = row.state == PENDING and old.occurred_at < source_start(source, terms)
        if opening.reason is Reason.BEFORE_START and was_asked_for:
            owed.changed[row.id] = replace(row, deadline_at=deadline)
        elif opening.state is not DeliveryState.PENDING:
            if (row.state, row.reason) != (opening.state.value, opening.reason.value):
                owed.changed[row.id] = replace(
                    row,
                    state=opening.state.value,
                    reason=opening.reason.value,
                    due_at=None,
                    deadline_at=deadline,
                    settled_at=to_ms(now),
                )
        elif row.state == PENDING:
            owed.changed[row.id] = replace(row, deadline_at=deadline)
        elif deadline > to_ms(now):
            due = optional_ms(opening.due_at)
            owed.changed[row.id] = replace(
                row, state=PENDING, reason=Reason.NEW.value, due_at=due, deadline_at=deadline, settled_at=None
            )
        elif row.reason == Reason.DUPLICATE:  # it counts now, and no platform takes it any more
            owed.changed[row.id] = replace(row, reason=Reason.TOO_OLD.value, deadline_at=deadline)


def _correct(
    owed: Owed,
    source: SourceContext,
    before: StoredConversion,
    state: ConversionState,
    turned: Mapping[int, bool],
    now: datetime,
) -> None:
    """Corrections of what a platform has, or may have: a try is under way, or its effect is unknown."""
    for terms in source.destinations:
        mine = [row for row in before.deliveries if row.destination_id == terms.id]
        upload = next((row for row in mine if row.kind == UPLOAD), None)
        if upload is None or not _is_there(upload):
            continue
        corrections = [row for row in mine if row.kind != UPLOAD]
        standing = [row for row in corrections if row.state == PENDING and not row.was_tried]
        kind = _due_correction(before.state, state, upload, corrections, withdrew=turned.get(upload.id))
        is_newer = kind == RESTATE and before.state.money != state.money
        for row in standing:
            if row.kind != kind or is_newer:
                owed.changed[row.id] = replace(
                    row, state=SKIPPED, reason=Reason.SUPERSEDED.value, due_at=None, settled_at=to_ms(now)
                )
        if kind is not None and (is_newer or all(row.kind != kind for row in standing)):
            owed.added.append(_correction(terms, state, upload, kind, corrections, now))


def _is_there(row: StoredDelivery) -> bool:
    if row.state == PENDING:
        return row.was_tried
    return row.state in KNOWN or row.state == DeliveryState.SENDING.value


def _due_correction(
    before: ConversionState,
    state: ConversionState,
    upload: StoredDelivery,
    corrections: list[StoredDelivery],
    *,
    withdrew: bool | None,
) -> str | None:
    """What the platform must be told, None where it knows the truth. Money counts against what was sent last.

    `withdrew`: the person for whom it was sent withdrew consent now, or (False) granted it again.
    """
    was_taken_back = any(row.kind == RETRACT and row.was_tried for row in corrections)
    is_leaving = any(row.kind == RETRACT and row.state == PENDING and not row.was_tried for row in corrections)
    if not state.is_live or withdrew:
        if upload.state == PENDING and upload.first_unknown_at is None:
            return None  # its tries had no effect, and it is not tried again
        return RETRACT if is_leaving or ((before.is_live or withdrew) and not was_taken_back) else None
    if was_taken_back:
        return None  # on a withdrawal: it is not sent again, whatever becomes of it
    if is_leaving and before.is_live and withdrew is None:
        return RETRACT  # it stands for a withdrawal of consent
    sent = max(
        (row for row in (upload, *corrections) if row.kind != RETRACT and row.was_tried and _is_there(row)),
        key=lambda row: row.seq,
        default=None,
    )
    if state.money is None or sent is None:
        return None
    is_standing = any(row.kind == RESTATE and row.state == PENDING and not row.was_tried for row in corrections)
    is_as_before = (before.money, before.is_live) == (state.money, state.is_live) and withdrew is None
    if is_as_before and not is_standing:
        return None
    told = None  # of what is being sent but not frozen yet nobody knows here what it carries
    if sent.frozen and sent.sent_amount_micros is not None and sent.sent_currency:
        told = Money(sent.sent_amount_micros, sent.sent_currency)
    return RESTATE if told != state.money else None


def _correction(
    terms: DestinationTerms,
    state: ConversionState,
    upload: StoredDelivery,
    kind: str,
    corrections: list[StoredDelivery],
    now: datetime,
) -> StoredDelivery:
    """Due when the platform may take it: a claim looks whether the upload is recorded. Past the window it is unsupported."""
    limits = terms.limits
    taken = from_ms(upload.settled_at) if upload.settled_at is not None else now
    deadline = state.occurred_at + limits.correction_within
    able = (limits.restates if kind == RESTATE else limits.retracts) and now < deadline
    return StoredDelivery(
        id=NEW_ID,
        conversion_id=upload.conversion_id,
        destination_id=terms.id,
        kind=kind,
        seq=1 + max((row.seq for row in corrections), default=0),
        state=PENDING if able else SKIPPED,
        reason=(Reason.NEW if able else Reason.UNSUPPORTED).value,
        target=upload.target,
        tries=0,
        frozen=False,
        deadline_at=to_ms(deadline),
        created_at=to_ms(now),
        due_at=to_ms(max(now, taken + limits.correction_after)) if able else None,
        settled_at=None if able else to_ms(now),
    )
