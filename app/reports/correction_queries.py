"""SQL of corrections: which of a conversion's deliveries at a destination belong together, and which is the newest."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, FromClause, ScalarSelect, and_, func, select

from app.db.tables import deliveries
from app.outbox.states import DeliveryState
from connectors.contract.conversions import DeliveryKind

OPEN = (DeliveryState.PENDING.value, DeliveryState.SENDING.value)
DELIVERED = (DeliveryState.ACCEPTED.value, DeliveryState.CONFIRMED.value)
UPLOAD = DeliveryKind.UPLOAD.value


def of_the_same(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    """Of one conversion at one destination."""
    return and_(one.c.conversion_id == other.c.conversion_id, one.c.destination_id == other.c.destination_id)


def newest(beside: FromClause, states: Sequence[str]) -> ScalarSelect[int]:
    """The number of the newest correction of this delivery's conversion at its destination that stands in one of these states."""
    other = deliveries.alias("other")
    of_it = (of_the_same(other, beside), other.c.kind != UPLOAD, other.c.state.in_(states))
    return select(func.max(other.c.seq)).where(*of_it).scalar_subquery()
