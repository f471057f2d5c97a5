"""A small company for the kill test: who appears, which deals move, and the oracle of what must come of it.

The oracle is read from the facts by code that shares nothing with the product: no engine, no ids, no policy.
"""

import base64
import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

BEGINS_AT = datetime(2026, 11, 2, 8, tzinfo=UTC)
DAYS = 7
START = BEGINS_AT + timedelta(days=1)
ENDS_AT = BEGINS_AT + timedelta(days=DAYS)
PORTAL = 62515
ACTIONS = {"qualified_lead": "7302219941", "opportunity": "7302219950", "closed_revenue": "7302219958"}
QUALIFIED_WORTH = 50_000_000
OPEN_STAGES = ("qualifiedtobuy", "presentationscheduled")
HOUR = timedelta(hours=1)


@dataclass(slots=True)
class PersonFacts:
    """A contact. `is_known`: Google saw an ad click of theirs."""

    key: str
    created_at: datetime
    has_consent: bool
    email: str = ""
    phone: str = ""
    gclid: str = ""
    is_known: bool = False
    qualified_at: datetime | None = None

    @property
    def is_reachable(self) -> bool:
        """Whether anything names them."""
        return bool(self.email or self.phone or self.gclid)


@dataclass(slots=True)
class DealFacts:
    """A deal with its people, associated at `associated_at`, and its moves in the order of time."""

    key: str
    created_at: datetime
    associated_at: datetime
    people: list[str]
    moves: list[tuple[datetime, dict[str, str]]] = field(default_factory=list)


