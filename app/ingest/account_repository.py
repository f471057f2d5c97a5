"""SQL of accounts: what each lead is worth, for reports. Bulk statements only; never commits."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import delete_rows, insert_rows
from app.db.tables import accounts
from connectors.contract.conversions import Money


async def write_worths(connection: AsyncConnection, source_id: int, worths: Mapping[int, Money | None], now_ms: int) -> None:
    """Keep the worth of these accounts, and drop those that have none; what is as it was is not written."""
    rows = [
        {"id": number, "source_id": source_id, "worth_micros": worth.amount_micros, "currency": worth.currency, "at": now_ms}
        for number, worth in worths.items()
        if worth is not None
    ]
    changing = "accounts.worth_micros <> excluded.worth_micros OR accounts.currency <> excluded.currency"
    await insert_rows(connection, accounts, rows, conflict=("id",), update=("worth_micros", "currency", "at"), where=changing)
    await delete_rows(connection, accounts, [{"id": number} for number, worth in worths.items() if worth is None])
