"""The keyset (pure): where a search that misbehaves is refused, and what is written down."""

import pytest

from connectors.contract.errors import UnexpectedReply
from connectors.contract.records import ObjectKind
from connectors.crm.hubspot.search import FoundRow, Keyset, SearchPage, advance, read_page, search_body
from connectors.http.strict_json import from_ms

START = 1_700_000_000_000


def full_page(*rows: tuple[int, int]) -> SearchPage:
    return SearchPage(tuple(FoundRow(str(one), from_ms(START + offset)) for one, offset in rows), is_short=False)


def test_the_next_query_names_the_last_millisecond_and_what_is_after_it() -> None:
    """Rows of the last millisecond may be on the other side of the page's end."""
    step = advance(Keyset(START), full_page((1, 0), (2, 5), (3, 5)), START + 50)

    assert step.next == Keyset(START + 5, ("2", "3"))
    assert search_body(ObjectKind.LEAD, step.next, START + 50)["filterGroups"] == [
        {
            "filters": [
                {
                    "propertyName": "hs_lastmodifieddate",
                    "operator": "BETWEEN",
                    "value": str(START + 5),
                    "highValue": str(START + 50),
                },
                {"propertyName": "hs_object_id", "operator": "NOT_IN", "values": ["2", "3"]},
            ]
        },
    ]


def test_at_the_windows_last_millisecond_no_reversed_range_is_asked() -> None:
    """HubSpot answers a range whose ends are reversed with 400, and the window would never settle."""
    groups = search_body(ObjectKind.DEAL, Keyset(START, ("1",)), START)["filterGroups"]

    assert isinstance(groups, list)
    assert len(groups) == 1


def test_a_row_after_the_end_ends_the_window() -> None:
    """The first query has no upper end; without this a busy account would never let it settle."""
    assert advance(Keyset(START), full_page((1, 0), (2, 51)), START + 50).next is None


@pytest.mark.parametrize(
    ("keyset", "page"),
    [
        (Keyset(START, ("1", "2")), full_page((1, 0), (2, 0))),
        (Keyset(START + 9), full_page((1, 0))),
        (Keyset(START, after_id="7"), full_page((6, 0), (7, 0))),
    ],
)
def test_a_search_that_runs_in_a_circle_is_refused(keyset: Keyset, page: SearchPage) -> None:
    """A server that ignores a filter must not keep us asking for ever."""
    with pytest.raises(UnexpectedReply, match="does not move on"):
        advance(keyset, page, START + 50)


@pytest.mark.parametrize("keyset", [Keyset(START), Keyset(START, ("5", "6")), Keyset(START, ("5",), "0")])
def test_a_keyset_is_read_as_it_was_written(keyset: Keyset) -> None:
    """What a committed page wrote is where the next process goes on."""
    assert Keyset.from_text(keyset.to_text()) == keyset


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"total": 3},
        {"total": 3, "results": [], "paging": {"next": {"after": "0"}}},
        {"total": 1, "results": [{"id": "1", "properties": {}}]},
        {"total": 1, "results": [{"id": "x", "properties": {"hs_lastmodifieddate": "2026-11-01T00:00:00Z"}}]},
        {"total": 1, "results": [{"id": "1", "properties": {"hs_lastmodifieddate": "yesterday"}}]},
        {"total": 1, "results": ["row"]},
    ],
)
def test_garbage_is_an_unexpected_reply(body: dict[str, object]) -> None:
    """A window may not settle on an answer that was not understood."""
    with pytest.raises(UnexpectedReply):
        read_page(ObjectKind.DEAL, body)