@dataclass(slots=True)
class Company:
    """All that will happen in the CRM."""

    people: dict[str, PersonFacts] = field(default_factory=dict)
    deals: dict[str, DealFacts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Act:
    """One thing done in the CRM; `others` are the people put on a deal."""

    at: datetime
    what: str
    kind: str
    key: str
    properties: Mapping[str, str] = field(default_factory=dict)
    others: Sequence[str] = ()


def build_company(seed: int, deals: int = 30) -> Company:
    """Deals with one or two people each, and some people without a deal."""
    luck = random.Random(f"company {seed}")
    company = Company()
    for number in range(deals):
        created = _moment(luck, BEGINS_AT, ENDS_AT - timedelta(days=1))
        keys = [f"p{number}"] + ([f"q{number}"] if luck.random() < 0.15 else [])
        for key in keys:
            company.people[key] = _person(luck, key, created - HOUR * luck.uniform(1, 20), created)
        late = HOUR * luck.uniform(2, 30) if luck.random() < 0.15 else timedelta(0)
        deal = DealFacts(f"d{number}", created, created + late, keys)
        deal.moves = sorted(_moves(luck, created), key=lambda move: move[0])
        company.deals[deal.key] = deal
    for number in range(deals // 2):
        created = _moment(luck, BEGINS_AT, ENDS_AT)
        company.people[f"x{number}"] = _person(luck, f"x{number}", created, None)
    return company


def acts_of(company: Company) -> list[Act]:
    """Everything in the order of time."""
    acts: list[Act] = []
    for one in company.people.values():
        named = {"email": one.email, "phone": one.phone, "hs_google_click_id": one.gclid}
        properties = {name: value for name, value in named.items() if value}
        properties |= {"lastname": f"Doe{one.key}", "lifecyclestage": "lead", "ads_consent": "yes" if one.has_consent else "no"}
        acts.append(Act(one.created_at, "create", "contacts", one.key, properties))
        if one.qualified_at is not None:
            acts.append(Act(one.qualified_at, "update", "contacts", one.key, {"lifecyclestage": "salesqualifiedlead"}))
    for deal in company.deals.values():
        opening = {"dealname": deal.key, "pipeline": "default", "dealstage": "appointmentscheduled", "amount": ""}
        acts.append(Act(deal.created_at, "create", "deals", deal.key, opening))
        acts.append(Act(deal.associated_at, "associate", "deals", deal.key, {}, deal.people))
        acts += [Act(at, "update", "deals", deal.key, properties) for at, properties in deal.moves]
    return sorted(acts, key=lambda act: act.at)


def _moment(luck: random.Random, since: datetime, until: datetime) -> datetime:
    """Cut to milliseconds, as HubSpot's instants are."""
    return since + timedelta(milliseconds=int((until - since).total_seconds() * 1000 * luck.random()))


def _person(luck: random.Random, key: str, created: datetime, qualified_by: datetime | None) -> PersonFacts:
    created = created.replace(microsecond=created.microsecond // 1000 * 1000)
    person = PersonFacts(key, created, has_consent=luck.random() > 0.1)
    draw = luck.random()
    if draw < 0.5:
        person.gclid, person.is_known = f"Cj0KCQ{luck.getrandbits(120):030x}", True
    elif draw < 0.7:
        person.email, person.is_known = f"{key}.{luck.randrange(10**6)}@customer.example.com", luck.random() < 0.5
    elif draw < 0.85:
        person.phone = f"+44 20 7946 {luck.randrange(10000):04d}"
    if qualified_by is not None:
        person.qualified_at = _moment(luck, created, qualified_by)
    elif luck.random() < 0.4:
        person.qualified_at = _moment(luck, created, created + timedelta(days=2))
    return person


def _moves(luck: random.Random, created: datetime) -> Iterator[tuple[datetime, dict[str, str]]]:
    is_hasty = luck.random() < 0.2
    step = timedelta(seconds=5) if is_hasty else HOUR

    def later(at: datetime, least: float, most: float) -> datetime:
        return at + timedelta(milliseconds=int(step.total_seconds() * 1000 * luck.uniform(least, most)))

    at = later(created, 1, 20)
    if luck.random() < 0.85:
        yield at, {"dealstage": "qualifiedtobuy"}
        at = later(at, 0.5, 5)
        if luck.random() < 0.2:
            yield at, {"dealstage": "presentationscheduled"}
            at = later(at, 0.5, 5)
        if luck.random() < 0.15:
            yield at, {"dealstage": "appointmentscheduled"}
            at = later(at, 0.5, 5)
            yield at, {"dealstage": "qualifiedtobuy"}
            at = later(at, 0.5, 5)
    fate = luck.random()
    if fate < 0.2:
        yield at, {"dealstage": "closedlost"}
    elif fate < 0.85:
        yield from _winning(luck, at)


def _winning(luck: random.Random, at: datetime) -> Iterator[tuple[datetime, dict[str, str]]]:
    amount = luck.randrange(100, 9000)
    fate = luck.random()
    if fate < 0.15:
        yield at, {"dealstage": "closedwon"}
        yield at + HOUR * luck.randrange(1, 30), {"amount": str(amount)}
        return
    yield at, {"dealstage": "closedwon", "amount": str(amount)}
    if fate < 0.35:
        yield at + timedelta(minutes=luck.randrange(1, 2400)), {"amount": str(amount + luck.randrange(1, 500))}
    elif fate < 0.5:
        yield at + HOUR * 26, {"dealstage": "contractsent"}
        yield at + HOUR * 31, {"dealstage": "closedwon"}


# The oracle ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expected:
    """One conversion that must be there. `people`: keys of those who may stand for it."""

    uid: str
    milestone: str
    record: str
    occurred_at: datetime
    amount_micros: int | None
    is_live: bool
    is_implied: bool
    people: tuple[str, ...]

    @property
    def fact(self) -> tuple[object, ...]:
        """What is compared with the database."""
        return (
            self.uid,
            self.milestone,
            self.record,
            self.occurred_at,
            self.amount_micros if self.is_live else None,
            self.is_live,
            self.is_implied,
        )


def expected_of(company: Company, ids: Mapping[str, str]) -> list[Expected]:
    """Every conversion of the company, `ids` being the CRM's ids by key."""
    found: list[Expected] = []
    on_deals = {key for deal in company.deals.values() for key in deal.people}
    for one in company.people.values():
        is_kept = one.created_at >= START or one.qualified_at is not None or one.key in on_deals
        if is_kept:
            found.append(_of_person(one, ids, "lead", one.created_at, None))
        if one.qualified_at is not None:
            found.append(_of_person(one, ids, "qualified_lead", one.qualified_at, QUALIFIED_WORTH))
    for deal in company.deals.values():
        found += _of_deal(deal, ids[deal.key])
    return found


def _uid(kind: str, ref: str, milestone: str, occurrence: int) -> str:
    digest = hashlib.sha256(f"{PORTAL}|{kind}|{ref}|{milestone}|{occurrence}".encode()).digest()
    return ("ll" + base64.b32encode(digest).decode().lower())[:28]


def _of_person(one: PersonFacts, ids: Mapping[str, str], milestone: str, at: datetime, amount: int | None) -> Expected:
    ref = ids[one.key]
    return Expected(
        _uid("person", ref, milestone, 0), milestone, ref, at, amount, is_live=True, is_implied=False, people=(one.key,)
    )


def _of_deal(deal: DealFacts, ref: str) -> Iterator[Expected]:
    """An opportunity once, implied by a win without one; a win each time the deal is won again after it was left."""
    people = tuple(deal.people)
    stage, amount = "appointmentscheduled", 0
    opened: datetime | None = None
    wins: list[tuple[datetime, datetime | None]] = []
    for at, properties in deal.moves:
        amount = int(properties.get("amount") or 0) * 1_000_000 or amount
        moved = properties.get("dealstage", stage)
        if moved in OPEN_STAGES and opened is None:
            opened = at
        if moved == "closedwon" != stage:
            wins.append((at, None))
        if stage == "closedwon" != moved:
            wins[-1] = (wins[-1][0], at)
        stage = moved
    if opened is not None or wins:
        at = opened or wins[0][0]
        implied = opened is None
        yield Expected(_uid("deal", ref, "opportunity", 0), "opportunity", ref, at, None, True, implied, people)
    for number, (won_at, left_at) in enumerate(wins):
        uid = _uid("deal", ref, "closed_revenue", number)
        yield Expected(uid, "closed_revenue", ref, won_at, amount, left_at is None, False, people)


def outcomes_of(one: Expected, company: Company, destination: str = "google") -> set[tuple[str, str]] | None:
    """The states and reasons in which the upload of this conversion may end; None where there must be no upload."""
    if one.milestone not in ACTIONS or one.is_implied:
        return None
    if one.occurred_at < START:
        return {("skipped", "before_start")}
    ended = set() if one.is_live else {("skipped", "withdrawn"), ("uncertain", "unknown_effect")}
    person = _who(one, company, takes_gclid=destination == "google")
    if not person.has_consent:
        return {("skipped", "no_consent")} | ended
    if destination == "meta":
        accepted = {("accepted", "delivered"), ("accepted", "already_there"), ("uncertain", "unknown_effect")}
        return (
            accepted | ended | {("skipped", "too_old")}
            if person.email or person.phone
            else {("skipped", "no_identifier")} | ended
        )
    if not person.is_reachable:
        return {("skipped", "no_identifier")} | ended
    if not person.is_known:
        return {("unmatched", "unmatched")} | ended
    return {("confirmed", "confirmed"), ("confirmed", "already_there")} | ended


def _who(one: Expected, company: Company, *, takes_gclid: bool) -> PersonFacts:
    """Of the people on it, the earliest whom the platform can be told."""

    def is_sayable(each: PersonFacts) -> bool:
        return bool(each.email or each.phone or (takes_gclid and each.gclid))

    people = [company.people[key] for key in one.people]
    return min(people, key=lambda each: (not is_sayable(each), each.created_at))
