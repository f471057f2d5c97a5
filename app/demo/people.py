"""The demo's people: how each came, what they left in the form, what they consented to. All are made up from a seed (pure)."""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from app.demo.campaigns import GOOGLE, META, Campaign, Outcome, choose_campaign
from app.demo.draws import between, draw, pick, whole

OWN_DOMAIN = "leadloop-demo.example"
CLICK_AT_MOST_BEFORE = timedelta(days=14)
SHARE_PAID_WITHOUT_CLICK_ID = {GOOGLE: 0.25, META: 0.15}
SHARE_KNOWN_TO_GOOGLE = 0.4  # of those without a click id: Google knows their e-mail or phone from an ad click all the same
SHARE_KNOWN_BY_OLD_CLICK = 0.02  # of these: the click is older than Google credits without a click id
SHARE_BAD_EMAIL = 0.5  # of those who left nothing: they typed something that is no address
SHARE_OTHER_CONTACT = 0.85  # of those with a click id or lead id: they left an e-mail too
SHARE_NO_CONSENT = 0.05
SHARE_EMPTY_CONSENT = 0.05
SHARE_GRANTED_LATER = 0.2  # of those without consent
SHARE_WITHDRAWN = 0.015  # of those with consent
SHARE_HOSTILE_NAME = 0.03  # of those who are recognised by e-mail or phone, so that no name decides who is reached

FIRST_NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Radia", "Katherine", "Niklaus", "Frances")
LAST_NAMES = ("Meier", "Okafor", "Silva", "Novak", "Tanaka", "Ferrari", "O'Neil-Smith", "García", "Sørensen", "Dubois")
COUNTRIES = ("US", "US", "US", "US", "GB", "DE", "FR", "CA")
HOSTILE_NAMES = (
    "M" * 300,
    "Robert'); DROP TABLE leads;--",
    '"quoted" \\ back\\slash',
    "<script>alert(1)</script>",
    "정 \u202e gnirts",
    "Zoë\u0301 \U0001f680\u200b",
    "{{7*7}} %s ${HOME}",
)
BAD_EMAILS = ("not an address", "ada@", "@example.com", "ada lovelace@example.com", "ada@example")
UNPAID_SOURCES = ("ORGANIC_SEARCH", "ORGANIC_SEARCH", "DIRECT_TRAFFIC", "REFERRALS", "EMAIL_MARKETING", "OFFLINE")
PAID_SOURCES = {GOOGLE: "PAID_SEARCH", META: "PAID_SOCIAL"}


class Trail(StrEnum):
    """By what a platform can recognise a person."""

    GCLID = "gclid"
    FBCLID = "fbclid"
    META_LEAD = "meta_lead"
    EMAIL = "email"
    PHONE = "phone"
    NOTHING = "nothing"


SHARES_OF_TRAILS: Mapping[Trail, float] = {
    Trail.GCLID: 0.36,
    Trail.FBCLID: 0.18,
    Trail.META_LEAD: 0.10,
    Trail.EMAIL: 0.20,
    Trail.PHONE: 0.08,
}  # the rest left nothing


@dataclass(frozen=True, slots=True)
class AdClick:
    """A click on an ad, or a lead form filled in on the platform, as the platform knows it."""

    id: str
    at: datetime
    campaign: Campaign


@dataclass(frozen=True, slots=True)
class SignedInPerson:
    """Somebody whom Google knows by e-mail or phone and who clicked an ad, though no click id reached the CRM."""

    email: str = field(repr=False)
    phone: str = field(repr=False)
    clicked_at: datetime

    @property
    def digests(self) -> frozenset[str]:
        """SHA-256 in hex of e-mail and phone as Google normalises them."""
        texts = (self.email.strip().lower(), self.phone.replace(" ", ""))
        return frozenset(hashlib.sha256(text.encode()).hexdigest() for text in texts if text)


