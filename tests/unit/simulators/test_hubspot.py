from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.simulators.hubspot import Portal, Stage
from connectors.simulators.hubspot.instants import millis
from tests.unit.simulators.hubspot_rig import DEALS, START, Rig, deal

LINKS = "/crm/associations/2026-09/deals/contacts/batch/read"
CURSOR = "hs_lastmodifieddate"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig(Portal(has_limits=False))
    yield made
    await made.client.aclose()


def where(name: str, operator: str, value: object = None, **more: Any) -> dict[str, Any]:
    return {"propertyName": name, "operator": operator, **({} if value is None else {"value": str(value)}), **more}


def by(name: str, direction: str = "ASCENDING") -> list[dict[str, str]]:
    return [{"propertyName": name, "direction": direction}]


async def test_deals_of_one_millisecond_are_read_whole_by_id(rig: Rig) -> None:
    """A bulk import gives more rows to one instant than a search shows, and paging by id must reach all of them."""
    made = [deal(rig.portal) for _ in range(25_000)]
    seen: list[str] = []

    for _ in range(200):
        condition = where(CURSOR, "EQ", millis(START)), where("hs_object_id", "GT", seen[-1] if seen else 0)
        page = await rig.found(*condition, sorts=by("hs_object_id"))
        seen += page
        if not page:
            break

    assert seen == made


async def test_no_search_pages_past_ten_thousand_rows(rig: Rig) -> None:
    """The cap is what makes a reader restart its window; a simulator without it would prove nothing."""
    for _ in range(10_001):
        deal(rig.portal)

    last = await rig.search(sorts=by(CURSOR), after="9800")
    beyond = await rig.search(sorts=by(CURSOR), after="10000")

    assert (last.json()["total"], last.json()["paging"]) == (10_001, {"next": {"after": "10000"}})
    assert (beyond.status_code, beyond.json()["category"]) == (400, "VALIDATION_ERROR")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), max_size=60),
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from(["ASCENDING", "DESCENDING"]),
)
async def test_a_window_shows_what_a_plain_filter_of_all_records_would(
    edits: list[tuple[int, int]], low: int, high: int, direction: str
) -> None:
    """The index must give, after any edits, exactly the records whose cursor property is inside the window, in order."""
    rig = Rig(Portal(has_limits=False))
    stamps = {deal(rig.portal): millis(START) for _ in range(10)}
    for number, tick in edits:
        edited = list(stamps)[number]
        at = START + timedelta(milliseconds=tick)
        rig.portal.update("deals", edited, {"amount": str(tick)}, at)
        stamps[edited] = max(stamps[edited], millis(at))
    ends = millis(START) + low, millis(START) + high

    window = where(CURSOR, "BETWEEN", ends[0], highValue=str(ends[1]))
    found = await rig.found(window, sorts=by(CURSOR, direction))

    inside = sorted((stamp, one) for one, stamp in stamps.items() if ends[0] <= stamp <= ends[1])
    assert found == [one for _, one in inside[:: 1 if direction == "ASCENDING" else -1]]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (where("amount", "EQ", "100.0"), ["ten", "hundred"][1:]),
        (where("amount", "GTE", 10), ["ten", "hundred"]),
        (where("amount", "NEQ", 10), ["hundred"]),
        (where("amount", "BETWEEN", 10, highValue="100"), ["ten", "hundred"]),
        (where("amount", "HAS_PROPERTY"), ["ten", "hundred"]),
        (where("amount", "NOT_HAS_PROPERTY"), ["none"]),
        (where("dealname", "IN", values=["ten", "none"]), ["ten", "none"]),
        (where("dealname", "NOT_IN", values=["ten", "none"]), ["hundred"]),
        (where("dealname", "CONTAINS_TOKEN", "hun*"), ["hundred"]),
        (where("hs_is_closed_won", "EQ", "true"), ["hundred"]),
        (where("closedate", "LT", "2026-12-01T00:00:00Z"), ["ten"]),
    ],
)
async def test_operators_compare_by_the_type_of_the_property(rig: Rig, condition: dict[str, Any], expected: list[str]) -> None:
    """Numbers and instants are no texts: "100" is above "20" and an ISO instant equals its milliseconds."""
    deal(rig.portal, dealname="ten", amount="10", closedate=str(millis(START)))
    deal(rig.portal, dealname="hundred", amount="100", dealstage="closedwon")
    deal(rig.portal, dealname="none", amount="")

    reply = await rig.search(condition, properties=["dealname", "no_such_property"])

    assert [one["properties"] for one in reply.json()["results"]] == [{"dealname": name} for name in expected]


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"after": "x"},
        {"sorts": by("amount") + by("dealname")},
        {"filterGroups": [{"filters": [where("no_such_property", "EQ", 1)]}]},
        {"filterGroups": [{"filters": [where("amount", "RESEMBLES", 1)]}]},
        {"filterGroups": [{"filters": [where("amount", "BETWEEN", 1)]}]},
        {"filterGroups": [{"filters": [where(CURSOR, "EQ", "yesterday")]}]},
        {"filterGroups": [{"filters": []}] * 6},
        {"filterGroups": [{"filters": [where("amount", "EQ", 1)] * 7}]},
        {"filterGroups": [{"filters": [where("amount", "EQ", 1)] * 5}] * 4},
    ],
)
async def test_a_search_that_hubspot_refuses_is_refused(rig: Rig, body: dict[str, Any]) -> None:
    """A connector that asks wrongly must fail here and not first in a customer's account."""
    reply = await rig.post(f"{DEALS}/search", **body)

    assert (reply.status_code, reply.json()["category"]) == (400, "VALIDATION_ERROR")
    assert reply.json()["correlationId"]


