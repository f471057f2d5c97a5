"""A HubSpot portal and all five ad platforms, simulated, with Leadloop's services between them: for stories of won deals."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import select

from app.bootstrap.services import Services, open_services
from app.config import Settings
from app.db.instants import from_ms
from app.db.tables import conversions
from connectors.simulators.hubspot import Portal, create_hubspot
from tests.contract.ad_reading import row
from tests.contract.ad_stage import AdStage
from tests.contract.ad_stages import AD_STAGES
from tests.contract.crm_stage import Clock

BEGINS_AT = datetime(2026, 11, 2, 9, tzinfo=UTC)
CRM_TOKEN = "pat-na1-5f2f0d8f-0000-4000-8000-0123456789ab"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WON = {"object": "deal", "property": "dealstage", "pipeline": "default", "enters": ["closedwon"]}
MAPPING: dict[str, Any] = {
    "start": BEGINS_AT.isoformat(),
    "history": "30d",
    "identity": {"email": ["contact.email"], "clicked_at": ["contact.createdate"]},
    "consent": {
        "ad_user_data": {"field": "contact.ads_consent", "granted": ["yes"]},
        "ad_personalization": {"field": "contact.ads_consent", "granted": ["yes"]},
    },
    "milestones": [{"name": "closed_revenue", "when": [WON], "value": {"model": "field", "field": "deal.amount"}}],
}


@dataclass
class CorrectionStage:
    """Deals by the name of their story. `counts` reads what each platform's own ledger says of them."""

    url: str
    folder: Path
    clock: Clock = field(default_factory=lambda: Clock(BEGINS_AT))
    ids: dict[str, str] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    contacts: dict[str, str] = field(default_factory=dict)
    on_withdrawal: str = "keep"

    def __post_init__(self) -> None:
        self.portal = Portal(tokens=(CRM_TOKEN,), has_limits=False)
        self.portal.define_property("contacts", "ads_consent")
        self.platforms: Mapping[str, AdStage] = {name: made(self.clock) for name, made in AD_STAGES.items()}

    async def open(self, **google: str) -> Services:
        """Leadloop with its file applied; `google` are further settings of that destination."""
        mounts: dict[str, httpx.AsyncBaseTransport] = {
            "http://hubspot.test": httpx.ASGITransport(create_hubspot(self.portal, self.clock)),
            **{f"http://{name}.test": stage.transport() for name, stage in self.platforms.items()},
        }
        settings = Settings(database_url=self.url, secret_key=SecretStr("a secret key for tests"), allow_custom_base_urls=True)
        services = await open_services(
            settings, clock=self.clock, environ={}, http=httpx.AsyncClient(mounts=mounts), sleep=self._sleep
        )
        file = self.folder / "leadloop.yaml"
        file.write_text(json.dumps(self._config(google)), encoding="utf-8")
        await services.apply_file(file, actor="test")
        return services

    def _config(self, google: Mapping[str, str]) -> dict[str, Any]:
        hosts = {name: {"base_url": f"http://{name}.test"} for name in self.platforms}
        hosts["google"]["token_url"] = "http://google.test/token"
        named = {name: {"kind": name, **stage.settings(), **hosts[name]} for name, stage in self.platforms.items()}
        named["google"] |= google
        targets = {
            name: {"closed_revenue": dict(stage.target("closed_revenue").settings), "send_when": "any"}
            for name, stage in self.platforms.items()
        }
        crm = {"kind": "hubspot", "access_token": CRM_TOKEN, "base_url": "http://hubspot.test"}
        consent = {**MAPPING["consent"], "on_withdrawal": self.on_withdrawal}
        mapping = {**MAPPING, "consent": consent, "destinations": targets}
        return {"sources": {"hubspot": crm}, "destinations": named, "mappings": {"hubspot": mapping}}

    async def _sleep(self, seconds: float) -> None:
        self.clock.at += timedelta(seconds=seconds)

    def win(self, story: str, amount: int) -> None:
        """A person with a deal that is won; every platform knows the person and their click."""
        number = len(self.people) + 1
        self.people[story] = number
        for platform in self.platforms.values():
            platform.person(number)
            platform.clicked(number, self.clock())
        person = self.portal.create("contacts", {"email": f"p{number}@example.com", "ads_consent": "yes"}, self.clock())
        self.contacts[story] = person
        at = self.clock.go_on(timedelta(seconds=1))
        deal = {"dealname": story, "pipeline": "default", "dealstage": "closedwon", "amount": str(amount)}
        self.ids[story] = self.portal.create("deals", {**deal, "deal_currency_code": "EUR"}, at)
        self.portal.associate(self.ids[story], person, at=at)

    def edit(self, story: str, **properties: str) -> None:
        """Somebody edits the deal."""
        self.portal.update("deals", self.ids[story], properties, self.clock.go_on(timedelta(seconds=1)))

    def consent(self, story: str, said: str) -> None:
        """The person says yes, no, or what they said is emptied."""
        at = self.clock.go_on(timedelta(seconds=1))
        self.portal.update("contacts", self.contacts[story], {"ads_consent": said}, at)

    async def live(self, services: Services, span: timedelta, step: timedelta = 3 * HOUR) -> None:
        """Time goes on, with a tick at each step."""
        end = self.clock() + span
        while self.clock() < end:
            self.clock.go_on(step)
            await services.tick()

    async def counts(self, services: Services) -> Mapping[str, Mapping[str, tuple[int, Decimal]]]:
        """By platform and story: how many conversions its ledger counts, and their value together."""
        found: dict[str, dict[str, tuple[int, Decimal]]] = {name: {} for name in self.platforms}
        stories = {deal: story for story, deal in self.ids.items()}
        async with services.database.read() as connection:
            made = list(await connection.execute(select(conversions)))
        for one in made:
            story = stories[one.scope_key.removeprefix("deal:")]
            for name, stage in self.platforms.items():
                occurred_at, target = from_ms(one.occurred_at), stage.target("closed_revenue")
                told = row(
                    stage,
                    self.people[story],
                    conversion_id=one.uid,
                    occurred_at=occurred_at,
                    target=target,
                    clicked_at=None,
                )
                before = found[name].get(story, (0, Decimal(0)))
                value = stage.value_of(told) if stage.counted(told) else None
                found[name][story] = (before[0] + stage.counted(told), before[1] + (value or Decimal(0)))
        return found
