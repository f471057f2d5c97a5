"""The example of a software company on HubSpot: every rule of it meets somebody to whom it applies."""

from datetime import timedelta
from pathlib import Path

import httpx

from connectors.contract.conversions import Identifier
from connectors.simulators.google import Consent, ConversionAction
from connectors.simulators.hubspot import Portal, create_hubspot
from tests.contract.crm_stage import Clock
from tests.contract.google_stage import ACCOUNT, GoogleStage
from tests.contract.linkedin_stage import LinkedInStage
from tests.e2e.example_rig import BEGINS_AT, DAY, HOUR, ExampleRig

TOKEN = "pat-na1-5f2f0d8f-0000-4000-8000-0123456789ab"


# Who did what | its value | what became of it at Google | at LinkedIn.
STORY = """
ann demo_booked | 80 USD | confirmed | accepted
ann lead | 10 USD
ann qualified_lead | 200 USD | confirmed | accepted
ann's deal closed_revenue | 8000 USD | confirmed | accepted
ann's deal opportunity | 3200 USD | confirmed
ben demo_booked | 80 USD | confirmed | accepted
ben lead | 10 USD
ben qualified_lead | 200 USD | confirmed | accepted
bob demo_booked | 80 USD | skipped: no_consent | skipped: no_consent
bob lead | 10 USD
bob qualified_lead | 200 USD | skipped: no_consent | skipped: no_consent
cleo demo_booked | 80 USD | confirmed | skipped: excluded
cleo lead | 10 USD
cleo's deal opportunity | - | confirmed
dan demo_booked | 80 USD | skipped: excluded | skipped: excluded
dan lead | 10 USD
dan qualified_lead | 200 USD | skipped: excluded | skipped: excluded
early demo_booked | 80 USD | confirmed | accepted
early lead | 10 USD
early's deal closed_revenue | 900 USD | skipped: before_start | skipped: before_start
early's deal opportunity | 360 USD implied | skipped: before_start
early's deal qualified_lead | 200 USD implied
eve lead | 10 USD
eve's deal closed_revenue | 5000 USD | confirmed | accepted
eve's deal opportunity | 2000 USD implied | confirmed
eve's deal qualified_lead | 200 USD implied
fay lead | 10 USD
fay's deal closed_revenue | 700 USD ended | confirmed; retract accepted | accepted; retract skipped: unsupported
fay's deal opportunity | 280 USD implied | confirmed
fay's deal qualified_lead | 200 USD implied
hal demo_booked | 80 USD | confirmed | accepted
hal disqualified | -
hal lead | 10 USD
tim demo_booked | 80 USD | skipped: excluded | skipped: excluded
tim lead | 10 USD
tim qualified_lead | 200 USD | skipped: excluded | skipped: excluded
"""


class Saas:
    """The company's portal and its two ad accounts."""

    def __init__(self, url: str, folder: Path) -> None:
        self.clock = Clock(BEGINS_AT)
        self.portal = Portal(tokens=(TOKEN,), has_limits=False)
        for name, kind in {"demo_status": "string", "team_size": "number", "purchase_timing": "string"}.items():
            self.portal.define_property("contacts", name, kind)
        self.portal.define_property("contacts", "ads_consent")
        self.google, self.linkedin = GoogleStage(self.clock), LinkedInStage(self.clock)
        self.google.platform.world.accounts[ACCOUNT].actions["7302219944"] = ConversionAction(
            "7302219944", BEGINS_AT - 100 * DAY, name="Demo"
        )
        self.google.platform.world.accounts[ACCOUNT].default_consent = Consent.GRANTED
        self.linkedin.platform.add_rule("7712344", "Demo")
        self.rig = ExampleRig(
            "hubspot-saas.yaml",
            url,
            folder,
            self.clock,
            httpx.ASGITransport(create_hubspot(self.portal, self.clock)),
            ("*.hubapi.com",),
            {"google": self.google, "linkedin": self.linkedin},
            {"HUBSPOT_ACCESS_TOKEN": TOKEN},
        )

    def person(self, name: str, **properties: str) -> str:
        """Somebody who clicked at both platforms and filled in the form."""
        number = len(self.rig.names) + 1
        known = {**self.google.person(number), **self.linkedin.person(number)}
        usual = {
            "email": f"p{number}@example.com",
            "country": "US",
            "hs_google_click_id": known[Identifier.GCLID],
            "hs_linkedin_click_id": known[Identifier.LI_FAT_ID],
            "team_size": "80",
            "purchase_timing": "now",
        }
        found = self.portal.create("contacts", {**usual, **properties}, self.clock())
        self.rig.names[f"contact:{found}"] = name
        return found

    def edit(self, contact: str, **properties: str) -> None:
        """The contact changes."""
        self.portal.update("contacts", contact, properties, self.clock.go_on(timedelta(seconds=1)))

    def deal(self, name: str, contact: str, stage: str, amount: int | None) -> str:
        """A deal of a contact's."""
        fields = {"dealname": name, "pipeline": "default", "dealstage": stage, "deal_currency_code": "USD"}
        fields |= {} if amount is None else {"amount": str(amount)}
        found = self.portal.create("deals", fields, self.clock.go_on(timedelta(seconds=1)))
        self.portal.associate(found, contact, at=self.clock())
        self.rig.names[f"deal:{found}"] = name
        return found

    def move(self, deal: str, stage: str) -> None:
        """The deal goes to another stage."""
        self.portal.update("deals", deal, {"dealstage": stage}, self.clock.go_on(timedelta(seconds=1)))


async def _a_week(saas: Saas) -> None:
    """What happens: somebody for each rule, between turns of the service."""
    early = saas.person("early")
    saas.deal("early's deal", early, "closedwon", 900)
    saas.clock.go_on(HOUR)
    await saas.rig.open()
    ann, bob = saas.person("ann"), saas.person("bob", country="DE")
    ben = saas.person("ben", country="DE", ads_consent="yes")
    cleo = saas.person("cleo", email="cleo@gmail.com")
    dan, tim = saas.person("dan", email="dan@ourcompany.example"), saas.person("tim", email="me+test@example.com")
    eve, fay, hal = saas.person("eve"), saas.person("fay"), saas.person("hal", team_size="3", hubspotscore="45")
    for one in (early, ann, bob, ben, cleo, dan, tim, hal):
        saas.edit(one, demo_status="booked")
    for one in (ann, bob, ben, cleo, dan, tim, hal):
        saas.edit(one, lifecyclestage="marketingqualifiedlead")
    saas.edit(hal, hs_lead_status="UNQUALIFIED")
    await saas.rig.live(DAY)
    saas.edit(ann, demo_status="held")
    saas.edit(ann, demo_status="booked")
    won = saas.deal("ann's deal", ann, "qualifiedtobuy", 8000)
    saas.deal("eve's deal", eve, "closedwon", 5000)
    mistaken = saas.deal("fay's deal", fay, "closedwon", 700)
    saas.deal("cleo's deal", cleo, "presentationscheduled", None)
    await saas.rig.live(DAY)
    saas.move(won, "closedwon")
    saas.move(mistaken, "closedlost")
    await saas.rig.live(3 * DAY)


async def test_every_rule_of_the_example_is_met(tmp_path: Path, database_url: str) -> None:
    """An operator copies this file: what its comments say must be what happens, to the last conversion and delivery."""
    saas = Saas(database_url, tmp_path)

    await _a_week(saas)

    story = await saas.rig.story()
    await saas.rig.services.close()
    assert story == STORY.strip()
    assert saas.google.total_counted() == 13  # of 14 that were confirmed one was taken back
    assert saas.linkedin.total_counted() == 9
