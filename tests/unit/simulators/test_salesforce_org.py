from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from connectors.simulators.salesforce import Org, Stage, long_id
from tests.unit.simulators.salesforce_rig import ROOT, Rig, at, code

STAMP = "%Y-%m-%dT%H:%M:%S.000+0000"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig(Org(tracked={"Lead": {"Status"}}))
    yield made
    await made.client.aclose()


async def test_each_move_of_an_opportunity_leaves_a_row_with_the_values_after_it(rig: Rig) -> None:
    """Stage and amount at the instant of the move are what a conversion is made of."""
    deal = rig.org.create("Opportunity", {"Amount": 100, "CloseDate": "2026-12-01"}, at())
    rig.org.update("Opportunity", deal, {"StageName": "Closed Won"}, at(1))
    rig.org.update("Opportunity", deal, {"Amount": 250.5}, at(2))
    rig.org.update("Opportunity", deal, {"Name": "renamed"}, at(3))
    rig.org.touch("Opportunity", deal, at(4))

    names = "StageName, Amount, Probability, ExpectedRevenue, PrevAmount, CreatedDate"
    history = await rig.rows(f"SELECT {names} FROM OpportunityHistory WHERE OpportunityId = '{deal}' ORDER BY CreatedDate, Id")
    row = (
        await rig.rows(
            "SELECT IsWon, IsClosed, Probability, LastStageChangeDate, LastModifiedDate, SystemModstamp FROM Opportunity"
        )
    )[0]

    assert [tuple(one.values())[1:] for one in history] == [
        ("Prospecting", 100.0, 10.0, 10.0, None, at().strftime(STAMP)),
        ("Closed Won", 100.0, 100.0, 100.0, 100.0, at(1).strftime(STAMP)),
        ("Closed Won", 250.5, 100.0, 250.5, 100.0, at(2).strftime(STAMP)),
    ]
    assert tuple(row.values())[1:] == (True, True, 100.0, *(at(n).strftime(STAMP) for n in (1, 3, 4)))


async def test_stages_may_change_their_meaning_without_a_trace(rig: Rig) -> None:
    """A stage made won later, or taken away, writes no history: only the metadata tells."""
    deal = rig.org.create("Opportunity", {"StageName": "Proposal/Price Quote"}, at())
    rig.org.set_stages([Stage("Signed", 100, is_won=True, label="Unterschrieben")])
    rig.org.update("Opportunity", deal, {"StageName": "From an import"}, at(1))

    stages = await rig.rows("SELECT ApiName, MasterLabel, IsWon, IsClosed, SortOrder FROM OpportunityStage ORDER BY SortOrder")
    history = await rig.column("StageName", "OpportunityHistory ORDER BY CreatedDate")
    choices = await rig.get("/ui-api/object-info/Opportunity/picklist-values/012000000000000AAA/StageName")

    assert [tuple(one.values())[1:] for one in stages] == [("Signed", "Unterschrieben", True, True, 1)]
    assert history == ["Proposal/Price Quote", "From an import"]
    assert [one["value"] for one in choices.json()["values"]] == ["Signed"]


async def test_lead_status_has_history_only_while_tracked(rig: Rig) -> None:
    """LeadHistory is the only history of a status, and what happened untracked is lost."""
    off = Rig(Org())
    lead = off.org.create("Lead", {}, at())
    absent = await off.query("SELECT Id FROM LeadHistory"), await off.get("/sobjects/LeadHistory/describe")
    off.org.update("Lead", lead, {"Status": "Working - Contacted"}, at(1))
    off.org.track_history("Lead", "Status")
    off.org.update("Lead", lead, {"Status": "Closed - Not Converted", "Title": "Dr"}, at(2))
    off.org.track_history("Lead", "Status", is_on=False)
    off.org.update("Lead", lead, {"Status": "Working - Contacted"}, at(3))

    rows = await off.rows("SELECT LeadId, Field, OldValue, NewValue, DataType, CreatedDate FROM LeadHistory")
    on = rig.org.create("Lead", {}, at())

    assert [code(one) for one in absent] == [(400, "INVALID_TYPE"), (404, "NOT_FOUND")]
    expected = (lead, "Status", "Working - Contacted", "Closed - Not Converted", "Text", at(2).strftime(STAMP))
    assert [tuple(one.values())[1:] for one in rows] == [expected]
    assert await rig.column("Field", f"LeadHistory WHERE LeadId = '{on}'") == ["created"]
    tracked = "FieldDefinition WHERE EntityDefinition.QualifiedApiName = 'Lead' AND IsFieldHistoryTracked = true"
    names = [await one.column("QualifiedApiName", tracked, "/tooling/query") for one in (rig, off)]
    assert names == [["Status"], []]


