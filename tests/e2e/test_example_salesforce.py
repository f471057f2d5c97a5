"""The example of an enterprise vendor on Salesforce: every rule of it meets somebody to whom it applies."""

from datetime import timedelta
from pathlib import Path

import httpx

from connectors.contract.conversions import Identifier
from connectors.simulators.google import Consent
from connectors.simulators.salesforce import DEFAULT_STATUSES, ConnectedApp, Org, Status, create_salesforce
from tests.contract.crm_stage import Clock
from tests.contract.google_stage import ACCOUNT, GoogleStage
from tests.contract.linkedin_stage import LinkedInStage
from tests.contract.microsoft_stage import MicrosoftStage
from tests.e2e.example_rig import BEGINS_AT, DAY, ExampleRig

APP = ConnectedApp("salesforce-consumer-key", "salesforce-consumer-secret")
FIELDS = {
    "GCLID__c": "string",
    "MSCLKID__c": "string",
    "LinkedIn_Lead_ID__c": "string",
    "Clicked_At__c": "datetime",
    "Ads_Consent__c": "boolean",
    "Employees__c": "double",
    "Call_Requested__c": "date",
}
UPGRADE = "Existing Customer - Upgrade"
# Who did what | its value | what became of it at Google | at LinkedIn | at Microsoft.
STORY = """
ann lead | -
ann qualified_lead | 300 USD | confirmed |  | skipped: no_identifier
ann's deal account_engaged | 1000 USD |  | accepted
ann's deal closed_revenue | 40000 USD | confirmed | accepted | skipped: no_identifier
ann's deal opportunity | 30000 USD | confirmed | accepted
ann's second opportunity | 5250 USD | pending: person | pending: person
ben lead | -
ben qualified_lead | 300 USD | confirmed |  | skipped: excluded
ben's deal account_engaged | 1000 USD |  | accepted
bob lead | -
bob qualified_lead | 300 USD | skipped: no_consent |  | skipped: excluded
cleo disqualified | -
cleo lead | -
dora lead | -
dora qualified_lead | 300 USD | skipped: no_identifier |  | accepted
dora's deal account_engaged | 1000 USD |  | accepted
dora's deal closed_revenue | 800 USD | skipped: no_identifier | skipped: below_minimum | accepted
dora's deal opportunity | 600 USD | skipped: no_identifier | skipped: below_minimum
eli lead | -
eli qualified_lead | 300 USD | skipped: no_identifier |  | skipped: excluded
eli's deal account_engaged | 1000 USD |  | accepted
eli's deal opportunity | 5000 USD | skipped: no_identifier | accepted
fay lead | -
gus lead | -
gus qualified_lead | 300 USD | skipped: excluded |  | skipped: excluded
ida lead | -
ida qualified_lead | 300 USD | skipped: excluded |  | skipped: excluded
"""


