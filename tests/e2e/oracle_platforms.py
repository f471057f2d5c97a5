"""The oracle's platforms: what each takes and when, whom Google recognises, and whether a delivery may go."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from app.demo.world import World
from tests.e2e.oracle_crm import Contact

STEP = timedelta(hours=6)
LATEST_VERDICT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform as its documentation tells it. `fields` are the contact properties that name a click or the platform's lead."""

    name: str
    milestones: frozenset[str]
    fields: frozenset[str]
    age_with_click: timedelta
    age_without_click: timedelta
    oldest_click: timedelta | None = None
    youngest_click: timedelta = timedelta(0)
    takes_names: bool = False
    age_fields: frozenset[str] | None = None
    restates: bool = False
    retracts: bool = False
    confirms: bool = False
    corrected_after: timedelta = timedelta(0)
    corrected_within: timedelta = timedelta(0)

    def knows_click(self, person: Contact) -> bool:
        """Whether the person carries a click or lead id of this platform."""
        return any(person.values.get(name) for name in self.fields)

    @property
    def longest_age(self) -> timedelta:
        """Until when it takes an event at all."""
        return max(self.age_with_click, self.age_without_click)

    def oldest(self, person: Contact) -> timedelta:
        """How old an event of this person may be."""
        fields = self.fields if self.age_fields is None else self.age_fields
        return self.age_with_click if any(person.values.get(name) for name in fields) else self.age_without_click

    def reaches(self, person: Contact) -> bool:
        """Whether the person has anything that this platform takes."""
        has_names = bool(person.values.get("firstname") and person.values.get("lastname"))
        is_known = self.knows_click(person) or person.email is not None or person.phone is not None
        return is_known or (self.takes_names and has_names)


GOOGLE = Platform(
    name="google",
    milestones=frozenset({"qualified_lead", "opportunity", "closed_revenue"}),
    fields=frozenset({"hs_google_click_id"}),
    age_with_click=timedelta(days=90),
    age_without_click=timedelta(days=63),
    oldest_click=timedelta(days=90),
    youngest_click=timedelta(hours=6),
    restates=True,
    retracts=True,
    confirms=True,
    corrected_after=timedelta(hours=24),
    corrected_within=timedelta(days=54),
)
META = Platform(
    name="meta",
    milestones=frozenset({"lead", "qualified_lead", "opportunity", "closed_revenue"}),
    fields=frozenset({"hs_facebook_click_id", "leadgen_id"}),
    age_with_click=timedelta(days=7),
    age_without_click=timedelta(days=62),
    age_fields=frozenset({"leadgen_id"}),
    takes_names=True,
)


@dataclass(slots=True, eq=False)
class Delivery:
    """One thing owed to one platform, and what has become of it."""

    platform: Platform
    kind: str
    number: int
    deadline: datetime
    state: str = "pending"
    reason: str = "new"
    not_before: datetime | None = None
    sent_at: datetime | None = None
    sent_micros: int | None = None
    corrects: "Delivery | None" = None

    def may_be_recorded(self, now: datetime, verdict_at: datetime) -> bool:
        """Whether the platform has it, or its late verdict (there since `verdict_at`) was not yet asked for before this tick."""
        if self.state in ("accepted", "confirmed"):
            return True
        return self.state in ("unmatched", "rejected") and now - STEP < verdict_at

    def sent_at_or(self, now: datetime) -> datetime:
        """When it was sent, else now."""
        return self.sent_at or now

    def skip(self, reason: str) -> None:
        """It does not go."""
        self.state, self.reason = "skipped", reason

    def wait(self, reason: str) -> None:
        """Not yet."""
        self.state, self.reason = "pending", reason

    def send(self, micros: int | None, verdict: str, now: datetime) -> None:
        """It goes; the late verdict is noted at once, for platforms that give one."""
        self.sent_at, self.sent_micros = now, micros
        if self.kind == "retract":
            self.skip("unsupported")
        elif not self.platform.confirms:
            self.state, self.reason = "accepted", "delivered"
        else:
            self.state, self.reason = verdict, "refused" if verdict == "rejected" else verdict


class Fact(Protocol):
    """What a decision needs of a conversion."""

    occurred_at: datetime
    value: str

    @property
    def is_live(self) -> bool:
        """Whether it holds."""
        ...


def decide(
    fact: Fact, delivery: Delivery, people: Sequence[Contact], preference: Callable[[Contact], tuple[object, ...]], now: datetime
) -> Contact | None:
    """The person for whom it goes now; None where it does not, with the reason in the delivery."""
    platform = delivery.platform
    if now >= delivery.deadline:
        if delivery.kind == "upload":
            delivery.state, delivery.reason = "expired", "deadline"
        else:
            delivery.skip("unsupported")
        return None
    if delivery.not_before is not None and now < delivery.not_before:
        return None
    if not fact.is_live and delivery.kind != "retract":
        delivery.skip("withdrawn")
    elif delivery.kind == "upload" and fact.value == "wait":
        delivery.wait("value")
    elif not people:
        delivery.wait("person")
    else:
        person = min(people, key=lambda one: (not platform.reaches(one), *preference(one)))
        return person if _may_go(fact, delivery, person, now) else None
    return None


def _may_go(fact: Fact, delivery: Delivery, person: Contact, now: datetime) -> bool:
    platform = delivery.platform
    has_click, age = platform.knows_click(person), platform.oldest(person)
    click_age = now - person.clicked_at if has_click and platform.oldest_click and delivery.kind == "upload" else None
    if not person.has_consented:
        delivery.skip("no_consent")
    elif not platform.reaches(person):
        delivery.skip("no_identifier")
    elif now - fact.occurred_at > age or (click_age is not None and platform.oldest_click and click_age > platform.oldest_click):
        delivery.skip("too_old")
    elif click_age is not None and click_age < platform.youngest_click:
        delivery.wait("too_recent")
    else:
        return True
    return False


@dataclass(slots=True)
class Google:
    """Whom Google recognises: click ids, and people by e-mail or phone with the clicks they made."""

    clicks: Mapping[str, datetime]
    people: Mapping[str, Sequence[datetime]] = field(repr=False)

    @classmethod
    def knowing(cls, world: World) -> "Google":
        """Google as this world has it."""
        people: dict[str, list[datetime]] = defaultdict(list)
        for one in world.known_to_google:
            for text in {one.email.strip().lower(), one.phone.replace(" ", "")} - {""}:
                people[text].append(one.clicked_at)
        return cls({key: click.at for key, click in world.google_clicks.items()}, people)

    def verdict(self, person: Contact, occurred_at: datetime, now: datetime) -> str:
        """What Google finds of an event that arrives now: confirmed, unmatched or rejected."""
        click = person.values.get("hs_google_click_id")
        if click:
            return self._judge(self.clicks[click], GOOGLE.age_with_click, occurred_at, now)
        made = [at for text in (person.email, person.phone) if text for at in self.people.get(text, ())]
        if not made:
            return "unmatched"
        earlier = [at for at in made if at <= occurred_at]
        return self._judge(max(earlier or made), GOOGLE.age_without_click, occurred_at, now)

    def _judge(self, clicked_at: datetime, oldest: timedelta, occurred_at: datetime, now: datetime) -> str:
        is_in_time = clicked_at <= occurred_at and now - clicked_at <= oldest
        return "confirmed" if is_in_time else "rejected"
