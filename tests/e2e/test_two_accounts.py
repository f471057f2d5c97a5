"""Two Google accounts of one company: each click goes to the account that it came from, and counts there alone."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from app.bootstrap.services import open_services
from app.config import Settings
from connectors.simulators.google import Account, Click, ConversionAction, GooglePlatform, create_google
from connectors.simulators.hubspot import Portal, create_hubspot
from tests.contract.crm_stage import Clock

BEGINS_AT = datetime(2026, 11, 2, 9, tzinfo=UTC)
CRM_TOKEN = "pat-na1-5f2f0d8f-0000-4000-8000-0123456789ab"
# By brand: its account, and that account's conversion action.
BRANDS = {"north": ("4812093377", "7302219941"), "south": ("5550001111", "7302219958")}


def config(start: datetime) -> dict[str, Any]:
    destinations = {
        brand: {"kind": "google", "account_id": account, "access_token": f"token-{brand}", "base_url": "http://google.test"}
        for brand, (account, _) in BRANDS.items()
    }
    targets = {
        brand: {
            "qualified_lead": {"conversion_action": action},
            "where": {"field": "contact.brand", "op": "in", "value": [brand]},
        }
        for brand, (_, action) in BRANDS.items()
    }
    yes = {"field": "contact.ads_consent", "granted": ["yes"]}
    qualified = {"object": "contact", "property": "lifecyclestage", "enters": ["salesqualifiedlead"]}
    mapping = {
        "start": start.isoformat(),
        "history": "30d",
        "identity": {"gclid": ["contact.hs_google_click_id"], "clicked_at": ["contact.createdate"]},
        "consent": {"ad_user_data": yes, "ad_personalization": yes},
        "milestones": [{"name": "qualified_lead", "when": [qualified]}],
        "destinations": targets,
    }
    crm = {"kind": "hubspot", "access_token": CRM_TOKEN, "base_url": "http://hubspot.test"}
    return {"sources": {"hubspot": crm}, "destinations": destinations, "mappings": {"hubspot": mapping}}


async def test_a_click_goes_only_to_its_own_account(database_url: str, tmp_path: Path) -> None:
    """`where` says whose click it is; the other account is not even asked, and its deliveries say why."""
    clock = Clock(BEGINS_AT)
    made = BEGINS_AT - timedelta(days=300)
    accounts = [Account(account, {action: ConversionAction(action, made)}) for account, action in BRANDS.values()]
    google = GooglePlatform(accounts)
    portal = Portal(tokens=(CRM_TOKEN,), has_limits=False)
    for name in ("ads_consent", "brand"):
        portal.define_property("contacts", name)
    for brand, (account, _) in BRANDS.items():
        google.add_token(f"token-{brand}", [account], BEGINS_AT + timedelta(days=60))
        for number in range(3):
            click = f"Cj0KCQ_{brand}{number}"
            google.add_clicks(Click(click, account, BEGINS_AT))
            person = {"hs_google_click_id": click, "brand": brand, "ads_consent": "yes"}
            portal.create("contacts", {**person, "lifecyclestage": "salesqualifiedlead"}, clock.go_on(timedelta(seconds=1)))
    mounts = {
        "http://hubspot.test": httpx.ASGITransport(create_hubspot(portal, clock)),
        "http://google.test": httpx.ASGITransport(create_google(google, clock)),
    }

    async def sleep(seconds: float) -> None:
        clock.at += timedelta(seconds=seconds)

    settings = Settings(database_url=database_url, secret_key=SecretStr("a secret key for tests"), allow_custom_base_urls=True)
    services = await open_services(settings, clock=clock, environ={}, http=httpx.AsyncClient(mounts=mounts), sleep=sleep)
    file = tmp_path / "leadloop.yaml"
    file.write_text(json.dumps(config(BEGINS_AT)), encoding="utf-8")
    await services.apply_file(file, actor="test")
    for _ in range(16):
        clock.go_on(timedelta(hours=3))
        await services.tick()
    await services.close()

    bodies: list[Any] = [body for _, body in google.bodies]
    events = [event for body in bodies for event in body["events"]]
    counted = {(key.action, entry.times_counted) for key, entry in google.ledger.entries.items()}
    by_account = {
        account: sorted(one["adIdentifiers"]["gclid"] for one in events if one["destinationReferences"] == [f"action-{action}"])
        for account, action in BRANDS.values()
    }
    assert by_account == {account: [f"Cj0KCQ_{brand}{number}" for number in range(3)] for brand, (account, _) in BRANDS.items()}
    assert counted == {(action, 1) for _, action in BRANDS.values()}
    assert len(google.ledger.entries) == 6