async def test_any_field_may_be_tracked(rig: Rig) -> None:
    """Old and new value are told by their type, as the record tells them."""
    rig.org.define_field("Contact", "Qualified__c", "datetime")
    for name in ("Qualified__c", "HasOptedOutOfEmail"):
        rig.org.track_history("Contact", name)
    contact = rig.org.create("Contact", {}, at())
    rig.org.update("Contact", contact, {"Qualified__c": at(1), "HasOptedOutOfEmail": True}, at(2))

    rows = await rig.rows("SELECT Field, OldValue, NewValue, DataType FROM ContactHistory WHERE Field != 'created' ORDER BY Id")

    assert [tuple(one.values())[1:] for one in rows] == [
        ("HasOptedOutOfEmail", False, True, "Boolean"),
        ("Qualified__c", None, at(1).strftime(STAMP), "DateTime"),
    ]


async def test_a_lead_is_converted_in_one_transaction(rig: Rig) -> None:
    """Person and deal come out of the lead; an unmapped click id stays on the lead alone."""
    for name in ("GCLID__c", "Grade__c"):
        rig.org.define_field("Lead", name)
    rig.org.define_field("Contact", "Grade__c")
    rig.org.map_lead_field("Grade__c", "Contact", "Grade__c")
    fields = {"FirstName": "Ada", "LastName": "Byron", "Email": "ada@example.com", "Company": "Engines"}
    lead = rig.org.create("Lead", {**fields, "GCLID__c": "click", "Grade__c": "A"}, at())

    made = rig.org.convert_lead(lead, at(60 * 15), opportunity={"Amount": 90, "StageName": "Qualification"})

    names = "Status, IsConverted, ConvertedDate, ConvertedContactId, ConvertedOpportunityId, ConvertedAccountId, GCLID__c"
    row = (await rig.rows(f"SELECT {names} FROM Lead"))[0]
    person = (await rig.rows("SELECT Name, Email, Grade__c, Account.Name FROM Contact"))[0]
    converted = "Closed - Converted", True, "2026-11-01", made.contact_id, made.opportunity_id, made.account_id, "click"
    assert tuple(row.values())[1:] == converted, "the date is the org's, five hours behind"
    assert (person["Name"], person["Email"], person["Grade__c"], person["Account"]["Name"]) == (
        "Ada Byron",
        "ada@example.com",
        "A",
        "Engines",
    )
    assert await rig.column("Field", "LeadHistory ORDER BY Id") == ["created", "Status", "leadConverted"]
    assert await rig.column("ContactId", "OpportunityContactRole WHERE IsPrimary = true") == [made.contact_id]
    with pytest.raises(ValueError, match="converted already"):
        rig.org.convert_lead(lead, at(1000))


async def test_conversion_into_an_existing_contact_fills_only_what_is_empty(rig: Rig) -> None:
    """An older e-mail address on the contact wins over the lead's."""
    contact = rig.org.create("Contact", {"LastName": "Byron", "Email": "old@example.com"}, at())
    lead = rig.org.create("Lead", {"LastName": "Byron", "Email": "new@example.com", "Phone": "555", "Company": "X"}, at())

    made = rig.org.convert_lead(lead, at(1), contact_id=contact, opportunity=None)

    assert (made.contact_id, made.opportunity_id) == (contact, None)
    assert await rig.rows("SELECT Email, Phone FROM Contact") == [
        {
            "attributes": {"type": "Contact", "url": f"{ROOT}/sobjects/Contact/{contact}"},
            "Email": "old@example.com",
            "Phone": "555",
        }
    ]


