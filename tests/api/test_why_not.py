"""Why was this lead not sent: each reason the product has, played for real or stored, and read in the trace of the door."""

from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import update

from app.db.tables import leads, mapping_versions, records
from app.ingest.repository import PURGED
from app.mapping.explaining import END_SENTENCES, UNREACHED_SENTENCES, Unreached
from app.outbox.states import REASON_SENTENCES, STATE_REASONS, DeliveryState, Reason
from tests.api.rig import Rig
from tests.api.rows import owe
from tests.api.test_mapping_doors import activated, active, edited, saved
from tests.statements import asked

FROM_US = {"field": "contact.country", "op": "eq", "value": "US"}
SECRET_WORD = "Erika-Mustermann-Word"


async def _told(rig: Rig, ref: str) -> dict[str, Any]:
    answer = await rig.client.get(f"/v1/leads/{ref}/trace")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _missing(rig: Rig, ref: str, milestone: str = "qualified_lead") -> dict[str, Any]:
    (found,) = (one for one in (await _told(rig, ref))["unreached"] if one["milestone"] == milestone)
    assert found["sentence"] == UNREACHED_SENTENCES[Unreached(found["code"])]
    return dict(found)


async def _map(rig: Rig, change: Callable[[dict[str, Any]], None]) -> None:
    document = deepcopy(await edited(rig))
    change(document)
    answer = await activated(rig, await saved(rig, document), (await active(rig)).headers["etag"])
    assert answer.status_code == 200, answer.text


