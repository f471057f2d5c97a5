"""Counts the oddities of a world from its happenings alone, so that tests and the demo can say what is in it (pure)."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from app.demo.deals import DECISION_MAKER, LOST_STAGE, OPPORTUNITY_STAGE, PRIMARY, QUALIFIED, WON_STAGE
from app.demo.happenings import CONTACTS, DEALS, Happening, Webhook, What
from app.demo.people import BAD_EMAILS, HOSTILE_NAMES, OWN_DOMAIN
from app.demo.world import World


class Oddity(StrEnum):
    """What makes a CRM hard."""

    BEFORE_START = "contact from before the start"
    UNREACHABLE = "nothing to recognise a person by"
    BAD_EMAIL = "bad e-mail"
    HOSTILE_NAME = "hostile text in a name"
    OWN_PERSON = "one of the company's own people"
    DENIED = "consent denied"
    EMPTY_CONSENT = "consent not answered"
    GRANTED_LATER = "consent granted later"
    WITHDRAWN = "consent withdrawn"
    SAME_EMAIL = "second contact of one e-mail"
    DISQUALIFIED = "disqualified person"
    SEVERAL_PEOPLE = "several people on a deal"
    DECISION_MAKER = "decision maker on a deal"
    PRIMARY = "primary person on a deal"
    PERSON_LATE = "person comes to the deal late"
    NEVER_QUALIFIED = "deal of a person who was never qualified"
    MERGED = "contacts merged"
    MERGED_ANEW = "contacts merged into a new record"
    JUMPED = "deal jumps to won"
    EDITED = "amount edited after winning"
    FILLED_LATE = "won without an amount, filled in later"
    REOPENED = "reopened and won again"
    WON_BY_MISTAKE = "won, taken back and won within minutes"
    LOST_AFTER_ALL = "won and lost after all"
    DELETED_WON = "deal deleted after winning"
    DELETED_OPEN = "deal deleted while open"
    WITHOUT_ACCOUNT = "deal without an account"
    NEVER_MOVED = "deal that never moved"
    WEBHOOK_LOST = "webhook lost"
    WEBHOOK_DUPLICATED = "webhook delivered twice"
    WEBHOOK_LATE = "webhook late"


@dataclass(slots=True)
class _Record:
    made: Happening
    updates: list[Happening] = field(default_factory=list)
    people: list[Happening] = field(default_factory=list)
    is_deleted: bool = False

    def values(self, name: str) -> list[str]:
        """Every value that was written, the first included."""
        return [one.properties[name] for one in (self.made, *self.updates) if name in one.properties]


def oddities(world: World) -> Counter[Oddity]:
    """How often each occurs; an oddity that does not occur is 0."""
    contacts, deals = _records(world, CONTACTS), _records(world, DEALS)
    survivors = {one.key: one.new_key or one.key for one in world.happenings if one.what is What.MERGE}
    survivors |= {one.other: one.new_key or one.key for one in world.happenings if one.what is What.MERGE}
    counted: Counter[Oddity] = Counter(dict.fromkeys(Oddity, 0))
    for contact in contacts.values():
        counted.update(_of_contact(contact, world))
    for deal in deals.values():
        counted.update(_of_deal(deal, contacts, survivors))
    emails = Counter(one.made.properties.get("email", "").strip().lower() for one in contacts.values())
    counted[Oddity.SAME_EMAIL] = sum(count - 1 for email, count in emails.items() if email and email not in BAD_EMAILS)
    counted[Oddity.MERGED] = sum(one.what is What.MERGE for one in world.happenings)
    counted[Oddity.MERGED_ANEW] = sum(bool(one.new_key) for one in world.happenings)
    webhooks = Counter(one.webhook for one in world.happenings)
    counted[Oddity.WEBHOOK_LOST] = webhooks[Webhook.LOST]
    counted[Oddity.WEBHOOK_DUPLICATED] = webhooks[Webhook.DUPLICATED]
    counted[Oddity.WEBHOOK_LATE] = webhooks[Webhook.LATE]
    return counted


def _records(world: World, kind: str) -> Mapping[str, _Record]:
    records: dict[str, _Record] = {}
    updates: dict[str, list[Happening]] = defaultdict(list)
    for one in world.happenings:
        if one.kind != kind:
            continue
        match one.what:
            case What.CREATE:
                records[one.key] = _Record(one)
            case What.UPDATE:
                updates[one.key].append(one)
            case What.ASSOCIATE:
                records[one.key].people.append(one)
            case What.DELETE:
                records[one.key].is_deleted = True
            case What.MERGE:
                pass
    for key, listed in updates.items():
        if key in records:
            records[key].updates = listed
    return records


def _of_contact(contact: _Record, world: World) -> Iterator[Oddity]:
    properties = contact.made.properties
    email = properties.get("email", "")
    identifiers = ("email", "phone", "hs_google_click_id", "hs_facebook_click_id", "leadgen_id")
    consents = contact.values("ads_consent")
    found = {
        Oddity.BEFORE_START: contact.made.at < world.begins_at,
        Oddity.BAD_EMAIL: email in BAD_EMAILS,
        Oddity.UNREACHABLE: not any(properties.get(name) for name in identifiers),
        Oddity.HOSTILE_NAME: properties.get("lastname") in HOSTILE_NAMES,
        Oddity.OWN_PERSON: email.endswith(f"@{OWN_DOMAIN}"),
        Oddity.DENIED: properties.get("ads_consent") == "no",
        Oddity.EMPTY_CONSENT: not properties.get("ads_consent"),
        Oddity.GRANTED_LATER: properties.get("ads_consent") != "yes" and "yes" in consents,
        Oddity.WITHDRAWN: "yes" in consents and consents[-1] == "no",
        Oddity.DISQUALIFIED: "UNQUALIFIED" in contact.values("hs_lead_status"),
    }
    return (oddity for oddity, holds in found.items() if holds)


def _of_deal(deal: _Record, contacts: Mapping[str, _Record], survivors: Mapping[str, str]) -> Iterator[Oddity]:
    stages = deal.values("dealstage")
    labels = {one.label for one in deal.people}
    has_won, moves = WON_STAGE in stages, stages[1:]
    after_winning = stages[stages.index(WON_STAGE) + 1 :] if has_won else []
    found = {
        Oddity.SEVERAL_PEOPLE: len(deal.people) > 1,
        Oddity.DECISION_MAKER: DECISION_MAKER in labels,
        Oddity.PRIMARY: PRIMARY in labels,
        Oddity.PERSON_LATE: not deal.people or (deal.people[0].at - deal.made.at).days >= 1,
        Oddity.NEVER_QUALIFIED: bool(moves) and not _has_qualified(deal.people, contacts, survivors),
        Oddity.JUMPED: has_won and OPPORTUNITY_STAGE not in stages[: stages.index(WON_STAGE)],
        Oddity.EDITED: has_won and _amounts_after_winning(deal, given=True),
        Oddity.FILLED_LATE: has_won and _amounts_after_winning(deal, given=False),
        Oddity.REOPENED: WON_STAGE in after_winning and not _was_mistake(deal),
        Oddity.WON_BY_MISTAKE: WON_STAGE in after_winning and _was_mistake(deal),
        Oddity.LOST_AFTER_ALL: after_winning[-1:] == [LOST_STAGE],
        Oddity.DELETED_WON: deal.is_deleted and has_won,
        Oddity.DELETED_OPEN: deal.is_deleted and not has_won,
        Oddity.WITHOUT_ACCOUNT: "account" not in deal.made.properties,
        Oddity.NEVER_MOVED: not moves,
    }
    return (oddity for oddity, holds in found.items() if holds)


def _has_qualified(people: Sequence[Happening], contacts: Mapping[str, _Record], survivors: Mapping[str, str]) -> bool:
    """Whether anybody on the deal was qualified, under whatever key after a merge."""
    keys = {one.other for one in people}
    if keys & (survivors.keys() | set(survivors.values())):
        return True
    return any(QUALIFIED in contacts[key].values("lifecyclestage") for key in keys)


def _was_mistake(deal: _Record) -> bool:
    """Whether the deal was won again within the hour."""
    wins = [one.at for one in deal.updates if one.properties.get("dealstage") == WON_STAGE]
    return wins[-1] - wins[0] < timedelta(hours=1)


def _amounts_after_winning(deal: _Record, *, given: bool) -> bool:
    """Whether the amount was written again by itself after a win with (or without) an amount."""
    had_amount: bool | None = None
    for one in deal.updates:
        if one.properties.get("dealstage") == WON_STAGE and "amount" in one.properties:
            had_amount = bool(one.properties["amount"])
        elif "amount" in one.properties and had_amount is given:
            return True
    return False