class Vendor:
    """The org and its three ad accounts."""

    def __init__(self, url: str, folder: Path) -> None:
        self.clock = Clock(BEGINS_AT)
        self.org = Org(app=APP, tracked={"Lead": {"Status"}})
        self.org.set_statuses([*DEFAULT_STATUSES, Status("Qualified")])
        for name, kind in FIELDS.items():
            self.org.define_field("Lead", name, kind)
        self.google, self.linkedin, self.microsoft = (
            GoogleStage(self.clock),
            LinkedInStage(self.clock),
            MicrosoftStage(self.clock),
        )
        self.google.platform.world.accounts[ACCOUNT].default_consent = Consent.GRANTED
        self.linkedin.platform.add_rule("7712345", "Account engaged")
        self.rig = ExampleRig(
            "salesforce-enterprise.yaml",
            url,
            folder,
            self.clock,
            httpx.ASGITransport(create_salesforce(self.org, self.clock)),
            ("*.salesforce.com",),
            {"google": self.google, "linkedin": self.linkedin, "microsoft": self.microsoft},
            {"SALESFORCE_CLIENT_ID": APP.client_id, "SALESFORCE_CLIENT_SECRET": APP.client_secret},
        )

    def lead(self, name: str, *, by: str = "", email: str = "", **fields: object) -> str:
        """Somebody fills in the form, by an ad or by none."""
        number = len(self.rig.names) + 1
        stages = (self.google, self.linkedin, self.microsoft)
        known = {identifier: value for stage in stages for identifier, value in stage.person(number).items()}
        for stage in stages:
            stage.clicked(number, self.clock() - timedelta(minutes=5))
        clicks = {
            "google": {"GCLID__c": known[Identifier.GCLID]},
            "microsoft": {"MSCLKID__c": known[Identifier.MSCLKID]},
            "linkedin": {"LinkedIn_Lead_ID__c": known[Identifier.LINKEDIN_LEAD_ID]},
        }
        usual = {"LastName": "Doe", "Company": f"{name}'s", "Country": "US", "Employees__c": 900, "Ads_Consent__c": False}
        filled = {**usual, "Email": email or f"p{number}@example.com", **clicks.get(by, {}), **fields}
        found = self.org.create("Lead", filled, self.clock.go_on(timedelta(seconds=1)))
        self.rig.names[f"lead:{found}"] = name
        return found

    def status(self, lead: str, to: str) -> None:
        """The lead's status changes."""
        self.org.update("Lead", lead, {"Status": to}, self.clock.go_on(timedelta(seconds=1)))

    def convert(self, lead: str, **deal: object) -> str:
        """The lead becomes a contact of an account, with an opportunity."""
        usual = {"StageName": "Prospecting", "CloseDate": "2026-12-31"}
        made = self.org.convert_lead(lead, self.clock.go_on(timedelta(seconds=1)), opportunity={**usual, **deal})
        name, found = self.rig.names[f"lead:{lead}"], str(made.opportunity_id)
        self.rig.names |= {f"contact:{made.contact_id}": name, f"deal:{found}": f"{name}'s deal"}
        return found

    def beside(self, deal: str, name: str, **fields: object) -> str:
        """A further opportunity at the account of another."""
        account = self.org.records.tables["Opportunity"].get(self.org.row("Opportunity", deal), "AccountId")
        usual = {"Name": name, "AccountId": account, "StageName": "Prospecting", "CloseDate": "2026-12-31"}
        found = self.org.create("Opportunity", {**usual, **fields}, self.clock.go_on(timedelta(seconds=1)))
        self.rig.names[f"deal:{found}"] = name
        return found

    def move(self, deal: str, *stages: str, **fields: object) -> None:
        """The opportunity goes through stages."""
        for stage in stages:
            self.org.update("Opportunity", deal, {"StageName": stage, **fields}, self.clock.go_on(timedelta(seconds=2)))


async def _a_quarter(vendor: Vendor) -> None:
    """What happens: somebody for each rule, between turns of the service."""
    await vendor.rig.open()
    today = f"{vendor.clock():%Y-%m-%d}"
    ann = vendor.lead("ann", by="google")
    bob = vendor.lead("bob", by="microsoft", Country="DE")
    ben = vendor.lead("ben", by="google", Country="DE", Ads_Consent__c=True)
    cleo = vendor.lead("cleo", by="microsoft", Employees__c=20)
    dora = vendor.lead("dora", by="microsoft", Employees__c=20, Call_Requested__c=today)
    eli = vendor.lead("eli", by="linkedin", Country="FR", Ads_Consent__c=True)
    fay = vendor.lead("fay", by="google", Company="Globex Europe")
    gus, ida = vendor.lead("gus", by="google", LeadSource="Partner"), vendor.lead("ida", email="ida@ourcompany.example")
    for one in (bob, ben, cleo, dora, fay, gus, ida):
        vendor.status(one, "Qualified")
    await vendor.rig.live(DAY)
    deals = {one: vendor.convert(one, Amount=amount) for one, amount in ((ann, 40_000), (eli, None), (dora, 800))}
    upgrade = vendor.convert(ben, Amount=9000, Type=UPGRADE)
    vendor.status(cleo, "Closed - Not Converted")
    for deal in (*deals.values(), upgrade):
        vendor.move(deal, "Qualification")
    await vendor.rig.live(DAY)
    again = vendor.beside(deals[ann], "ann's second", Amount=7000)
    vendor.move(again, "Needs Analysis", "Proposal/Price Quote")
    for deal in (*deals.values(), upgrade):
        vendor.move(deal, "Proposal/Price Quote")
    await vendor.rig.live(DAY)
    for deal in (deals[ann], deals[dora], upgrade):
        vendor.move(deal, "Closed Won")
    await vendor.rig.live(2 * DAY)


async def test_every_rule_of_the_example_is_met(tmp_path: Path, database_url: str) -> None:
    """An operator copies this file: what its comments say must be what happens, to the last conversion and delivery."""
    vendor = Vendor(database_url, tmp_path)

    await _a_quarter(vendor)

    story = await vendor.rig.story()
    await vendor.rig.services.close()
    assert story == STORY.strip()
    assert [one.total_counted() for one in (vendor.google, vendor.linkedin, vendor.microsoft)] == [4, 7, 2]
