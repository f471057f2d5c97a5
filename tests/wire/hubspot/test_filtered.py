"""Searches for what the mapping reads only: contacts change with every e-mail that is opened, few of them matter."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract.errors import RequestRefused
from connectors.contract.records import ObjectKind
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Window
from connectors.crm.hubspot.search import Keyset, search_body
from connectors.crm.hubspot.settings import HubSpotSettings
from connectors.crm.hubspot.source import HubSpotSource
from connectors.http.strict_json import from_ms
from connectors.simulators.hubspot import Portal, create_hubspot
from tests.wire.hubspot.fake_account import Account, ids_in, nothing_stored, read, refusal

START = 1_700_000_000_000
MODIFIED = "lastmodifieddate"
NAMES = ("consent", "gclid", "msclkid", "ttclid")


def between(low: int, high: int) -> dict[str, Any]:
    return {"propertyName": MODIFIED, "operator": "BETWEEN", "value": str(low), "highValue": str(high)}


def has(name: str) -> dict[str, Any]:
    return {"propertyName": name, "operator": "HAS_PROPERTY"}


def without(*ids: str) -> dict[str, Any]:
    return {"propertyName": "hs_object_id", "operator": "NOT_IN", "values": list(ids)}


@pytest.mark.parametrize(
    ("keyset", "until", "base"),
    [
        (Keyset(START), None, [{"propertyName": MODIFIED, "operator": "GTE", "value": str(START)}]),
        (Keyset(START), START + 9, [between(START, START + 9)]),
        (Keyset(START, ("4", "5")), START + 9, [between(START, START + 9), without("4", "5")]),
        (Keyset(START, ("4",)), START, [between(START, START), without("4")]),
        (
            Keyset(START, ("4",), "7"),
            START + 9,
            [
                {"propertyName": MODIFIED, "operator": "EQ", "value": str(START)},
                {"propertyName": "hs_object_id", "operator": "GT", "value": "7"},
            ],
        ),
    ],
)
def test_each_wanted_property_is_a_group_of_its_own(keyset: Keyset, until: int | None, base: list[dict[str, Any]]) -> None:
    """Groups are joined by "or", filters by "and"; three of three is what every one of HubSpot's pages allows."""

    def groups(names: Sequence[str]) -> object:
        return search_body(ObjectKind.CONTACT, keyset, until, only_where_set=names)["filterGroups"]

    assert groups(()) == [{"filters": base}]
    assert groups(("gclid",)) == [{"filters": [*base, has("gclid")]}]
    assert groups(("msclkid", "consent", "gclid")) == [{"filters": [*base, has(name)]} for name in NAMES[:3]]
    assert groups(NAMES) == [{"filters": base}]


def selection(names: Sequence[str]) -> Selection:
    return Selection({ObjectKind.CONTACT: ObjectSelection(fields=frozenset(NAMES), only_where_set=frozenset(names))})


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.sets(st.sampled_from(NAMES))), max_size=260),
    wanted=st.sets(st.sampled_from(NAMES)),
    page_rows=st.sampled_from(["3", "20", "200"]),
)
async def test_no_row_with_one_of_the_properties_is_missed_from_any_resume(
    rows: list[tuple[int, set[str]]], wanted: set[str], page_rows: str
) -> None:
    """A click id that is not read is a conversion that nobody can be credited with, crowded milliseconds or not."""
    account = Account()
    for number, (tick, names) in enumerate(rows):
        account.put("contacts", number + 1, START + tick, **dict.fromkeys(sorted(names), "x"))
    window = Window(ObjectKind.CONTACT, from_ms(START), from_ms(START + 4))

    pages = await read(account, window, selection(sorted(wanted)), page_rows=page_rows)

    is_filtered = 0 < len(wanted) <= 3
    due = {str(n + 1) for n, (tick, names) in enumerate(rows) if tick <= 4 and (not is_filtered or names & wanted)}
    assert Counter(ids_in(pages, ObjectKind.CONTACT)) == Counter(due)
    for number, page in list(enumerate(pages[:-1], 1))[::7]:
        going_on = Window(ObjectKind.CONTACT, window.since, page.until, page.resume)
        rest = await read(account, going_on, selection(sorted(wanted)), page_rows=page_rows)
        assert Counter(ids_in([*pages[:number], *rest], ObjectKind.CONTACT)) == Counter(due)


async def test_a_wanted_property_that_was_deleted_in_hubspot_loses_no_rows() -> None:
    """HubSpot refuses a filter of an unknown property; a filter that only saves reads may not stop the source."""
    account = Account()
    account.put("contacts", 1, START, gclid="x")
    account.put("contacts", 2, START, gclid=None)

    def refuse(request: httpx.Request) -> httpx.Response | None:
        return refusal(400, "VALIDATION_ERROR", "no such property") if b"HAS_PROPERTY" in request.content else None

    account.on_request = refuse

    pages = await read(account, Window(ObjectKind.CONTACT, from_ms(START)), selection(["gclid"]))

    assert ids_in(pages, ObjectKind.CONTACT) == ["1", "2"]
    assert account.calls["POST /crm/objects/2026-09/contacts/search"] == 2


async def test_a_search_that_is_refused_without_the_filter_too_stops() -> None:
    """A 400 of another cause is ours to mend: going on would settle a window that was never read."""
    account = Account()
    account.on_request = lambda _request: refusal(400, "VALIDATION_ERROR", "no such operator")

    with pytest.raises(RequestRefused, match="no such operator"):
        await read(account, Window(ObjectKind.CONTACT, from_ms(START)), selection(["gclid"]))


async def test_contacts_on_deals_are_wanted_whatever_else_they_lack() -> None:
    """Whose deal is sent must be known as they are now, also where none of their own properties makes a milestone."""
    portal = Portal(tokens=("pat-test",), has_limits=False)
    at = from_ms(START)
    stranger, buyer, qualified = (
        portal.create("contacts", properties, at)
        for properties in ({"email": "a@x.example"}, {"email": "b@x.example"}, {"email": "c@x.example", "hs_lead_status": "OPEN"})
    )
    portal.associate(portal.create("deals", {"dealstage": "qualifiedtobuy"}, at), buyer)
    chosen = ObjectSelection(frozenset({"email"}), only_where_set=frozenset({"hs_lead_status"}), or_on_deals=True)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(create_hubspot(portal, lambda: at)))
    source = HubSpotSource(client, HubSpotSettings.from_mapping({"access_token": "pat-test"}), lambda: at)

    async def found(one: ObjectSelection) -> set[str]:
        window = Window(ObjectKind.CONTACT, at)
        pages = [page async for page in source.changes(window, Selection({ObjectKind.CONTACT: one}), nothing_stored())]
        return set(ids_in(pages, ObjectKind.CONTACT))

    assert await found(chosen) == {buyer, qualified}
    assert await found(replace(chosen, only_where_set=frozenset())) == {buyer}
    assert await found(replace(chosen, or_on_deals=False)) == {qualified}
    assert await found(ObjectSelection(frozenset({"email"}))) == {stranger, buyer, qualified}
