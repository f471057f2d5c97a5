"""From a claimed row to what is decided on, frozen and sent (pure)."""

from collections.abc import Mapping
from datetime import datetime

import orjson

from app.dispatch.model import MilestoneTerms, OpenDestination, Ready, SourceTerms
from app.outbox.policy import Candidate, Earlier, Owed, Terms
from app.outbox.repository import Chosen, ClaimedRow
from connectors.contract.conversions import DeliveryKind, Identifier, Money, Target, UploadRow


def owed(row: ClaimedRow, earlier: Earlier | None = None) -> Owed:
    """What the policy looks at."""
    money = Money(row.amount_micros, row.currency) if row.amount_micros is not None and row.currency else None
    return Owed(
        id=row.id,
        kind=DeliveryKind(row.kind),
        occurred_at=row.occurred_at,
        deadline_at=row.deadline_at,
        tries=row.tries,
        value_state=row.value_state,
        money=money,
        is_live=row.is_live,
        is_frozen=row.is_frozen,
        frozen_person=row.person_id if row.is_frozen else None,
        first_unknown_at=row.first_unknown_at,
        unknown_tries=row.unknown_tries,
        upload=row.upload,
        earlier=earlier,
        nominal_micros=row.nominal_micros,
    )


def terms(row: ClaimedRow, destination: OpenDestination, source: SourceTerms) -> Terms:
    """What the mapping and the platform say of a row."""
    mapped = source.milestones.get((destination.name, row.milestone))
    own = mapped or MilestoneTerms()
    return Terms(
        limits=destination.connector.limits,
        prefer=own.prefer,
        send_when=own.send_when,
        minimum_micros=own.minimum_micros,
        is_mapped=mapped is not None,
        is_target_paused=own.is_paused or target(row, destination, source) in destination.paused_targets,
        is_shadow=own.is_shadow or destination.is_shadow,
        recalls=own.recalls,
    )


def target(row: ClaimedRow, destination: OpenDestination, source: SourceTerms) -> str:
    """Where it goes: frozen at the first try, as the mapping says now before. A correction goes where its upload went."""
    own = source.milestones.get((destination.name, row.milestone))
    is_bound = row.is_frozen or row.kind != DeliveryKind.UPLOAD.value
    return row.target if own is None or is_bound or not own.target else own.target


def identity(row: ClaimedRow, person: Candidate) -> int | None:
    """The identity that is sent: frozen at the first try, the person's latest before; a correction has its upload's."""
    if row.is_frozen:
        return row.identity_id
    return person.identity_id if row.upload_identity_id is None else row.upload_identity_id


def instant(row: ClaimedRow) -> datetime:
    """The instant that is sent: frozen at the first try, the conversion's before; a correction has its upload's."""
    return (row.sent_at if row.is_frozen else None) or row.upload_sent_at or row.occurred_at


def content(row: ClaimedRow) -> Money | None:
    """What is sent: frozen at the first try, the latest value before."""
    amount, currency = (row.sent_amount_micros, row.sent_currency) if row.is_frozen else (row.amount_micros, row.currency)
    return Money(amount, currency) if amount is not None and currency else None


def identifiers(payload: bytes) -> dict[Identifier, str]:
    """The identifiers of an opened identity."""
    return {Identifier(name): value for name, value in orjson.loads(payload).items()}


def chosen(one: Ready) -> Chosen:
    """What is frozen at the first try."""
    return Chosen(
        delivery_id=one.row.id,
        upload_id=one.upload_id,
        target=one.target,
        person_id=one.person.lead_id,
        person_why=one.why,
        identity_id=identity(one.row, one.person),
        amount_micros=one.money.amount_micros if one.money else None,
        currency=one.money.currency if one.money else None,
        sent_at=one.sent_at,
        vendor_key=one.vendor_key,
    )


def upload_row(one: Ready) -> UploadRow:
    """What the connector is given."""
    return UploadRow(
        kind=DeliveryKind(one.row.kind),
        conversion_id=one.row.conversion_uid,
        milestone=one.row.milestone,
        target=Target.of(orjson.loads(one.target)),
        occurred_at=one.sent_at,
        identifiers=one.identifiers,
        consent=one.person.consent,
        money=one.money,
        clicked_at=one.person.clicked_at,
        source_kind=one.source_kind,
    )


def made_ready(
    row: ClaimedRow,
    person: Candidate,
    why: str,
    known: Mapping[Identifier, str],
    destination: OpenDestination,
    source: SourceTerms,
) -> Ready:
    """A row that goes, as it stands before it is frozen."""
    apart = destination.connector.limits.apart
    return Ready(
        row=row,
        target=target(row, destination, source),
        person=person,
        why=why,
        money=content(row),
        identifiers=known,
        sent_at=instant(row),
        source_kind=source.kind,
        vendor_key=row.vendor_key,
        form=f"{row.kind}/{'apart' if apart & known.keys() else ''}",
    )
