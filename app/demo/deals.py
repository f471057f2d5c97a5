"""The life of one deal and its people, from the row of the pipeline and its fate, as happenings (pure)."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.demo.campaigns import LARGE_DEAL, Outcome
from app.demo.draws import DAY, OFFICE_OPENS, at_work, between, midnight, work_after
from app.demo.fates import Course, Fate, People
from app.demo.happenings import CONTACTS, DEALS, Happening, What
from app.demo.people import MadePerson, Trail, Wishes, make_person
from app.demo.pipeline import Opportunity

FIRST_STAGE = "appointmentscheduled"
OPPORTUNITY_STAGE = "qualifiedtobuy"
WON_STAGE = "closedwon"
LOST_STAGE = "closedlost"
QUALIFIED = "salesqualifiedlead"
DECISION_MAKER = "Decision maker"
PRIMARY = "Primary"
SHARE_WITH_LIST_PRICE = 0.85
SHARE_PRESENTED = 0.3
SHARE_LOST_PERSON_DISQUALIFIED = 0.1
PROSPECTS_COME_WITHIN = timedelta(days=60)
_LONGEST_ACQUAINTANCE = 29.6  # days between a contact's creation and the morning of the engagement
_LABELS = {People.DECISION_MAKER: DECISION_MAKER, People.PRIMARY: PRIMARY}
_MERGES = (People.MERGED, People.MERGED_OVER, People.MERGED_ANEW)


@dataclass(slots=True)
class Story:
    """What is told of one deal or person: the happenings, in no order, and the people in it."""

    happenings: list[Happening] = field(default_factory=list)
    people: list[MadePerson] = field(default_factory=list)

    def enter(self, person: MadePerson) -> None:
        """Let a person's form arrive, and what the person changes later on."""
        self.people.append(person)
        self.happenings.append(Happening(person.created_at, What.CREATE, CONTACTS, person.key, person.properties))
        for at, consent in person.consent_changes:
            self.update(at, CONTACTS, person.key, ads_consent=consent)

    def update(self, at: datetime, kind: str, key: str, **properties: str) -> None:
        """Let properties be written."""
        self.happenings.append(Happening(at, What.UPDATE, kind, key, properties))

    def associate(self, at: datetime, deal: str, contact: str, label: str = "") -> None:
        """Put a contact on a deal."""
        self.happenings.append(Happening(at, What.ASSOCIATE, DEALS, deal, other=contact, label=label))

    def merge(self, at: datetime, kept: str, gone: str, new_key: str) -> None:
        """Merge two contacts: what was to happen to either afterwards happens to the survivor."""
        keys, survivor = {kept, gone}, new_key or kept
        for place, one in enumerate(self.happenings):
            if one.at <= at:
                continue
            if one.kind == CONTACTS and one.key in keys:
                self.happenings[place] = replace(one, key=survivor)
            elif one.other in keys:
                self.happenings[place] = replace(one, other=survivor)
        self.happenings.append(Happening(at, What.MERGE, CONTACTS, kept, other=gone, new_key=new_key))

    def forget_what_follows_deletion(self) -> None:
        """Nothing happens to a deal that is gone."""
        deleted = {one.key: one.at for one in self.happenings if one.what is What.DELETE}
        self.happenings = [one for one in self.happenings if one.at <= deleted.get(one.key, one.at)]


def outcome_of(row: Opportunity) -> Outcome:
    """What became of an opportunity."""
    if row.closed_on is None:
        return Outcome.OPEN
    if not row.is_won:
        return Outcome.LOST
    return Outcome.WON_LARGE if row.close_value >= LARGE_DEAL else Outcome.WON


