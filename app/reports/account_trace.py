"""What each platform was told of one lead, and by how much that exceeds what the lead is worth (pure)."""

from collections.abc import Mapping, Sequence

from sqlalchemy import RowMapping

from app.reports.account_queries import TOLD
from app.reports.correction_queries import DELIVERED, OPEN, UPLOAD
from app.reports.trace_model import AccountTrace
from connectors.contract.conversions import DeliveryKind, Money


def account_of(
    account: RowMapping | None,
    lead_id: int | None,
    conversions: Sequence[RowMapping],
    deliveries: Mapping[int, Sequence[RowMapping]],
) -> AccountTrace | None:
    """The account of a lead (None: of a deal without people), None where there is none. `deliveries` are by conversion."""
    if account is None or account["worth_micros"] is None:
        return None
    worth = Money(account["worth_micros"], account["currency"])
    told: dict[str, dict[str, int]] = {}
    for conversion in conversions:
        if conversion["lead_id"] != lead_id:
            continue  # of somebody else who is on the same deal
        by_destination: dict[str, list[RowMapping]] = {}
        for row in deliveries.get(conversion["id"], ()):
            by_destination.setdefault(row["destination"], []).append(row)
        for destination, rows in by_destination.items():
            if (money := _told(conversion, rows)) is not None:
                sums = told.setdefault(destination, {})
                sums[money.currency] = sums.get(money.currency, 0) + money.amount_micros
    return AccountTrace(
        worth=worth,
        told={name: tuple(Money(sums[currency], currency) for currency in sorted(sums)) for name, sums in told.items()},
        overstated={name: _excess(sums, worth) for name, sums in told.items()},
    )


def _told(conversion: RowMapping, rows: Sequence[RowMapping]) -> Money | None:
    """What a platform counts for a conversion, once what is still to be corrected is; None: nothing."""
    upload = next((row for row in rows if row["kind"] == UPLOAD), None)
    if upload is None or upload["state"] not in DELIVERED:
        return None
    corrections = [row for row in rows if row["kind"] != UPLOAD and row["state"] in TOLD]
    last = max(corrections, key=lambda row: row["seq"], default=upload)
    if last["kind"] == DeliveryKind.RETRACT.value:
        return None
    of = (conversion["amount_micros"], conversion["currency"])
    micros, currency = of if last["state"] in OPEN else (last["sent_amount_micros"], last["sent_currency"])
    return None if micros is None or currency is None else Money(micros, currency)


def _excess(sums: Mapping[str, int], worth: Money) -> Money | None:
    if set(sums) - {worth.currency}:
        return None
    return Money(max(0, sums.get(worth.currency, 0) - worth.amount_micros), worth.currency)