async def test_search_shows_the_old_version_until_the_index_caught_up(rig: Rig) -> None:
    """The late row carries its older timestamp when it turns up: that is how rows are lost without an overlap."""
    late = deal(rig.portal)
    changed = START + timedelta(hours=1)
    rig.portal.update("deals", late, {"dealstage": "closedwon"}, changed, visible_at=changed + timedelta(minutes=20))
    new = rig.portal.create("deals", {}, changed, visible_at=changed + timedelta(minutes=20))

    rig.now = changed + timedelta(minutes=19)
    before = (await rig.search(sorts=by(CURSOR), properties=["dealstage"])).json()["results"]
    read = (await rig.get(f"{DEALS}/{late}", properties="dealstage")).json()
    rig.now = changed + timedelta(minutes=20)
    after = await rig.found(where(CURSOR, "EQ", millis(changed)), sorts=by("hs_object_id"))

    assert [(one["id"], one["properties"]["dealstage"]) for one in before] == [(late, "qualifiedtobuy")]
    assert read["properties"]["dealstage"] == "closedwon"
    assert after == [late, new]


async def test_a_late_version_never_replaces_a_newer_one(rig: Rig) -> None:
    """A slow part of the index must not bring back a stage that the deal has left, nor may a remembered scan."""
    won = where("dealstage", "EQ", "closedwon")
    one = deal(rig.portal)
    rig.portal.update("deals", one, {"dealstage": "contractsent"}, START, visible_at=START + timedelta(hours=2))
    rig.now = START
    before = await rig.found(won)
    rig.portal.update("deals", one, {"dealstage": "closedwon"}, START + timedelta(hours=1))

    rig.now = START + timedelta(hours=3)

    assert (before, await rig.found(won)) == ([], [one])


async def test_archived_records_leave_search_and_stand_in_the_archived_list(rig: Rig) -> None:
    """Archiving moves no cursor, so only the archived listing or a webhook can tell of it."""
    gone = deal(rig.portal)
    rig.portal.archive("deals", gone, START + timedelta(hours=2))

    listed = (await rig.get(DEALS, archived="true", properties="dealstage")).json()["results"]
    read = await rig.post(f"{DEALS}/batch/read?archived=false", inputs=[{"id": gone}], properties=[], propertiesWithHistory=[])

    assert await rig.found() == []
    assert [(one["id"], one["archivedAt"], one["updatedAt"]) for one in listed] == [
        (gone, "2026-11-01T14:00:00.000Z", "2026-11-01T12:00:00.000Z")
    ]
    assert (await rig.get(f"{DEALS}/{gone}")).status_code == 404
    assert (read.status_code, read.json()["errors"][0]["context"]) == (207, {"ids": [gone]})

    rig.portal.restore("deals", gone, START + timedelta(hours=3))
    assert await rig.found(where(CURSOR, "EQ", millis(START + timedelta(hours=3))), sorts=by(CURSOR)) == [gone]