async def test_a_person_account_is_account_and_contact_at_once() -> None:
    """Where consumers are sold to, the account is the person and there may be no role."""
    rig = Rig(Org(has_persons=True))
    lead = rig.org.create("Lead", {"FirstName": "Ada", "LastName": "Byron", "Email": "ada@example.com"}, at())

    made = rig.org.convert_lead(lead, at(1), opportunity={}, has_role=False)

    rows = await rig.rows(
        "SELECT Account.IsPersonAccount, Account.PersonEmail, Account.PersonContactId, Account.Name FROM Opportunity"
    )
    assert tuple(rows[0]["Account"].values())[1:] == (True, "ada@example.com", made.contact_id, "Ada Byron")
    assert await rig.column("Id", "OpportunityContactRole") == []


async def test_merged_leads_leave_an_alias_and_give_their_history_away(rig: Rig) -> None:
    """The loser is seen by queryAll only, and tells who took its place."""
    winner, loser = (rig.org.create("Lead", {"LastName": name}, at()) for name in ("winner", "loser"))
    rig.org.update("Lead", loser, {"Status": "Working - Contacted"}, at(1))

    rig.org.merge("Lead", winner, loser, at(2), {"Title": "Dr"})

    everything = await rig.rows("SELECT Id, IsDeleted, MasterRecordId, SystemModstamp FROM Lead ORDER BY Id", "/queryAll")
    assert await rig.column("Id", "Lead") == [winner]
    assert [tuple(one.values())[1:] for one in everything] == [
        (winner, False, None, at(2).strftime(STAMP)),
        (loser, True, winner, at(2).strftime(STAMP)),
    ]
    assert await rig.column("LeadId", "LeadHistory WHERE Field = 'Status'") == [winner]
    gone = await rig.get("/sobjects/Lead/deleted/", start=f"{at():%Y-%m-%dT%H:%M:%S+00:00}", end="2026-11-01T13:00:00Z")
    assert gone.json()["deletedRecords"] == [{"id": loser, "deletedDate": at(2).strftime(STAMP)}]


async def test_merged_contacts_move_their_roles(rig: Rig) -> None:
    """The deal's person is the winner from then on, and the role's stamp tells a poll so."""
    winner, loser = (rig.org.create("Contact", {"LastName": name}, at()) for name in ("winner", "loser"))
    deal = rig.org.create("Opportunity", {}, at())
    role = rig.org.add_role(deal, loser, is_primary=True)

    rig.org.merge("Contact", winner, loser, at(2))

    rows = await rig.rows("SELECT Id, ContactId, SystemModstamp FROM OpportunityContactRole")
    assert [tuple(one.values())[1:] for one in rows] == [(role, winner, at(2).strftime(STAMP))]
    assert await rig.column("ContactId", "Opportunity") == [winner]


async def test_an_opportunity_mirrors_its_primary_role(rig: Rig) -> None:
    """ContactId is a short cut to the primary role, and moves no stamp of the opportunity."""
    one, other = (rig.org.create("Contact", {}, at()) for _ in range(2))
    deal = rig.org.create("Opportunity", {}, at())
    roles = [rig.org.add_role(deal, contact, is_primary=True, at=at(1)) for contact in (one, other)]
    primary = await rig.column("IsPrimary", "OpportunityContactRole ORDER BY Id")
    mirrored = [await rig.column("ContactId", "Opportunity")]
    rig.org.remove_role(roles[1], at(2))
    mirrored.append(await rig.column("ContactId", "Opportunity"))

    assert (primary, mirrored) == ([False, True], [[other], [None]])
    assert await rig.column("SystemModstamp", "Opportunity") == [at().strftime(STAMP)]


