"""A company's pipeline as the life of its HubSpot portal: happenings, what the platforms know, spend. Pure, fixed by a seed."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.demo.campaigns import CAMPAIGNS, Campaign, SpendRow, spend_of
from app.demo.deals import Story, tell_deal
from app.demo.draws import draw
from app.demo.fates import fates_of, fits_people
from app.demo.happenings import CONTACTS, DEALS, Happening, Webhook, What
from app.demo.people import AdClick, SignedInPerson, Trail
from app.demo.pipeline import WHOLE_DAYS, Opportunity, alive_after, in_order
from app.demo.strangers import STRANGERS_A_DEAL, tell_stranger

__all__ = ["CUSTOM_PROPERTIES", "WHOLE_DAYS", "Happening", "Webhook", "What", "World", "build_world"]

SHARES_OF_WEBHOOKS: Mapping[Webhook, float] = {Webhook.LOST: 0.05, Webhook.DUPLICATED: 0.03, Webhook.LATE: 0.05}
# What the portal must know beyond HubSpot's own properties, by object.
CUSTOM_PROPERTIES: Mapping[str, tuple[str, ...]] = {
    CONTACTS: ("ads_consent", "leadgen_id", "utm_id", "utm_campaign"),
    DEALS: ("product", "account"),
}
_WHOLE_STORIES_FIRST = 24  # in a small world these come first: their whole life lies inside it
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class World:
    """The whole demo as data. `happenings` stand in the order of time; some lie before `begins_at`, none after `ends_at`.

    `google_clicks` and `meta_clicks` are by click id, `meta_leads` by Meta's lead id; `known_to_google` are the people whom
    Google recognises without a click id.
    """

    begins_at: datetime
    ends_at: datetime
    happenings: tuple[Happening, ...]
    campaigns: tuple[Campaign, ...]
    google_clicks: Mapping[str, AdClick]
    known_to_google: tuple[SignedInPerson, ...]
    meta_clicks: Mapping[str, AdClick]
    meta_leads: Mapping[str, AdClick]
    spend: Sequence[SpendRow]


def build_world(*, seed: int, ends_at: datetime, days: int = WHOLE_DAYS, most_deals: int | None = None) -> World:
    """The last `days` of the pipeline, ending at `ends_at` (a UTC midnight); at most so many of its opportunities."""
    begins_at = ends_at - timedelta(days=days)
    rows = _chosen(seed, begins_at, ends_at, most_deals)
    fates = fates_of(rows, seed=seed, begins_at=begins_at, ends_at=ends_at)
    stories = [tell_deal(random.Random(f"{seed}:{row.id}"), row, fates[row.id], begins_at, ends_at) for row in rows]
    stories += _strangers(seed, rows, begins_at, ends_at)
    people = [person for story in stories for person in story.people if person.created_at <= ends_at]
    clicks = {trail: {one.click.id: one.click for one in people if one.trail is trail and one.click} for trail in Trail}
    brought = [one.campaign for one in people if one.campaign is not None]
    return World(
        begins_at=begins_at,
        ends_at=ends_at,
        happenings=_in_time(seed, (one for story in stories for one in story.happenings if one.at <= ends_at)),
        campaigns=CAMPAIGNS,
        google_clicks=clicks[Trail.GCLID],
        known_to_google=tuple(one.known_to_google for one in people if one.known_to_google is not None),
        meta_clicks=clicks[Trail.FBCLID],
        meta_leads=clicks[Trail.META_LEAD],
        spend=spend_of(brought, seed=seed, begins_at=begins_at, ends_at=ends_at),
    )


def _chosen(seed: int, begins_at: datetime, ends_at: datetime, most: int | None) -> Sequence[Opportunity]:
    alive = in_order(alive_after(begins_at, ends_at), seed)
    if most is None or most >= len(alive):
        return alive
    first = [row for row in alive if fits_people(row, begins_at, ends_at)][:_WHOLE_STORIES_FIRST]
    taken = {row.id for row in first}
    return [*first, *(row for row in alive if row.id not in taken)][:most]


def _strangers(seed: int, rows: Sequence[Opportunity], begins_at: datetime, ends_at: datetime) -> list[Story]:
    """Two or three strangers for each opportunity, by a draw of its own."""
    stories: list[Story] = []
    for row in rows:
        luck = random.Random(f"{seed}:{row.id}:strangers")
        for place in range(int(STRANGERS_A_DEAL) + (luck.random() < STRANGERS_A_DEAL % 1)):
            own_luck = random.Random(luck.getrandbits(64))
            stories.append(tell_stranger(own_luck, f"{row.id}-x{place}", len(stories), begins_at, ends_at))
    return stories


def _in_time(seed: int, happenings: Iterable[Happening]) -> tuple[Happening, ...]:
    """In the order of time, no two of one record in one millisecond, each with the fate of its webhook."""
    luck = random.Random(f"{seed}:webhooks")
    told: list[Happening] = []
    last: dict[str, datetime] = {}
    for one in sorted(happenings, key=lambda one: (one.at, one.key, one.what)):
        before = last.get(one.key)
        at = one.at if before is None or one.at > before else before + _MILLISECOND
        last[one.key] = at
        webhook = draw(luck, SHARES_OF_WEBHOOKS) or Webhook.DELIVERED
        told.append(Happening(at, one.what, one.kind, one.key, one.properties, one.other, one.label, one.new_key, webhook))
    return tuple(sorted(told, key=lambda one: one.at))
