"""People who never get a deal: most of what a form brings in. Some are qualified, some disqualified, some come twice (pure)."""

import random
from collections.abc import Mapping
from datetime import datetime

from app.demo.campaigns import Outcome
from app.demo.deals import QUALIFIED, Story
from app.demo.draws import DAY, between, work_after
from app.demo.happenings import CONTACTS
from app.demo.people import HOSTILE_NAMES, OWN_DOMAIN, Trail, Wishes, make_person

STRANGERS_A_DEAL = 2.5
SHARE_QUALIFIED = 0.12
SHARE_DISQUALIFIED = 0.25
SHARE_COMING_TWICE = 0.01
SHARE_OWN_PEOPLE = 0.004
SHARE_TWIN_QUALIFIED = 0.6

# The first strangers of a world are what a small one might lack.
_GRANTS_LATER = Wishes(trail=Trail.EMAIL, consent="no", consent_later="yes")
_SURE: Mapping[int, Wishes] = {
    0: Wishes(trail=Trail.EMAIL, consent="yes", domain=OWN_DOMAIN),
    1: Wishes(trail=Trail.PHONE, consent="yes", last_name=HOSTILE_NAMES[0]),
    2: Wishes(trail=Trail.EMAIL, consent="yes", last_name=HOSTILE_NAMES[1]),
    3: _GRANTS_LATER,
    4: Wishes(trail=Trail.GCLID, consent="", consent_later="yes"),
    5: Wishes(trail=Trail.EMAIL, consent="yes", consent_later="no"),
    6: Wishes(trail=Trail.NOTHING),
}
_SURE_TO_COME_TWICE = (7, 8)


def tell_stranger(luck: random.Random, key: str, number: int, begins_at: datetime, ends_at: datetime) -> Story:
    """The story of the `number`-th stranger of the world."""
    story = Story()
    created_at = between(luck, begins_at, ends_at)
    if number in _SURE or number in _SURE_TO_COME_TWICE:
        created_at = begins_at + DAY * luck.uniform(1, 3)
    wishes = _SURE.get(number)
    if wishes is None and luck.random() < SHARE_OWN_PEOPLE:
        wishes = Wishes(trail=Trail.EMAIL, consent="yes", domain=OWN_DOMAIN)
    if number in _SURE_TO_COME_TWICE or (wishes is None and luck.random() < SHARE_COMING_TWICE):
        _come_twice(luck, story, key, max(created_at, begins_at + DAY), number)
        return story
    person = make_person(luck, key, created_at, Outcome.NOBODY, wishes)
    story.enter(person)
    is_sure = number in _SURE
    if is_sure or luck.random() < SHARE_QUALIFIED:
        story.update(work_after(luck, person.created_at, 1, 20 if not is_sure else 5), CONTACTS, key, lifecyclestage=QUALIFIED)
    if luck.random() < SHARE_DISQUALIFIED:
        story.update(work_after(luck, person.created_at, 1, 25), CONTACTS, key, hs_lead_status="UNQUALIFIED")
    return story


def _come_twice(luck: random.Random, story: Story, key: str, created_at: datetime, number: int) -> None:
    """Two contacts of one e-mail, differently written, that nobody merges."""
    first = make_person(luck, key, created_at, Outcome.NOBODY, Wishes(trail=Trail.EMAIL, consent="yes"))
    email = f" {first.properties['email'].title()} "
    comes_at_once = number == _SURE_TO_COME_TWICE[0]
    later = first.created_at + DAY * (0.005 if comes_at_once else luck.uniform(0.01, 6))
    wishes = Wishes(trail=Trail.EMAIL, consent="yes", email=email)
    second = make_person(luck, f"{key}-again", later, Outcome.NOBODY, wishes)
    for person in (first, second):
        story.enter(person)
        if number in _SURE_TO_COME_TWICE or luck.random() < SHARE_TWIN_QUALIFIED:
            story.update(work_after(luck, person.created_at, 1, 12), CONTACTS, person.key, lifecyclestage=QUALIFIED)
