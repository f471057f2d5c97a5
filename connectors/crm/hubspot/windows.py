"""Reads a window's rows by search, some queries at a time, so that a page of records is large enough to be cheap."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from connectors.contract.errors import AuthenticationFailed, ConnectorError, RequestRefused
from connectors.contract.records import ObjectKind
from connectors.crm.hubspot.api import HubSpotApi
from connectors.crm.hubspot.refusals import DAILY
from connectors.crm.hubspot.search import FoundRow, Keyset, SearchPage, advance
from connectors.http.client import Clock
from connectors.http.strict_json import to_ms

# As many rows as one association read takes.
SEARCHES_A_PAGE = 5
BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class Stretch:
    """Part of a window: its rows in order, and where it goes on (None: it is read). `failure` came after these rows."""

    rows: tuple[FoundRow, ...]
    until_ms: int
    next: Keyset | None
    failure: ConnectorError | None = None


class WindowSearch:
    """Searches one kind. `until_ms` of a window that has no end yet is the server's clock at the first answer."""

    def __init__(
        self, api: HubSpotApi, kind: ObjectKind, page_rows: int, only_where_set: Collection[str], start_ms: int, clock: Clock
    ) -> None:
        self._api = api
        self._kind = kind
        self._page_rows = page_rows
        self._wanted = only_where_set
        self._start_ms = start_ms
        self._clock = clock

    async def stretch(self, keyset: Keyset, until_ms: int | None, searches: int) -> Stretch:
        """The rows of the next so many queries. What came before a failure is kept, or a weak hour would stop the window."""
        rows: list[FoundRow] = []
        going_on = keyset
        end_ms = until_ms
        for _ in range(searches):
            try:
                found, server_time = await self._search(going_on, end_ms)
                if end_ms is None:
                    end_ms = max(to_ms(server_time or self._clock()), self._start_ms)
                step = advance(going_on, found, end_ms)
            except ConnectorError as error:
                if end_ms is None or going_on == keyset or _ends_at_once(error):
                    raise
                return Stretch(tuple(rows), end_ms, going_on, error)
            rows += step.rows
            if step.next is None:
                return Stretch(tuple(rows), end_ms, None)
            going_on = step.next
        return Stretch(tuple(rows), self._start_ms if end_ms is None else end_ms, going_on)

    async def _search(self, keyset: Keyset, until_ms: int | None) -> tuple[SearchPage, datetime | None]:
        """One query; without the wanted properties where HubSpot refuses them (one was deleted there): that costs reads only."""
        try:
            return await self._api.search(self._kind, keyset, until_ms, self._page_rows, self._wanted)
        except RequestRefused as error:
            if error.status != BAD_REQUEST or not self._wanted:
                raise
        self._wanted = ()
        return await self._api.search(self._kind, keyset, until_ms, self._page_rows)


def _ends_at_once(error: ConnectorError) -> bool:
    """True where reading the rows that were found would fail alike, and be one more error that HubSpot counts."""
    return isinstance(error, AuthenticationFailed) or error.code == DAILY