async def test_the_archived_list_is_paged_by_id_and_keeps_ninety_days(rig: Rig) -> None:
    """Nothing in it is ordered by time, so a reader must take every page; what left the bin can be told by nobody."""
    made = [deal(rig.portal) for _ in range(25)]
    for place, one in enumerate(reversed(made)):
        rig.portal.archive("deals", one, START + timedelta(days=place))
    rig.now = START + timedelta(days=90 + 2, seconds=1)
    seen: list[str] = []
    pages: list[int] = []
    after: dict[str, str] | None = {}

    while after is not None:
        body: dict[str, Any] = (await rig.get(DEALS, archived="true", **after)).json()
        seen += [one["id"] for one in body["results"]]
        pages.append(len(body["results"]))
        after = body.get("paging", {}).get("next")

    read = await rig.post(f"{DEALS}/batch/read?archived=true", inputs=[{"id": made[-1]}], properties=[], propertiesWithHistory=[])
    assert (seen, pages) == (made[:22], [10, 10, 2])
    assert read.json()["errors"][0]["context"] == {"ids": [made[-1]]}


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_merge_joins_histories_and_links_and_leaves_404_behind(rig: Rig, *, is_new: bool) -> None:
    """One person's conversion must not be made twice, so the survivor must carry what both records had."""
    winner, loser, person = deal(rig.portal), deal(rig.portal, amount="7"), rig.portal.create("contacts", {}, START)
    rig.portal.associate(loser, person, "Decision maker")
    rig.portal.update("deals", loser, {"dealstage": "closedwon"}, START + timedelta(hours=1))

    survivor = rig.portal.merge("deals", winner, loser, START + timedelta(hours=2), new_id=is_new)

    asked = {"properties": ["amount", "dealstage", "hs_merged_object_ids"], "propertiesWithHistory": ["dealstage"]}
    body = (await rig.post(f"{DEALS}/batch/read", inputs=[{"id": survivor}], **asked)).json()["results"][0]
    history = [(one["value"], one["sourceType"]) for one in body["propertiesWithHistory"]["dealstage"]]
    merged = f"{winner};{loser}" if is_new else loser
    assert body["properties"] == {"amount": "7", "dealstage": "qualifiedtobuy", "hs_merged_object_ids": merged}
    assert history[:2] == [("qualifiedtobuy", "MERGE_OBJECTS"), ("closedwon", "CRM_UI")]
    assert len(history) == 4
    assert (survivor == winner) is not is_new
    assert (await rig.get(f"{DEALS}/{loser}")).status_code == 404
    assert await rig.found() == [survivor]
    linked = (await rig.post(LINKS, inputs=[{"id": survivor}])).json()["results"][0]["to"]
    assert [(one["toObjectId"], one["associationTypes"][1]["label"]) for one in linked] == [(person, "Decision maker")]


async def test_history_is_newest_first_and_a_backdated_change_is_only_history(rig: Rig) -> None:
    """Several moves between two polls must all be readable with their own instants, and an import may come late."""
    one = deal(rig.portal)
    for hours, stage in ((2, "contractsent"), (3, "closedwon")):
        rig.portal.update("deals", one, {"dealstage": stage}, START + timedelta(hours=hours))
    late = START + timedelta(hours=4)
    rig.portal.update("deals", one, {"dealstage": "closedlost"}, START + timedelta(hours=1), "IMPORT", modified_at=late)

    names = {"properties": ["dealstage", "hs_is_closed_won", CURSOR], "propertiesWithHistory": ["dealstage"]}
    body = (await rig.post(f"{DEALS}/batch/read", inputs=[{"id": one}], **names)).json()["results"][0]

    history = [(each["value"], each["timestamp"][11:13]) for each in body["propertiesWithHistory"]["dealstage"]]
    assert history == [("closedwon", "15"), ("contractsent", "14"), ("closedlost", "13"), ("qualifiedtobuy", "12")]
    assert body["properties"] == {"dealstage": "closedwon", "hs_is_closed_won": "true", CURSOR: "2026-11-01T16:00:00.000Z"}


async def test_batch_read_keeps_hubspots_limits_and_tells_of_missing_ids(rig: Rig) -> None:
    """Half the batch size with history, required keys, and 207 for ids that are gone are each a known trap."""
    made = [deal(rig.portal) for _ in range(100)]

    async def read(ids: list[str], **keys: Any) -> httpx.Response:
        return await rig.post(f"{DEALS}/batch/read", inputs=[{"id": one} for one in ids], **keys)

    whole = await read(made, properties=["amount"], propertiesWithHistory=[])
    partial = await read([*made[:49], "404"], properties=[], propertiesWithHistory=["amount"])

    assert (whole.status_code, len(whole.json()["results"])) == (200, 100)
    assert whole.json()["results"][0]["properties"] == {"amount": None}
    assert (partial.status_code, len(partial.json()["results"]), partial.json()["numErrors"]) == (207, 49, 1)
    assert (await read(made[:51], properties=[], propertiesWithHistory=["amount"])).status_code == 400
    assert (await read([*made, "1"], properties=[], propertiesWithHistory=[])).status_code == 400
    assert (await read(made[:1], properties=[])).status_code == 400


