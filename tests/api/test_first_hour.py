"""An operator's first hour, over REST alone: from an empty database to a lead whose fate is explained."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.bootstrap.services import open_services
from app.config import Settings
from app.main import create_app
from tests.api.rig import KEY, NOW, PUBLIC, Rig
from tests.stages import stage_of


@pytest.fixture
async def empty_rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """The service on an empty database, in front of a HubSpot portal and Google."""
    stage = stage_of(days=1, most_deals=0, ends_at=NOW)
    stage.clock.now = NOW
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'one.db'}",
        secret_key=SecretStr("a long enough secret text"),
        api_key=SecretStr(KEY),
        allow_custom_base_urls=True,
    )
    services = await open_services(settings, clock=stage.clock, environ={}, http=stage.http, sleep=stage.clock.sleep)
    app = create_app()
    app.state.house.services = services
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PUBLIC, headers=headers) as client:
        yield Rig(stage, services, app, client)
    await services.close()


async def asked(rig: Rig, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    answer = await rig.client.request(method, path, json=body, headers=headers)
    assert answer.status_code < 300, f"{method} {path}: {answer.text}"
    return answer.json() if answer.content else None


async def test_from_nothing_to_an_explained_lead(empty_rig: Rig) -> None:
    """Connect, be suggested a mapping, write what only a person knows, see what it would do, activate it, ask why."""
    rig, secrets = empty_rig, empty_rig.stage.secrets
    people = {"q@example.com": "yes", "n@example.com": "no"}
    refs = {email: portal_person(rig, email, consent) for email, consent in people.items()}
    crm = {"access_token": secrets["hubspot"], "base_url": "http://hubspot.demo"}
    account, action = google_account(rig)
    google = {"account_id": account, "access_token": secrets["google"], "base_url": "http://google.demo"}

    await asked(rig, "PUT", "/v1/sources/crm", {"kind": "hubspot", "settings": crm})
    await asked(rig, "PUT", "/v1/destinations/google", {"kind": "google", "settings": google})
    draft = await asked(rig, "POST", "/v1/sources/crm/suggest")
    document = draft["document"]
    document["destinations"] = {"google": {"qualified_lead": {"conversion_action": action}}}
    stored = await asked(rig, "POST", "/v1/mappings/crm/versions", {"document": document})
    foretold = await asked(rig, "POST", "/v1/mappings/crm/versions/1/preview", {})
    await asked(rig, "POST", "/v1/mappings/crm/versions/1/activate", headers={"If-Match": '"0"'})
    before = [portal_person(rig, f"later-{email}", consent) for email, consent in people.items()]
    rig.stage.clock.now += timedelta(days=1)
    for ref in before:
        rig.stage.portal.update("contacts", ref, {"lifecyclestage": "salesqualifiedlead"}, rig.stage.clock.now)
    rig.stage.clock.now += timedelta(hours=1)
    await asked(rig, "POST", "/v1/sources/crm/sync")
    await rig.services.tick()
    sent, not_sent = [await asked(rig, "GET", f"/v1/leads/contact:{ref}/trace") for ref in before]
    old = await asked(rig, "GET", f"/v1/leads/contact:{refs['q@example.com']}/trace")

    assert (draft["needs_consent"], stored["version"], foretold["origin"]) == (False, 1, "crm")
    (told,) = foretold["destinations"]
    assert (told["sendable"], told["stopped"]) == (1, {"no_consent": 1})
    assert [fate(one) for one in (sent, not_sent, old)] == ["accepted", "no_consent", "before_start"]


def portal_person(rig: Rig, email: str, consent: str) -> str:
    chosen = {"email": email, "lifecyclestage": "salesqualifiedlead", "ads_consent": consent, "country": "US"}
    if email.startswith("later"):
        chosen["lifecyclestage"] = "lead"
    return rig.stage.portal.create("contacts", chosen, rig.stage.clock.now - timedelta(days=2))


def google_account(rig: Rig) -> tuple[str, str]:
    """An ad account that the token reaches, and an action in it."""
    account = next(iter(rig.stage.google.world.accounts.values()))
    return account.id, next(iter(account.actions))


def fate(trace: Any) -> str:
    """How the qualified lead's delivery to Google stands."""
    (found,) = [
        delivery
        for conversion in trace["conversions"]
        if conversion["milestone"] == "qualified_lead"
        for delivery in conversion["deliveries"]
    ]
    state, reason = found["state"], found["reason"]
    return str(state if state == "accepted" else reason)
