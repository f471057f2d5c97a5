"""The first pages of several windows in one request, as Salesforce counts a composite of five queries once."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from connectors.contract.errors import ConnectorError
from connectors.contract.records import ObjectKind
from connectors.contract.source import Window
from connectors.crm.salesforce.api import QUERIES_A_COMPOSITE, Rows, SalesforceApi
from connectors.crm.salesforce.catalogue import Plans
from connectors.crm.salesforce.soql import Query
from connectors.crm.salesforce.walk import ROLES_REACH, First, query_at
from connectors.crm.salesforce.windows import Phase, Place
from connectors.http.strict_json import to_ms

Answer = tuple[Rows | ConnectorError, datetime | None]


async def first_pages(api: SalesforceApi, windows: Mapping[Window, int], plans: Plans, now: datetime) -> Mapping[Window, First]:
    """The first page of each window, by the millisecond that it starts at. One that is under way has none.

    A window that cannot be asked for is left out: its own reading tells why.
    """
    asked = [(window, *one) for window, start_ms in windows.items() for one in _asked(window, start_ms, plans, now)]
    found: dict[tuple[Window, Phase], Answer] = {}
    for start in range(0, len(asked), QUERIES_A_COMPOSITE):
        part = asked[start : start + QUERIES_A_COMPOSITE]
        answers, at = await api.queries([query for _, _, query in part])
        found.update(((window, phase), (answer, at)) for (window, phase, _), answer in zip(part, answers, strict=True))
    return {window: _first(found, window) for window in windows if (window, Phase.ROWS) in found}


def reads_roles(kind: ObjectKind, plans: Plans) -> bool:
    """True where a window has a second phase."""
    return kind is ObjectKind.DEAL and plans.roles is not None and plans.of(kind).chosen.with_people


def _asked(window: Window, start_ms: int, plans: Plans, now: datetime) -> Iterator[tuple[Phase, Query]]:
    if window.resume is not None and Place.from_text(window.resume) is not None:
        return
    end_ms = None if window.until is None else max(to_ms(window.until), to_ms(window.since)) + 1
    try:
        rows = query_at(window.kind, Place(Phase.ROWS, start_ms), end_ms, plans)
    except ConnectorError:
        return
    yield Phase.ROWS, rows
    if reads_roles(window.kind, plans) and start_ms >= to_ms((window.until or now) - ROLES_REACH):
        yield Phase.ROLES, query_at(window.kind, Place(Phase.ROLES, start_ms), end_ms, plans)


def _first(found: Mapping[tuple[Window, Phase], Answer], window: Window) -> First:
    rows, at = found[window, Phase.ROWS]
    roles = found.get((window, Phase.ROLES))
    return First(rows, None if roles is None else roles[0], at)