async def test_deleted_rows_go_through_the_bin_and_out_of_it(rig: Rig) -> None:
    """A deleted deal is to be taken back where it was sent, also once its bin was emptied."""
    contact = rig.org.create("Contact", {}, at())
    deal, brief = (rig.org.create("Opportunity", {}, at()) for _ in range(2))
    rig.org.add_role(deal, contact)
    rig.org.delete("Opportunity", deal, at(1))
    rig.org.hard_delete("Opportunity", brief, at(2))
    hidden = await rig.column("Id", "Opportunity"), await rig.column("Id", "OpportunityHistory")
    binned = await rig.rows("SELECT Id, IsDeleted FROM Opportunity", "/queryAll")
    roles = await rig.column("IsDeleted", "OpportunityContactRole", "/queryAll")
    rig.org.undelete("Opportunity", deal, at(3))
    restored = await rig.column("Id", "Opportunity"), await rig.column("Id", "OpportunityContactRole")
    rig.org.delete("Opportunity", deal, at(4))
    rig.now += timedelta(days=16)
    rig.session = rig.org.sessions.issue(rig.now)

    emptied = await rig.column("Id", "Opportunity", "/queryAll"), await rig.column("Id", "OpportunityHistory", "/queryAll")
    told = await rig.get("/sobjects/Opportunity/deleted", start="2026-11-01T00:00:00Z", end="2026-11-30T00:00:00Z")

    assert hidden == ([], [])
    assert [(one["Id"], one["IsDeleted"]) for one in binned] == [(deal, True)]
    assert (roles, len(restored[0]), len(restored[1])) == ([True], 1, 1)
    assert emptied == ([], [])
    assert [one["id"] for one in told.json()["deletedRecords"]] == [brief, deal]


async def test_rows_committed_late_show_with_their_older_stamp(rig: Rig) -> None:
    """A long transaction is seen minutes after its stamp, when a cursor without look-back is long past it."""
    rig.now = at(10)
    deal = rig.org.create("Opportunity", {}, at(1))
    rig.org.update("Opportunity", deal, {"StageName": "Closed Won"}, at(3), visible_at=at(12))
    late = rig.org.create("Lead", {}, at(4), visible_at=at(12))
    rig.org.update("Opportunity", deal, {"Name": "behind the lock"}, at(5))
    span = {"start": "2026-11-01T12:00:00Z", "end": "2026-11-01T12:10:00Z"}

    before = await rig.column("StageName", "Opportunity"), await rig.column("StageName", "OpportunityHistory")
    nothing, covered = await rig.column("Id", "Lead"), await rig.get("/sobjects/Lead/updated", **span)
    rig.now = at(12)

    assert before == (["Prospecting"], ["Prospecting"])
    assert (nothing, covered.json()) == ([], {"ids": [], "latestDateCovered": at(4).strftime(STAMP)})
    row = (await rig.rows("SELECT Name, StageName, SystemModstamp FROM Opportunity"))[0]
    assert tuple(row.values())[1:] == ("behind the lock", "Closed Won", at(5).strftime(STAMP))
    assert await rig.column("CreatedDate", "OpportunityHistory ORDER BY CreatedDate DESC") == [
        at(n).strftime(STAMP) for n in (3, 1)
    ]
    assert (await rig.get("/sobjects/Lead/updated", **span)).json() == {
        "ids": [late],
        "latestDateCovered": at(10).strftime(STAMP),
    }


async def test_lists_of_changes_are_bounded(rig: Rig) -> None:
    """More ids than may be told make the reader narrow its range, and nothing is told of older than 30 days."""
    for minute in range(3):
        rig.org.create("Lead", {}, at(minute))
    rig.org.most_ids = 2
    day = {"start": "2026-11-01T12:00:59Z", "end": "2026-11-01T12:02:59Z"}

    fits = await rig.get("/sobjects/Lead/updated/", **day)
    too_many = await rig.get("/sobjects/Lead/updated/", start=day["start"], end="2026-11-01T13:00:00Z")
    too_old = await rig.get("/sobjects/Lead/deleted/", start="2026-10-01T00:00:00Z", end=day["end"])

    assert len(fits.json()["ids"]) == 2, "seconds are cut off"
    assert code(too_many) == (400, "EXCEEDED_ID_LIMIT")
    assert code(too_old) == (400, "INVALID_REPLICATION_DATE")