def _qualified(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = (one for one in document["milestones"] if one["name"] == "qualified_lead")
    assert isinstance(found, dict)
    return found


def _deal(rig: Rig, contact: str | None = None, stage: str = "appointmentscheduled", **more: str) -> str:
    at = rig.stage.clock.now - timedelta(minutes=1)
    deal = rig.stage.portal.create("deals", {"dealname": "A deal", "pipeline": "default", "dealstage": stage, **more}, at)
    if contact is not None:
        rig.stage.portal.associate(deal, contact)
    return deal


async def test_the_failing_comparison_is_named_and_no_value_with_it(rig: Rig) -> None:
    """The answer to the question of the day: which field, in the mapping's own words, and nothing personal beside it."""
    where = {"all": [FROM_US, {"field": "contact.firstname", "op": "eq", "value": "Jane"}]}
    await _map(rig, lambda document: _qualified(document).update(where=where))
    contact = rig.person(lifecyclestage="salesqualifiedlead", firstname=SECRET_WORD)
    await rig.services.sync()

    found = await _missing(rig, f"contact:{contact}")

    assert (found["code"], found["ref"]) == ("condition", f"contact:{contact}")
    assert [(one["path"], one["text"], one["holds"]) for one in found["checks"]] == [
        ("all[0]", "contact.country eq US", True),
        ("all[1]", "contact.firstname eq Jane", False),
    ]
    told = await _told(rig, f"contact:{contact}")
    assert told["answers"] == [
        {
            "destination": "google",
            "line": "qualified_lead not reached (condition); opportunity not reached (no_record); "
            "closed_revenue not reached (no_record)",
        }
    ]
    assert SECRET_WORD not in orjson.dumps(told).decode()


async def test_an_entry_that_never_came_is_told_with_what_was_waited_for(rig: Rig) -> None:
    """A stage with a typing error in the mapping shows itself here."""
    contact, without_deal = rig.person(lifecyclestage="subscriber"), rig.person(email="alone@example.com")
    _deal(rig, contact)
    await rig.services.sync()

    assert (await _missing(rig, f"contact:{contact}"))["detail"] == "waited for: contact.lifecyclestage enters salesqualifiedlead"
    alone = await _missing(rig, f"contact:{without_deal}", "opportunity")
    assert (alone["code"], alone["detail"]) == ("no_record", "it is made by a deal")
    opportunity = await _missing(rig, f"contact:{contact}", "opportunity")
    assert (opportunity["code"], opportunity["detail"]) == (
        "not_entered",
        "waited for: deal.dealstage enters qualifiedtobuy in default",
    )


async def test_a_stage_that_was_left_before_its_condition_held_says_so(rig: Rig) -> None:
    """Whoever corrects the country a week later wonders why nothing happens."""
    await _map(rig, lambda document: _qualified(document).update(where=FROM_US))
    contact = rig.person(lifecyclestage="salesqualifiedlead", country="DE")
    await rig.services.sync()
    rig.stage.clock.now += timedelta(hours=1)
    rig.stage.portal.update("contacts", contact, {"lifecyclestage": "subscriber"}, rig.stage.clock.now)
    rig.stage.clock.now += timedelta(hours=1)
    rig.stage.portal.update("contacts", contact, {"country": "US"}, rig.stage.clock.now)
    rig.stage.clock.now += timedelta(hours=1)
    await rig.services.sync()

    found = await _missing(rig, f"contact:{contact}")

    assert (found["code"], [one["holds"] for one in found["checks"]]) == ("left_too_early", [True])


async def test_a_deal_that_counts_for_somebody_else_names_them(rig: Rig) -> None:
    """Two contacts on a deal: salespeople look at the wrong one half of the time."""
    first, second = rig.person(lifecyclestage="salesqualifiedlead"), rig.person(email="other@example.com")
    deal = _deal(rig, first, "closedwon", amount="90")
    rig.stage.portal.associate(deal, second, "Decision maker")
    await rig.services.sync()

    found = await _missing(rig, f"contact:{first}", "closed_revenue")

    assert (found["code"], found["ref"], found["detail"]) == ("other_person", f"deal:{deal}", f"it counts for contact:{second}")


async def test_a_milestone_that_is_not_implied_names_the_higher_one(rig: Rig) -> None:
    """A deal that jumped to won has no opportunity where the mapping ignores what is implied."""

    def ignore(document: dict[str, Any]) -> None:
        for one in document["milestones"]:
            one["implied"] = "ignore"

    await _map(rig, ignore)
    contact = rig.person()
    _deal(rig, contact, "closedwon", amount="90")
    await rig.services.sync()

    found = await _missing(rig, f"contact:{contact}", "opportunity")

    assert (found["code"], found["detail"]) == ("not_implied", "deal.dealstage entered closedwon")


async def test_a_company_that_counts_once_names_the_colleagues_conversion(rig: Rig) -> None:
    """Account-based teams count companies: the second contact of one finds nothing of its own."""

    def by_company(document: dict[str, Any]) -> None:
        _qualified(document)["once_per"] = "company"

    await _map(rig, by_company)
    people = [rig.person(email=f"{name}@example.com", lifecyclestage="salesqualifiedlead") for name in "ab"]
    company = rig.stage.portal.create("companies", {"name": "Acme"}, rig.stage.clock.now - timedelta(minutes=2))
    for person in people:
        rig.stage.portal.associate(person, company, from_type="contacts", to_type="companies")
    await rig.services.sync()

    told = [await _told(rig, f"contact:{person}") for person in people]

    made = [one["uid"] for trace in told for one in trace["conversions"] if one["milestone"] == "qualified_lead"]
    missing = [one for trace in told for one in trace["unreached"] if one["milestone"] == "qualified_lead"]
    assert [(one["code"], one["detail"]) for one in missing] == [("colleague", f"see {made[0]}")]


async def test_what_a_new_version_makes_and_was_not_applied_is_told(rig: Rig) -> None:
    """A mapping that was just mended answers for the next lead, and says what to do for this one."""
    contact = rig.person(lifecyclestage="subscriber")
    await rig.services.sync()

    await _map(rig, lambda document: _qualified(document)["when"][0]["enters"].append("subscriber"))
    before = await _missing(rig, f"contact:{contact}")
    version = (await active(rig)).json()["version"]
    await rig.client.post(f"/v1/mappings/hubspot/versions/{version}/reapply", json={})
    await rig.services.reapplies().finish("hubspot")

    assert before["code"] == "not_applied"
    after = await _told(rig, f"contact:{contact}")
    assert "qualified_lead" in [one["milestone"] for one in after["conversions"]]


@pytest.mark.parametrize("mark", [None, PURGED])
async def test_fields_that_are_gone_are_not_judged(rig: Rig, mark: bytes | None) -> None:
    """With emptied fields every condition is false, and a trace that names one would lie."""
    await _map(rig, lambda document: _qualified(document).update(where=FROM_US))
    contact = rig.person(lifecyclestage="salesqualifiedlead", country="DE")
    await rig.services.sync()
    async with rig.services.database.write() as connection:
        await connection.execute(update(leads).values(raw_hmac=mark))

    found = await _missing(rig, f"contact:{contact}")

    assert (found["code"], found["checks"]) == ("fields_gone", [])


async def test_fields_under_a_lost_key_are_told_and_nothing_fails(rig: Rig) -> None:
    """All else in the trace needs no key: it must not be lost with it."""
    contact = rig.person(lifecyclestage="subscriber")
    await rig.services.sync()
    async with rig.services.database.write() as connection:
        await connection.execute(update(records).values(fields_sealed=b"sealed under another key than ours"))

    assert (await _missing(rig, f"contact:{contact}"))["code"] == "unreadable"


async def test_without_an_active_mapping_the_rows_are_told_alone(rig: Rig) -> None:
    """A trace must not fail for want of what it need not have."""
    contact = rig.person(lifecyclestage="salesqualifiedlead")
    await rig.services.sync()
    async with rig.services.database.write() as connection:
        await connection.execute(update(mapping_versions).values(is_active=False))

    told = await _told(rig, f"contact:{contact}")

    assert (told["unreached"], len(told["conversions"])) == ([], 2)


def test_every_code_of_a_missing_conversion_is_played_here() -> None:
    """A code without a play is a sentence that nobody ever read."""
    text = Path(__file__).read_text(encoding="utf-8")

    assert [code for code in Unreached if f'"{code}"' not in text] == []


async def test_an_excluded_delivery_names_the_comparison(rig: Rig) -> None:
    """The mapping excludes one's own colleagues; which rule it was must not be guessed."""
    contact = rig.person(lifecyclestage="salesqualifiedlead", email="tester@leadloop.example", country="DE")

    def exclude(document: dict[str, Any]) -> None:
        document["exclude"] = [{"field": "person.email_domain", "op": "eq", "value": "leadloop.example"}]

    await _map(rig, exclude)
    await rig.services.sync()

    told = await _told(rig, f"contact:{contact}")

    (owed,) = (one["deliveries"] for one in told["conversions"] if one["milestone"] == "qualified_lead")
    assert [(one["reason"], [check["text"] for check in one["checks"]]) for one in owed] == [
        ("excluded", ["person.email_domain eq leadloop.example"])
    ]
    assert "tester" not in orjson.dumps(told).decode()


@pytest.mark.parametrize(("state", "reason"), [(state, one) for state, reasons in STATE_REASONS.items() for one in reasons])
async def test_every_reason_is_told_in_a_sentence(house: Rig, state: DeliveryState, reason: Reason) -> None:
    """A code alone sends a person to the source code (P7)."""
    is_open = state in (DeliveryState.PENDING, DeliveryState.SENDING)
    due = {"due_at": 1_795_600_000_000, "settled_at": None} if is_open else {}
    (delivery_id,) = await owe(house, [{"state": state.value, "reason": reason.value, **due}])

    told = await _told(house, str(delivery_id))

    (delivery,) = told["conversions"][0]["deliveries"]
    assert (delivery["state"], delivery["reason"], delivery["sentence"]) == (state, reason, REASON_SENTENCES[reason])
    line = told["answers"][0]["line"]
    assert line.startswith("qualified_lead ")
    assert state in line or reason in line or state is DeliveryState.SENDING


async def test_a_conversion_that_ended_says_why(rig: Rig) -> None:
    """Revenue that the CRM took back is asked for by whoever promised it."""
    contact = rig.person(lifecyclestage="salesqualifiedlead")
    deal = _deal(rig, contact, "closedwon", amount="90")
    await rig.services.sync()
    rig.stage.clock.now += timedelta(hours=1)
    rig.stage.portal.update("deals", deal, {"dealstage": "closedlost"}, rig.stage.clock.now)
    rig.stage.clock.now += timedelta(hours=1)
    await rig.services.sync()

    told = await _told(rig, f"deal:{deal}")

    (won,) = (one for one in told["conversions"] if one["milestone"] == "closed_revenue")
    assert (won["ended_why"], won["ended_sentence"]) == ("lost", END_SENTENCES[won["ended_why"]])


async def test_the_whole_request_takes_at_most_twelve_statements(rig: Rig) -> None:
    """Everybody asks all day; with the key, the lookup of the source and the mapping."""
    contact = rig.person(lifecyclestage="salesqualifiedlead")
    deal = _deal(rig, contact, "closedwon", amount="90")
    await rig.services.sync()
    made = await rig.client.post("/v1/keys", json={"role": "viewer"})
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    with asked(rig.services.database, writes=True) as statements:
        answer = await rig.client.get(f"/v1/leads/deal:{deal}/trace", headers=headers)

    assert answer.status_code == 200
    assert 8 <= len(statements) <= 12, statements