async def test_associations_come_by_pages_and_none_is_an_error_of_its_own(rig: Rig) -> None:
    """A deal with many people must be read to its end, and a deal without any is no failure of the batch."""
    rig.portal.association_page = 2
    full, empty = deal(rig.portal), deal(rig.portal)
    people = [rig.portal.create("contacts", {}, START) for _ in range(5)]
    for person in people:
        rig.portal.associate(full, person)
    rig.portal.archive("contacts", people[4], START)

    first = await rig.post(LINKS, inputs=[{"id": full}, {"id": empty}])
    after = first.json()["results"][0]["paging"]["next"]["after"]
    second = (await rig.post(LINKS, inputs=[{"id": full, "after": after}])).json()["results"][0]

    assert (first.status_code, first.json()["errors"][0]["subCategory"].split(".")[-1]) == (207, "NO_ASSOCIATIONS_FOUND")
    seen = [one["toObjectId"] for one in first.json()["results"][0]["to"] + second["to"]]
    assert (seen, "paging" in second) == (people[:4], False)
    assert (await rig.get(f"{DEALS}/{full}", properties="num_associated_contacts")).json()["properties"] == {
        "num_associated_contacts": "4"
    }
    assert (await rig.post(LINKS, inputs=[{"id": full}] * 1001)).status_code == 400


async def test_the_listing_goes_on_by_an_opaque_cursor(rig: Rig) -> None:
    """The listing has no time filter, so its paging alone must give every record once."""
    made = [deal(rig.portal) for _ in range(120)]
    person = rig.portal.create("contacts", {}, START)
    rig.portal.associate(made[0], person)
    seen: list[dict[str, Any]] = []
    after: dict[str, str] = {}

    while True:
        asked = {"limit": "50", "propertiesWithHistory": "amount,dealstage", "associations": "contacts"}
        body = (await rig.get(DEALS, **asked, **after)).json()
        seen += body["results"]
        if "paging" not in body:
            break
        after = {"after": body["paging"]["next"]["after"]}

    assert [one["id"] for one in seen] == made
    assert seen[0]["associations"] == {"contacts": {"results": [{"id": person, "type": "deal_to_contact"}]}}
    assert (await rig.get(DEALS, limit="51", propertiesWithHistory="amount")).status_code == 400
    assert (await rig.get(DEALS, properties="x" * 15_000)).status_code == 414


async def test_metadata_tells_of_what_the_customer_made_himself(rig: Rig) -> None:
    """Mapping forms are filled from here: own pipelines, properties and labels must show beside HubSpot's."""
    rig.portal.define_pipeline("deals", "77", [Stage("701", "Signed", 1.0), Stage("702", "Gone", 0.0)], label="Renewals")
    rig.portal.define_property("contacts", "gbraid")
    rig.portal.define_label("Decision maker")
    rig.portal.add_owner("owner@example.com", "Ada")

    pipelines = (await rig.get("/crm/pipelines/2026-09/deals")).json()["results"]
    labels = (await rig.get("/crm/associations/2026-09/deals/contacts/labels")).json()["results"]
    stages = (await rig.get("/crm/properties/2026-09/contacts/lifecyclestage")).json()["options"]

    assert [(one["id"], one["stages"][-1]["metadata"]["probability"]) for one in pipelines] == [("default", "0.0"), ("77", "0.0")]
    assert [(one["category"], one["label"]) for one in labels] == [("HUBSPOT_DEFINED", None), ("USER_DEFINED", "Decision maker")]
    assert "salesqualifiedlead" in [one["value"] for one in stages]
    assert (await rig.get("/crm/properties/2026-09/contacts/gbraid")).json()["type"] == "string"
    assert (await rig.get("/crm/properties/2026-09/contacts/nope")).status_code == 404
    assert (await rig.get("/crm/owners/2026-09")).json()["results"][0]["email"] == "owner@example.com"
    assert (await rig.get("/account-info/2026-09/details")).json()["companyCurrency"] == "USD"


async def test_versions_dates_and_counts(rig: Rig) -> None:
    """A window's end is taken from the Date header, and a version that HubSpot does not serve must not seem to work."""
    replies = {
        version: await rig.get(f"/crm/objects/{version}/deals") for version in ("2025-09", "2026-03", "2026-09", "2026-10")
    }

    assert {version: reply.status_code for version, reply in replies.items()} == {
        "2025-09": 200,
        "2026-03": 200,
        "2026-09": 200,
        "2026-10": 404,
    }
    assert {reply.headers["date"] for reply in replies.values()} == {"Mon, 02 Nov 2026 12:00:00 GMT"}
    assert (await rig.get("/crm/v3/objects/deals")).status_code == 200
    assert (await rig.get("/nowhere")).headers["date"] == "Mon, 02 Nov 2026 12:00:00 GMT"
    assert rig.portal.requests == {"list deals": 5}
