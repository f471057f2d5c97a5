"""The example of an agency on Pipedrive: every rule of it meets somebody to whom it applies."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from connectors.contract.conversions import Identifier
from connectors.simulators.pipedrive import Company, create_pipedrive
from tests.contract.crm_stage import Clock
from tests.contract.meta_stage import MetaStage
from tests.contract.microsoft_stage import MicrosoftStage
from tests.e2e.example_rig import BEGINS_AT, DAY, HOUR, ExampleRig

TOKEN = "0f3c5d7e9a1b2c4d6e8f0a2b4c6d8e0f1a3b5c7d"
CHOICES = {
    "Request": ["Website", "Campaign", "Public tender", "Job application", "Offer to us"],
    "Budget": ["under 10 thousand", "10 to 50 thousand", "over 50 thousand"],
    "Retainer": ["First year", "Renewed", "Ended"],
}
BIG = "over 50 thousand"
# Who did what | its value | what became of it at Meta | at Microsoft.
STORY = """
ann lead | 50 EUR | accepted
ann qualified_lead | 150 EUR | accepted | accepted
ann's deal closed_revenue | 30000 EUR | accepted | accepted
ann's deal opportunity | 12000 EUR | accepted
ann's deal retainer_renewed | 30000 EUR; 30000 EUR |  | accepted; accepted
bob lead | 50 EUR | accepted
bob qualified_lead | 150 EUR | accepted | skipped: no_identifier
cleo lead | 50 EUR | accepted
cleo's deal opportunity | 1400 EUR | accepted
cleo's deal qualified_lead | 150 EUR implied
dan lead | 50 EUR | skipped: excluded
dan qualified_lead | 150 EUR | skipped: excluded | skipped: excluded
eve lead | 50 EUR | skipped: no_consent
eve qualified_lead | 150 EUR | skipped: no_consent | skipped: no_consent
fay lead | 50 EUR | skipped: excluded
fay qualified_lead | 150 EUR | skipped: excluded | skipped: no_identifier
fay's deal closed_revenue | 900 EUR | skipped: excluded | skipped: no_identifier
fay's deal opportunity | 360 EUR implied
gus lead | 50 EUR | skipped: excluded
gus qualified_lead | 150 EUR | skipped: excluded | skipped: excluded
hal lead | 50 EUR | accepted
hal's deal closed_revenue | 90 EUR | accepted | skipped: below_minimum
hal's deal opportunity | 36 EUR implied
hal's deal qualified_lead | 150 EUR implied
ida's deal lead | 50 EUR | accepted
"""


class Agency:
    """The company and its two ad accounts."""

    def __init__(self, url: str, folder: Path) -> None:
        self.clock = Clock(BEGINS_AT)
        self.company = Company(tokens=(TOKEN,), has_limits=False)
        stages = self.company.define_pipeline("New business", ["Briefing", "Proposal sent", "Negotiation"], [10, 40, 70])
        self.stages = [one.id for one in self.company.catalogue.stages_of(stages.id)]
        self.fields = {name: self.company.define_field("deal", name, "enum", listed) for name, listed in CHOICES.items()}
        self.fields |= {name: self.company.define_field("deal", name) for name in ("Microsoft click ID", "Meta lead ID")}
        self.fields["Start"] = self.company.define_field("deal", "Start", "date")
        self.consent = self.company.define_field("person", "Ads consent", "enum", ["Yes", "No"])
        self.meta, self.microsoft = MetaStage(self.clock), MicrosoftStage(self.clock)
        self.microsoft.platform.add_goal("Retainer Renewed", datetime(2026, 1, 1, tzinfo=UTC))
        self.rig = ExampleRig(
            "pipedrive-agency.yaml",
            url,
            folder,
            self.clock,
            httpx.ASGITransport(create_pipedrive(self.company, self.clock)),
            ("*.pipedrive.com",),
            {"meta": self.meta, "microsoft": self.microsoft},
            {"PIPEDRIVE_API_TOKEN": TOKEN},
        )

    def lead(self, name: str, *, email: str = "", consents: str = "Yes", by: str = "", **fields: str) -> str:
        """Somebody asks, by an ad of Meta or Microsoft or by none."""
        number = len(self.rig.names) + 1
        known = {**self.meta.person(number), **self.microsoft.person(number)}
        clicks = {
            "meta": {"Meta lead ID": known[Identifier.META_LEAD_ID]},
            "microsoft": {"Microsoft click ID": known[Identifier.MSCLKID]},
        }
        for stage in (self.meta, self.microsoft):
            stage.clicked(number, self.clock() - timedelta(minutes=5))
        person = {"name": f"{name} Doe", "emails": email or f"p{number}@example.com", "phones": "030 901820"}
        made = self.company.create_person({**person, self.consent: self._option("person", self.consent, consents)}, self.clock())
        given = {"Request": "Website", **clicks.get(by, {}), **fields}
        found = self.company.create_lead({"title": name, "person_id": made, **self._coded(given)}, self.clock())
        self.rig.names |= {f"lead:{found}": name, f"contact:{made}": name}
        return found

    def again(self, lead: str) -> None:
        """The same person asks once more, by now known from a deal."""
        name = self.rig.names[f"lead:{lead}"]
        person = next(ref for ref, one in self.rig.names.items() if one == name and ref.startswith("contact:"))
        fields = {"title": "Again", "person_id": int(person.removeprefix("contact:")), **self._coded({"Budget": BIG})}
        self.rig.names[f"lead:{self.company.create_lead(fields, self.clock())}"] = f"{name} again"

    def by_hand(self, name: str) -> None:
        """Somebody calls, and a deal is made of it at once."""
        fields = {"name": name, "emails": f"{name}@example.com", self.consent: self._option("person", self.consent, "Yes")}
        person = self.company.create_person(fields, self.clock())
        deal = self.company.create_deal({"title": name, "person_id": person, "stage_id": self.stages[0]}, self.clock())
        self.rig.names |= {f"contact:{person}": name, f"deal:{deal}": f"{name}'s deal"}

    def edit(self, kind: str, ref: str | int, **fields: str) -> None:
        """The lead or deal changes."""
        self.company.update(kind, ref, self._coded(fields), self.clock.go_on(timedelta(seconds=1)))

    def convert(self, lead: str, value: int) -> int:
        """The lead becomes a deal."""
        deal = self.company.convert_lead(lead, self.clock.go_on(timedelta(seconds=1)), stage_id=self.stages[0])
        if value:
            self.company.update("deal", deal, {"value": value}, self.clock())
        name = self.rig.names[f"lead:{lead}"]
        self.rig.names[f"deal:{deal}"] = f"{name}'s deal"
        return deal

    def move(self, deal: int, stage: int) -> None:
        """The deal goes to a stage of the pipeline."""
        self.company.move(deal, self.stages[stage], self.clock.go_on(timedelta(seconds=1)))

    def _coded(self, fields: dict[str, str]) -> dict[str, object]:
        return {
            self.fields[name]: self._option("deal", self.fields[name], value) if name in CHOICES else value
            for name, value in fields.items()
        }

    def _option(self, kind: str, code: str, label: str) -> object:
        return next(one.id for one in self.company.catalogue.of(kind)[code].options if one.label == label)


async def _a_month(agency: Agency) -> None:
    """What happens: somebody for each rule, between turns of the service."""
    clock, company = agency.clock, agency.company
    await agency.rig.open()
    clock.go_on(HOUR)
    soon, late = f"{clock() + 30 * DAY:%Y-%m-%d}", f"{clock() + 200 * DAY:%Y-%m-%d}"
    ann = agency.lead("ann", by="microsoft", Budget=BIG, Start=soon)
    bob = agency.lead("bob", by="meta", Budget="10 to 50 thousand", Start=late)
    cleo = agency.lead("cleo", email="cleo@gmail.com", Budget=BIG, Start=late)
    agency.lead("dan", Budget=BIG, Request="Job application")
    agency.lead("eve", by="meta", consents="No", Budget=BIG)
    fay = agency.lead("fay", by="meta", Budget=BIG, Request="Public tender")
    agency.lead("gus", email="gus@ouragency.example", Budget=BIG)
    hal = agency.lead("hal", by="microsoft", Budget="under 10 thousand")
    agency.by_hand("ida")
    await agency.rig.live(DAY)
    agency.edit("lead", bob, Start=soon)
    deals = {lead: agency.convert(lead, value) for lead, value in ((ann, 30_000), (cleo, 0), (fay, 900), (hal, 90))}
    agency.again(ann)
    agency.move(deals[ann], 1)
    agency.move(deals[cleo], 2)
    await agency.rig.live(DAY)
    company.win(deals[ann], clock.go_on(timedelta(seconds=1)))
    company.win(deals[fay], clock.go_on(timedelta(seconds=1)))
    company.win(deals[hal], clock.go_on(timedelta(seconds=1)))
    company.update("deal", deals[cleo], {"value": 2000}, clock.go_on(timedelta(seconds=1)))
    await agency.rig.live(DAY)
    for year in ("Renewed", "First year", "Renewed"):
        agency.edit("deal", deals[ann], Retainer=year)
        await agency.rig.live(DAY)


async def test_every_rule_of_the_example_is_met(tmp_path: Path, database_url: str) -> None:
    """An operator copies this file: what its comments say must be what happens, to the last conversion and delivery."""
    agency = Agency(database_url, tmp_path)

    await _a_month(agency)

    story = await agency.rig.story()
    await agency.rig.services.close()
    assert story == STORY.strip()
    assert agency.meta.total_counted() == 11
    assert agency.microsoft.total_counted() == 4