def tell_deal(luck: random.Random, row: Opportunity, fate: Fate, begins_at: datetime, ends_at: datetime) -> Story:
    """The deal's story up to whatever end; what lies after `ends_at` is the caller's to cut off."""
    if row.engaged_on is None:
        return _prospect(luck, row, max(begins_at, ends_at - PROSPECTS_COME_WITHIN), ends_at)
    story = Story()
    engaged_at = at_work(luck, row.engaged_on, earliest=OFFICE_OPENS + timedelta(hours=1))
    made_at = engaged_at - timedelta(milliseconds=luck.randrange(5 * 60_000, 50 * 60_000))
    days = luck.uniform(10, 14) if fate.people else luck.uniform(1, _LONGEST_ACQUAINTANCE)
    created_at = midnight(engaged_at) + OFFICE_OPENS - DAY * days
    price = str(row.list_price) if luck.random() < SHARE_WITH_LIST_PRICE and fate.course is not Course.FILLED_LATE else ""
    _make_deal(story, row, made_at, price)
    _first_person(luck, story, row, fate, created_at, made_at, engaged_at)
    if fate.people in (People.SECOND, *_LABELS):
        _second_person(luck, story, row, fate, created_at, made_at, engaged_at)
    if fate.people in _MERGES:
        _twin(luck, story, row, fate, created_at, made_at)
    if fate.course is not Course.JUMPED:
        story.update(engaged_at, DEALS, row.id, dealstage=OPPORTUNITY_STAGE)
    _close(luck, story, row, fate, engaged_at)
    story.forget_what_follows_deletion()
    return story


def _prospect(luck: random.Random, row: Opportunity, earliest: datetime, ends_at: datetime) -> Story:
    story = Story()
    made_at = at_work(luck, between(luck, earliest, ends_at))
    person = make_person(luck, f"{row.id}-1", made_at - DAY * luck.uniform(0.2, 20), Outcome.OPEN)
    story.enter(person)
    _make_deal(story, row, made_at, str(row.list_price))
    story.associate(made_at + timedelta(seconds=1), row.id, person.key)
    return story


def _make_deal(story: Story, row: Opportunity, at: datetime, amount: str) -> None:
    properties = {"dealname": f"{row.account or 'New account'}: {row.product}", "pipeline": "default", "dealstage": FIRST_STAGE}
    properties |= {"amount": amount, "product": row.product} | ({"account": row.account} if row.account else {})
    story.happenings.append(Happening(at, What.CREATE, DEALS, row.id, properties))


def _first_person(
    luck: random.Random, story: Story, row: Opportunity, fate: Fate, created_at: datetime, made_at: datetime, engaged_at: datetime
) -> None:
    wishes = Wishes(trail=Trail.EMAIL, consent="yes") if fate.people in _MERGES else None
    person = make_person(luck, f"{row.id}-1", created_at, outcome_of(row), wishes)
    story.enter(person)
    qualified_at = _qualified_at(luck, created_at, made_at)
    if fate.people is People.QUALIFIED_LATE:
        qualified_at = work_after(luck, engaged_at, 1, 5)
    if fate.people is not People.NEVER_QUALIFIED:
        story.update(qualified_at, CONTACTS, person.key, lifecyclestage=QUALIFIED)
    met_at = made_at + timedelta(seconds=1)
    story.associate(work_after(luck, engaged_at, 1, 3) if fate.people is People.LATE else met_at, row.id, person.key)


def _qualified_at(luck: random.Random, created_at: datetime, made_at: datetime) -> datetime:
    """In the office hours of a day after the creation, at the latest on the day of the deal and before it."""
    days = (midnight(made_at) - midnight(created_at)).days
    day = midnight(created_at) + DAY * luck.randint(1, max(1, days))
    if day < midnight(made_at):
        return at_work(luck, day)
    return between(luck, midnight(made_at) + OFFICE_OPENS, made_at - timedelta(seconds=30))


def _second_person(
    luck: random.Random, story: Story, row: Opportunity, fate: Fate, created_at: datetime, made_at: datetime, engaged_at: datetime
) -> None:
    """Somebody else of the same account; who is marked was qualified before the deal, as the deal may be theirs."""
    person = make_person(luck, f"{row.id}-2", created_at + DAY * luck.uniform(0.5, 3), outcome_of(row))
    story.enter(person)
    label = _LABELS.get(fate.people) if fate.people else None
    if label or luck.random() < 0.5:
        story.update(_qualified_at(luck, person.created_at, made_at), CONTACTS, person.key, lifecyclestage=QUALIFIED)
    is_late = luck.random() < 0.5
    met_at = work_after(luck, engaged_at, 1, 10) if is_late else made_at + timedelta(seconds=2)
    story.associate(met_at, row.id, person.key, label or "")