async def test_fields_come_and_go(rig: Rig) -> None:
    """A field that is removed or hidden fails in a query and is missing from the description."""
    rig.org.define_field("Lead", "GCLID__c", label="Google Click ID", length=100)
    lead = rig.org.create("Lead", {"GCLID__c": "click"}, at())
    described = await rig.get("/sobjects/Lead/describe")
    since = described.headers["Last-Modified"]
    unchanged = await rig.call("GET", "/sobjects/Lead/describe", headers={"If-Modified-Since": since})
    rig.now += timedelta(minutes=5)
    rig.org.hide("Lead", "GCLID__c")
    changed = await rig.call("GET", "/sobjects/Lead/describe", headers={"If-Modified-Since": since})
    hidden = await rig.query("SELECT GCLID__c FROM Lead")
    rig.org.hide("Lead", "GCLID__c", is_hidden=False)
    back = await rig.column("GCLID__c", "Lead")
    rig.org.remove_field("Lead", "GCLID__c")
    rig.org.define_field("Lead", "GCLID__c")

    field = next(one for one in described.json()["fields"] if one["name"] == "GCLID__c")
    told = {"label": "Google Click ID", "type": "string", "custom": True, "length": 100, "filterable": True, "updateable": True}
    assert told.items() <= field.items()
    assert (unchanged.status_code, unchanged.content, changed.status_code) == (304, b"", 200)
    assert "GCLID__c" not in {one["name"] for one in changed.json()["fields"]}
    assert (code(hidden), back) == ((400, "INVALID_FIELD"), ["click"])
    assert (await rig.get(f"/sobjects/Lead/{lead}", fields="GCLID__c")).json()["GCLID__c"] is None, "its values went with it"


async def test_currencies_exist_only_where_there_are_several() -> None:
    """CurrencyIsoCode selected in a single-currency org is an error, in a multi-currency one it is the amount's currency."""
    rig = Rig(Org(currency="EUR", currencies={"USD": 1.08}))
    deal = rig.org.create("Opportunity", {"Amount": 5, "CurrencyIsoCode": "USD"}, at())
    rig.org.create("Opportunity", {"Amount": 6}, at(1))

    codes = await rig.column("CurrencyIsoCode", "Opportunity ORDER BY CreatedDate")
    of_history = await rig.column("CurrencyIsoCode", f"OpportunityHistory WHERE OpportunityId = '{deal}'")
    corporate = await rig.column("IsoCode", "CurrencyType WHERE IsCorporate = true")

    assert (codes, of_history, corporate) == (["USD", "EUR"], ["USD"], ["EUR"])


async def test_the_organization_and_its_ids_are_whole(rig: Rig) -> None:
    """Webhooks are routed by the org's id, in its short or its long form."""
    row = (await rig.rows("SELECT Id, IsSandbox, OrganizationType, TimeZoneSidKey FROM Organization"))[0]
    listed = {one["name"] for one in (await rig.get("/sobjects")).json()["sobjects"]}

    assert (row["Id"], row["TimeZoneSidKey"], row["IsSandbox"]) == (rig.org.org_id, "America/New_York", False)
    assert (len(row["Id"]), row["Id"][:3]) == (18, "00D")
    assert {"Lead", "LeadHistory", "OpportunityHistory"} <= listed
    assert not {"ContactHistory", "CurrencyType"} & listed
    assert long_id("001D000000IqhSL") == "001D000000IqhSLIAZ", "an account in the vendor's REST guide"
    with pytest.raises(ValueError, match="do not fit"):
        long_id("001D000000IqhSLAAA")
