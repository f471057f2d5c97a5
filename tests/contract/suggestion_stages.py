"""Simulated CRMs on which a suggested mapping is tried, one opener for each kind of source that has a simulator.

A further CRM comes in by one more entry of STAGES: its settings, and a play of one person who becomes a qualified lead, an
opportunity and a customer after the clock's instant.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from app.demo.stage import Stage
from tests.stages import stage_of

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)


@dataclass(slots=True)
class CrmStage:
    """A simulated CRM: the connection's settings without `kind`, a client that reaches it, and its clock."""

    settings: Mapping[str, str]
    http: httpx.AsyncClient
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    play: Callable[[], None]


def hubspot() -> CrmStage:
    """A new portal without a consent property of its own."""
    stage = stage_of(days=1, most_deals=0, ends_at=NOW)
    stage.clock.now = NOW
    del stage.portal.properties["contacts"]["ads_consent"]
    settings = {"base_url": "http://hubspot.demo", "access_token": stage.secrets["hubspot"]}
    return CrmStage(settings, stage.http, stage.clock, stage.clock.sleep, lambda: _play_hubspot(stage))


def _play_hubspot(stage: Stage) -> None:
    at = NOW + timedelta(minutes=1)
    portal = stage.portal
    contact = portal.create("contacts", {"email": "jane@example.com", "lifecyclestage": "lead"}, at)
    portal.update("contacts", contact, {"lifecyclestage": "salesqualifiedlead"}, at + timedelta(minutes=1))
    deal = portal.create(
        "deals", {"pipeline": "default", "dealstage": "qualifiedtobuy", "amount": "100"}, at + timedelta(minutes=2)
    )
    portal.associate(deal, contact, at=at + timedelta(minutes=2))
    portal.update("deals", deal, {"dealstage": "closedwon"}, at + timedelta(minutes=3))
    stage.clock.now = at + timedelta(minutes=10)


STAGES: Mapping[str, Callable[[], CrmStage]] = {"hubspot": hubspot}