def _twin(luck: random.Random, story: Story, row: Opportunity, fate: Fate, created_at: datetime, made_at: datetime) -> None:
    """The same person came a second time by another address; days later somebody merges the two contacts."""
    person = make_person(
        luck, f"{row.id}-2", created_at + DAY * luck.uniform(1.2, 2), outcome_of(row), Wishes(trail=Trail.EMAIL, consent="yes")
    )
    story.enter(person)
    if luck.random() < 0.5:
        story.update(work_after(luck, person.created_at, 0, 2), CONTACTS, person.key, lifecyclestage=QUALIFIED)
    merged_at = work_after(luck, max(person.created_at + DAY * 5, made_at + DAY * luck.uniform(-3, 6)), 0, 1)
    first, second = f"{row.id}-1", person.key
    kept, gone = (second, first) if fate.people is People.MERGED_OVER else (first, second)
    new_key = f"{row.id}-merged" if fate.people is People.MERGED_ANEW else ""
    story.merge(merged_at, kept, gone, new_key)


def _close(luck: random.Random, story: Story, row: Opportunity, fate: Fate, engaged_at: datetime) -> None:
    if row.closed_on is None:
        if fate.course is Course.DELETED_OPEN:
            _delete(story, row, work_after(luck, engaged_at, 1, 10))
        return
    closed_at = max(at_work(luck, row.closed_on), engaged_at + timedelta(hours=1))
    days_open = (midnight(closed_at) - midnight(engaged_at)).days
    if days_open > 1 and luck.random() < SHARE_PRESENTED and fate.course is not Course.JUMPED:
        presented_at = at_work(luck, engaged_at + DAY * luck.randint(1, days_open - 1))
        story.update(presented_at, DEALS, row.id, dealstage="presentationscheduled")
    if not row.is_won:
        story.update(closed_at, DEALS, row.id, dealstage=LOST_STAGE)
        if luck.random() < SHARE_LOST_PERSON_DISQUALIFIED and fate.people not in _MERGES:
            later = closed_at + timedelta(minutes=luck.randint(1, 20))
            story.update(later, CONTACTS, f"{row.id}-1", hs_lead_status="UNQUALIFIED")
        return
    story.happenings.extend(_won(luck, row, fate.course, closed_at))


def _delete(story: Story, row: Opportunity, at: datetime) -> None:
    story.happenings.append(Happening(at, What.DELETE, DEALS, row.id))


def _won(luck: random.Random, row: Opportunity, course: Course | None, at: datetime) -> Iterator[Happening]:
    """Won, and what people do to a won deal afterwards."""

    def write(when: datetime, **properties: str) -> Happening:
        return Happening(when, What.UPDATE, DEALS, row.id, properties)

    amount = str(row.close_value)
    yield write(at, dealstage=WON_STAGE, amount="" if course is Course.FILLED_LATE else amount)
    later = work_after(luck, at, 2, 6)
    match course:
        case Course.FILLED_LATE:
            yield write(later, amount=amount)
        case Course.EDITED:
            yield write(later, amount=str(round(row.close_value * luck.choice((0.8, 0.9, 1.1, 1.25)) + 1)))
        case Course.REOPENED | Course.REOPENED_WHOLLY:
            stage = "contractsent" if course is Course.REOPENED else OPPORTUNITY_STAGE
            yield write(later, dealstage=stage)
            yield write(work_after(luck, later, 0.3, 3), dealstage=WON_STAGE)
        case Course.WON_BY_MISTAKE:
            yield write(at + timedelta(minutes=luck.randint(2, 12)), dealstage="contractsent")
            yield write(at + timedelta(minutes=luck.randint(13, 25)), dealstage=WON_STAGE)
        case Course.LOST_AFTER_ALL:
            yield write(later, dealstage=LOST_STAGE)
        case Course.DELETED:
            yield Happening(later, What.DELETE, DEALS, row.id)
        case _:
            return