@dataclass(frozen=True, slots=True)
class MadePerson:
    """A contact as its form created it. `consent_changes`: later values of `ads_consent`, in the order of time."""

    key: str
    created_at: datetime
    trail: Trail
    properties: Mapping[str, str] = field(repr=False)
    campaign: Campaign | None = None
    click: AdClick | None = None
    known_to_google: SignedInPerson | None = None
    consent_changes: tuple[tuple[datetime, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is decided of a person beforehand; None leaves it to the draw."""

    trail: Trail | None = None
    consent: str | None = None
    consent_later: str | None = None
    last_name: str | None = None
    domain: str | None = None
    email: str | None = None


def make_person(
    luck: random.Random, key: str, created_at: datetime, outcome: Outcome, wishes: Wishes | None = None
) -> MadePerson:
    """Draw a person."""
    wish, created_at = wishes or Wishes(), whole(created_at)
    trail = wish.trail or draw(luck, SHARES_OF_TRAILS) or Trail.NOTHING
    campaign = _campaign_of(luck, trail, outcome)
    clicked_at = between(luck, created_at - CLICK_AT_MOST_BEFORE, created_at - timedelta(minutes=1))
    click = _click(luck, trail, clicked_at, campaign)
    email = wish.email or f"{key.lower()}@{wish.domain or f'customer{int(luck.random() * 400)}.example.com'}"
    properties = _name(luck, trail, wish) | _reachable(luck, trail, email) | _came_from(luck, trail, campaign, click)
    consent, changes = _consent(luck, created_at, wish)
    if consent:
        properties["ads_consent"] = consent
    properties["lifecyclestage"] = "lead"
    known = _known_to_google(luck, trail, properties, clicked_at)
    return MadePerson(key, created_at, trail, properties, campaign, click, known, changes)


def _campaign_of(luck: random.Random, trail: Trail, outcome: Outcome) -> Campaign | None:
    match trail:
        case Trail.GCLID:
            return choose_campaign(luck, GOOGLE, outcome)
        case Trail.FBCLID | Trail.META_LEAD:
            return choose_campaign(luck, META, outcome)
        case _:
            draw = luck.random()
            if draw < SHARE_PAID_WITHOUT_CLICK_ID[GOOGLE]:
                return choose_campaign(luck, GOOGLE, outcome)
            if draw < sum(SHARE_PAID_WITHOUT_CLICK_ID.values()):
                return choose_campaign(luck, META, outcome)
            return None


def _click(luck: random.Random, trail: Trail, at: datetime, campaign: Campaign | None) -> AdClick | None:
    """Click ids as long as the platforms' own; Meta's lead ids have 15 to 17 digits."""
    if campaign is None:
        return None
    match trail:
        case Trail.GCLID:
            return AdClick(f"Cj0KCQ{luck.getrandbits(160):040x}", at, campaign)
        case Trail.FBCLID:
            return AdClick(f"IwAR{luck.getrandbits(200):050x}", at, campaign)
        case Trail.META_LEAD:
            return AdClick(str(luck.randrange(10**15, 10**16)), at, campaign)
        case _:
            return None


def _name(luck: random.Random, trail: Trail, wish: Wishes) -> dict[str, str]:
    """Who left nothing left only a first name: a full name with a country would be something to go by."""
    if trail is Trail.NOTHING:
        return {"firstname": pick(luck, FIRST_NAMES)}
    is_hostile = luck.random() < SHARE_HOSTILE_NAME and trail in (Trail.EMAIL, Trail.PHONE)
    last_name = wish.last_name or pick(luck, HOSTILE_NAMES if is_hostile else LAST_NAMES)
    return {"firstname": pick(luck, FIRST_NAMES), "lastname": last_name, "country": pick(luck, COUNTRIES)}


def _reachable(luck: random.Random, trail: Trail, email: str) -> dict[str, str]:
    # Berlin numbers of eight further digits, so that hardly two people share one.
    phone = f"+49 30 {10_000_000 + int(luck.random() * 89_999_999)}"
    match trail:
        case Trail.EMAIL:
            return {"email": email}
        case Trail.PHONE:
            return {"phone": phone}
        case Trail.NOTHING:
            return {"email": pick(luck, BAD_EMAILS)} if luck.random() < SHARE_BAD_EMAIL else {}
        case _:
            found = {"email": email} if luck.random() < SHARE_OTHER_CONTACT else {}
            return found | ({"phone": phone} if found and luck.random() < 0.3 else {})


def _came_from(luck: random.Random, trail: Trail, campaign: Campaign | None, click: AdClick | None) -> dict[str, str]:
    if campaign is None:
        return {"hs_analytics_source": pick(luck, UNPAID_SOURCES)}
    source = {
        "hs_analytics_source": PAID_SOURCES[campaign.platform],
        "utm_id": campaign.id,
        "utm_campaign": campaign.slug,
    }
    if click is None:
        return source
    names = {Trail.GCLID: "hs_google_click_id", Trail.FBCLID: "hs_facebook_click_id", Trail.META_LEAD: "leadgen_id"}
    return source | {names[trail]: click.id, "hs_analytics_first_timestamp": click.at.isoformat(timespec="milliseconds")}


def _consent(luck: random.Random, created_at: datetime, wish: Wishes) -> tuple[str, tuple[tuple[datetime, str], ...]]:
    draw, changes_mind, days = luck.random(), luck.random(), luck.uniform(2, 40)
    drawn = "no" if draw < SHARE_NO_CONSENT else "" if draw < SHARE_NO_CONSENT + SHARE_EMPTY_CONSENT else "yes"
    consent = drawn if wish.consent is None else wish.consent
    if wish.consent is None:
        later = "no" if consent == "yes" else "yes"
        is_changed = changes_mind < (SHARE_WITHDRAWN if consent == "yes" else SHARE_GRANTED_LATER)
    else:
        later, is_changed = wish.consent_later or "", wish.consent_later is not None
    return consent, ((created_at + timedelta(milliseconds=int(days * 86_400_000)), later),) if is_changed else ()


def _known_to_google(
    luck: random.Random, trail: Trail, properties: Mapping[str, str], clicked_at: datetime
) -> SignedInPerson | None:
    """A share of those who left an e-mail or phone and no Google click id."""
    is_known, is_old = luck.random() < SHARE_KNOWN_TO_GOOGLE, luck.random() < SHARE_KNOWN_BY_OLD_CLICK
    if not is_known or trail in (Trail.GCLID, Trail.NOTHING):
        return None
    email, phone = properties.get("email", ""), properties.get("phone", "")
    if not email and not phone:
        return None
    return SignedInPerson(email, phone, clicked_at - timedelta(days=75) if is_old else clicked_at)
