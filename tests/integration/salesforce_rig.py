"""A Salesforce org with leads that carry click ids, and Leadloop's services on it: what is stored after any order of polls."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from app.db.instants import from_ms
from app.db.tables import conversions, deal_people, identities, leads, records
from app.secrets import Keyring
from connectors.simulators.salesforce import Org
from tests.contract.crm_stage import Clock
from tests.contract.salesforce_stage import SalesforceStage
from tests.e2e.history_rig import Rig

BEGINS_AT = datetime(2026, 11, 20, 8, tzinfo=UTC)
CLICK = "GCLID__c"
CONVERTED = "Closed - Converted"
DEAL_FIELDS = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-12-31"}


class LeadStage(SalesforceStage):
    """An org whose leads have a click id that no conversion copies, and count as qualified when they are converted."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.org.define_field("Lead", CLICK)

    def mapping(self) -> dict[str, Any]:
        deal = {"object": "deal", "property": "StageName"}
        return {
            "history": "30d",
            "identity": {"email": ["contact.Email", "lead.Email"], "gclid": [f"lead.{CLICK}"]},
            "consent": {"not_required": True, "because": "nothing is sent"},
            "milestones": [
                {"name": "lead", "when": [{"object": "lead", "created": True}]},
                {
                    "name": "qualified_lead",
                    "when": [{"object": "lead", "property": "Status", "enters": ["Qualified", CONVERTED]}],
                },
                {"name": "opportunity", "when": [{**deal, "enters": ["Qualification"]}]},
                {
                    "name": "closed_revenue",
                    "when": [{**deal, "enters": ["Closed Won"]}],
                    "value": {"model": "field", "field": "deal.Amount"},
                },
            ],
            "destinations": {},
        }


@dataclass
class Story:
    """A CRM's life in steps, each a minute after the one before; between any two of them may come a poll."""

    rig: Rig
    begins: datetime = BEGINS_AT
    names: dict[str, str] = field(default_factory=dict)

    @property
    def org(self) -> Org:
        """The simulated org."""
        stage = self.rig.stage
        assert isinstance(stage, SalesforceStage)
        return stage.org

    async def tell(self, steps: Sequence[Callable[["Story", datetime], None]], polls: Sequence[bool]) -> None:
        """Do the steps; poll after those that `polls` marks, and after the last one until all is read."""
        for step, is_polled in zip(steps, polls, strict=True):
            step(self, self.rig.stage.clock.go_on(timedelta(minutes=1)))
            if is_polled:
                self.rig.stage.clock.go_on(timedelta(minutes=20))
                await self.rig.tick()
        await self.rig.settle()

    def minute(self, at: datetime) -> int:
        """Minutes since the story began, waits for polls included."""
        return round((at - self.begins).total_seconds() / 60)

    async def living(self) -> list[tuple[str, datetime]]:
        """Milestone and instant of all that lives, what is only implied left out."""
        async with self.rig.services.database.read() as connection:
            rows = await connection.execute(
                select(conversions.c.milestone, conversions.c.occurred_at).where(conversions.c.live, ~conversions.c.implied)
            )
            return sorted((row.milestone, from_ms(row.occurred_at)) for row in rows)

    async def people(self) -> list[list[str]]:
        """The names of each person's records."""
        own = {ref: name for name, ref in self.names.items()}
        found: dict[int, list[str]] = {}
        async with self.rig.services.database.read() as connection:
            rows = await connection.execute(
                select(records.c.lead_id, records.c.external_id).where(records.c.lead_id.is_not(None))
            )
            for row in rows:
                found.setdefault(row.lead_id, []).append(own.get(row.external_id, row.external_id))
        return sorted(sorted(one) for one in found.values())

    async def clicks_on_deals(self) -> list[tuple[str, str | None]]:
        """Each deal with the click id of a person on it."""
        own = {ref: name for name, ref in self.names.items()}
        deal, person = records.alias(), records.alias()
        query = (
            select(deal.c.external_id, identities.c.sealed)
            .join(deal_people, deal_people.c.deal_id == deal.c.id)
            .join(person, person.c.id == deal_people.c.person_id)
            .join(leads, leads.c.id == person.c.lead_id)
            .outerjoin(identities, identities.c.id == leads.c.identity_id)
        )
        keyring: Keyring = self.rig.services.keyring
        async with self.rig.services.database.read() as connection:
            rows = list(await connection.execute(query))
        return sorted(
            (own[row.external_id], None if row.sealed is None else orjson.loads(keyring.open(bytes(row.sealed))).get("gclid"))
            for row in rows
        )


def schedules(steps: int) -> Iterator[tuple[bool, ...]]:
    """No poll in between, one after each step, one after every step."""
    yield (False,) * steps
    for place in range(steps):
        yield tuple(one == place for one in range(steps))
    yield (True,) * steps


async def story_at(url: str, folder: Path, stage: SalesforceStage | None = None) -> Story:
    """A story on a fresh database."""
    rig = Rig(url, folder, stage or LeadStage(Clock(BEGINS_AT)))
    await rig.open()
    return Story(rig)
