"""The oracle: from the world and the meaning of the demo's mapping, the conversions and deliveries that must come out.

It is told when ticks are, and who recorded what with which id; it shares no code with the product.
"""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from app.demo.world import World
from tests.e2e.oracle_crm import OPPORTUNITY_STAGE, QUALIFIED, UNQUALIFIED, WON_STAGE, Contact, Crm, Deal, ref_order
from tests.e2e.oracle_platforms import LATEST_VERDICT, STEP, Delivery, Google, Platform, decide

MICROS = 1_000_000
OWN_PEOPLE = "@leadloop-demo.example"
OPPORTUNITY_PROBABILITY = Decimal("0.4")
QUALIFIED_MICROS = 50 * MICROS
NOT_TRIED_AGAIN = ("withdrawn", "superseded", "duplicate", "unsupported")


@dataclass(slots=True, eq=False)
class Conversion:
    """What must stand in the ledger. `value` is one of none, ready, without, wait; `ended_why` is empty while it lives."""

    uid: str
    milestone: str
    scope_kind: str
    scope_ref: str
    occurrence: int
    occurred_at: datetime
    is_implied: bool
    owner: Contact | Deal
    value: str = "none"
    micros: int | None = None
    ended_why: str = ""
    duplicate_of: str | None = None
    is_excluded: bool = False
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        """Whether it still holds."""
        return not self.ended_why

    @property
    def was_tried(self) -> bool:
        """Whether a platform was told of it."""
        return any(each.kind == "upload" and each.sent_at is not None for each in self.deliveries)

    @property
    def currency(self) -> str | None:
        """All amounts of the demo are in one currency."""
        return None if self.micros is None else "USD"


def conversion_id(account: str, scope_kind: str, scope_ref: str, milestone: str, occurrence: int) -> str:
    """The id as the documentation of the mapping defines it."""
    digest = hashlib.sha256(f"{account}|{scope_kind}|{scope_ref}|{milestone}|{occurrence}".encode()).digest()
    return ("ll" + base64.b32encode(digest).decode().lower())[:28]


def expected_ledger(
    world: World,
    ids: Mapping[str, str],
    account: str,
    platforms: Sequence[Platform],
    until: datetime,
    verdicts: Mapping[str, datetime] | None = None,
) -> Mapping[str, Conversion]:
    """All conversions by id after the last tick at or before `until`.

    `verdicts`: when Google had its late verdict on a conversion, by id (Google takes up to a day, as it likes).
    """
    oracle = Oracle(Crm(ids), account, platforms, world.begins_at, Google.knowing(world), verdicts or {})
    waiting = list(reversed(world.happenings))
    now = world.begins_at
    while now + STEP <= until:
        now += STEP
        touched: set[Contact | Deal] = set()
        while waiting and waiting[-1].at <= now:
            touched |= oracle.crm.apply(waiting.pop())
        oracle.tick(touched, now)
    return {one.uid: one for one in oracle.conversions()}


@dataclass(slots=True)
class Oracle:
    """Conversions by the contact or deal that they are of, kept up tick by tick."""

    crm: Crm
    account: str
    platforms: Sequence[Platform]
    start: datetime
    google: Google
    verdicts: Mapping[str, datetime]
    held: dict[Contact | Deal, dict[str, list[Conversion]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    by_email: dict[tuple[str, str], list[Conversion]] = field(default_factory=lambda: defaultdict(list))
    seen_deals: set[Deal] = field(default_factory=set)
    open: list[tuple[Conversion, Delivery]] = field(default_factory=list)

    def conversions(self) -> Iterator[Conversion]:
        """All of them."""
        return (one for by_milestone in self.held.values() for listed in by_milestone.values() for one in listed)

    def tick(self, touched: Collection[Contact | Deal], now: datetime) -> None:
        """What one pull and the sending after it must do."""
        gone = {old for old, _ in self.crm.merged}
        self._join_merged()
        contacts = {one for one in touched if isinstance(one, Contact)} - gone
        deals = {one for one in touched if isinstance(one, Deal)}
        self.seen_deals |= {deal for deal in deals if deal.deleted_at is None}
        deals &= self.seen_deals
        contacts |= {person for deal in deals for person in deal.people}
        self._record_people(contacts, now)
        for deal in sorted(deals, key=lambda one: ref_order(one.id)):
            self._record_deal(deal, now)
        self._settle_twins(now)
        self._reconsider({*contacts, *deals}, now)
        self._send(now)

    def _join_merged(self) -> None:
        for old, survivor in self.crm.merged:
            for milestone, listed in self.held.pop(old, {}).items():
                self.held[survivor][milestone] += listed
                for one in listed:
                    one.owner = survivor
        self.crm.merged.clear()

    # People

    def _record_people(self, contacts: Collection[Contact], now: datetime) -> None:
        """Earlier entries first: of two records of one e-mail the earlier counts."""
        found = [
            (at, milestone, contact)
            for contact in contacts
            if self._is_stored(contact)
            for milestone, at in self._entries_of(contact)
        ]
        for at, milestone, contact in sorted(found, key=lambda one: (one[0], ref_order(one[2].smallest_ref))):
            listed = self.held[contact][milestone]
            if not listed:
                self._make(contact, milestone, at, 0, now)
            elif listed[0].is_implied:
                self._make_real(listed[0], at, now)
        for contact in contacts:
            for listed in self.held[contact].values():
                self._keep_the_earliest(listed, now)

    def _is_stored(self, contact: Contact) -> bool:
        """A person from before the start is known only with another entry or a deal."""
        has_entry = bool(contact.lifecycle.entries_into(QUALIFIED) or contact.status.entries_into(UNQUALIFIED))
        return contact.created_at >= self.start or has_entry or any(deal in self.seen_deals for deal in contact.deals)

    def _entries_of(self, contact: Contact) -> Iterator[tuple[str, datetime]]:
        yield "lead", contact.created_at
        for at in contact.lifecycle.entries_into(QUALIFIED)[:1]:
            yield "qualified_lead", at
        for at in contact.status.entries_into(UNQUALIFIED)[:1]:
            yield "disqualified", at

    def _keep_the_earliest(self, listed: Sequence[Conversion], now: datetime) -> None:
        """After a merge two may stand in one scope; what counted until then counts on."""
        live = sorted(
            (one for one in listed if one.is_live),
            key=lambda one: (one.duplicate_of is not None, one.is_implied, one.occurred_at, one.uid),
        )
        for later in live[1:]:
            self._end(later, "duplicate_after_merge", now)

    def _settle_twins(self, now: datetime) -> None:
        """Of the records of one e-mail that nobody merged one counts: what was tried, else the earliest."""
        for members in self.by_email.values():
            by_uid = {one.uid: one for one in members}

            def is_bound(one: Conversion, by_uid: Mapping[str, Conversion] = by_uid) -> bool:
                counts = by_uid.get(one.duplicate_of or "")
                return counts is not None and counts.was_tried and not counts.is_live

            free = [one for one in members if one.is_live and not one.is_implied and not is_bound(one)]
            keeper = min(free, key=lambda one: (not one.was_tried, one.occurred_at, one.uid), default=None)
            for one in free:
                instead = None if keeper is None or one.owner is keeper.owner else keeper.uid
                if not one.was_tried and instead != one.duplicate_of:
                    one.duplicate_of = instead
                    self._turn(one, now)

    def _turn(self, one: Conversion, now: datetime) -> None:
        """A duplicate is not sent; what counts after all is, where its window is open."""
        for delivery in one.deliveries:
            is_early = one.occurred_at < self.start
            if one.duplicate_of is not None and (delivery.state == "pending" or delivery.reason == "before_start"):
                delivery.skip("duplicate")
            elif one.duplicate_of is None and delivery.reason == "duplicate":
                if is_early or now >= delivery.deadline:
                    delivery.skip("before_start" if is_early else "too_old")
                    continue
                delivery.wait("new")
                if (one, delivery) not in self.open:
                    self.open.append((one, delivery))

    # Deals

    def _record_deal(self, deal: Deal, now: datetime) -> None:
        real, stays = deal.stages.entries_into(OPPORTUNITY_STAGE), deal.won_stays()
        won = deal.stages.entries_into(WON_STAGE)
        listed = self.held[deal]["opportunity"]
        if real and not listed:
            self._make(deal, "opportunity", real[0], 0, now)
        elif real and listed[0].is_implied:
            self._make_real(listed[0], real[0], now)
        elif won and not listed:
            self._make(deal, "opportunity", won[0], 0, now, is_implied=True)
        for occurrence, (at, _, why) in enumerate(stays):
            revenue = self.held[deal]["closed_revenue"]
            if occurrence >= len(revenue):
                self._make(deal, "closed_revenue", at, occurrence, now, ended_why=why)
            elif why and revenue[occurrence].is_live:
                self._end(revenue[occurrence], why, now)
        if real or won:
            self._imply(deal, min([*real, *won]), now)
        for one in (*self.held[deal]["opportunity"], *self.held[deal]["closed_revenue"]):
            self._revalue(one, deal, now)

    def _imply(self, deal: Deal, at: datetime, now: datetime) -> None:
        """A deal implies the milestones of its person, as soon as it has one."""
        owner = deal.principal()
        if owner is None:
            return
        for milestone in ("lead", "qualified_lead"):
            if not self.held[owner][milestone]:
                self._make(owner, milestone, at, 0, now, is_implied=True)

    # Conversions

    def _make(
        self,
        owner: Contact | Deal,
        milestone: str,
        at: datetime,
        occurrence: int,
        now: datetime,
        *,
        is_implied: bool = False,
        ended_why: str = "",
    ) -> None:
        kind, ref = ("deal", owner.id) if isinstance(owner, Deal) else ("person", owner.smallest_ref)
        uid = conversion_id(self.account, kind, ref, milestone, occurrence)
        made = Conversion(uid, milestone, kind, ref, occurrence, at, is_implied, owner, ended_why=ended_why)
        made.value, made.micros = _valued(milestone, owner)
        if isinstance(owner, Contact) and owner.email:
            made.is_excluded = owner.email.endswith(OWN_PEOPLE)
            self.by_email[milestone, owner.email].append(made)
        self.held[owner][milestone].append(made)
        if not is_implied:
            self._owe(made)

    def _make_real(self, one: Conversion, at: datetime, now: datetime) -> None:
        one.is_implied, one.occurred_at = False, at
        self._owe(one)

    def _owe(self, one: Conversion) -> None:
        for platform in self.platforms:
            if one.milestone not in platform.milestones:
                continue
            delivery = Delivery(platform, "upload", 0, one.occurred_at + platform.longest_age)
            one.deliveries.append(delivery)
            if one.is_excluded:
                delivery.skip("excluded")
            elif one.occurred_at < self.start:
                delivery.skip("before_start")
            elif not one.is_live:
                delivery.skip("withdrawn")
            else:
                self.open.append((one, delivery))

    def _end(self, one: Conversion, why: str, now: datetime) -> None:
        """What was not tried is not sent; what was sent is owed a retraction, which the demo's grant does not let Google take."""
        one.ended_why = why
        for delivery in list(one.deliveries):
            if delivery.state == "pending":
                delivery.skip("withdrawn" if delivery.kind == "upload" else "superseded")
        for delivery in list(one.deliveries):
            if delivery.kind == "upload" and self._may_be_recorded(one, delivery, now):
                platform = delivery.platform
                deadline = one.occurred_at + platform.corrected_within
                retract = Delivery(platform, "retract", one_more(one, platform), deadline)
                one.deliveries.append(retract)
                if platform.retracts and now < deadline:
                    retract.not_before = delivery.sent_at_or(now) + platform.corrected_after
                    retract.corrects = delivery
                    self.open.append((one, retract))
                else:
                    retract.skip("unsupported")

    def _revalue(self, one: Conversion, deal: Deal, now: datetime) -> None:
        """A changed amount is owed as one restatement to whoever has the old one; a known value does not vanish."""
        value, micros = _valued(one.milestone, deal)
        if not one.is_live or (one.micros is not None and micros is None) or (value, micros) == (one.value, one.micros):
            return
        one.value, one.micros = value, micros
        for upload in [each for each in one.deliveries if each.kind == "upload" and self._may_be_recorded(one, each, now)]:
            for untried in one.deliveries:
                if untried.platform is upload.platform and untried.kind == "restate" and untried.state == "pending":
                    untried.skip("superseded")
            platform = upload.platform
            restate = Delivery(platform, "restate", one_more(one, platform), one.occurred_at + platform.corrected_within)
            one.deliveries.append(restate)
            if platform.restates and now < restate.deadline:
                restate.not_before = upload.sent_at_or(now) + platform.corrected_after
                restate.corrects = upload
                self.open.append((one, restate))
            else:
                restate.skip("unsupported")

    # Deliveries

    def _may_be_recorded(self, one: Conversion, upload: Delivery, now: datetime) -> bool:
        latest = upload.sent_at_or(now) + LATEST_VERDICT
        return upload.may_be_recorded(now, self.verdicts.get(one.uid, latest))

    def _reconsider(self, touched: Collection[Contact | Deal], now: datetime) -> None:
        """Consent granted, an identifier left, a person found: what was skipped for want of it is owed again in its window."""
        for owner in touched:
            wider: list[Contact | Deal] = [owner, *owner.deals] if isinstance(owner, Contact) else [owner]
            for one in (one for each in wider for listed in self.held[each].values() for one in listed):
                for delivery in one.deliveries:
                    lacked = delivery.state == "skipped" and delivery.reason in ("no_consent", "no_identifier")
                    if lacked and now < delivery.deadline and (one, delivery) not in self.open:
                        self.open.append((one, delivery))

    def _holds(self, one: Conversion, delivery: Delivery, now: datetime) -> bool:
        """A correction waits until the verdict on its upload was asked for; without a recorded upload it cannot be."""
        upload = delivery.corrects
        is_due = delivery.not_before is not None and delivery.not_before <= now < delivery.deadline
        if upload is None or not is_due or delivery.state != "pending":
            return False
        if now - STEP < self.verdicts.get(one.uid, upload.sent_at_or(now) + LATEST_VERDICT):
            delivery.wait("upload")
            return True
        if upload.state != "confirmed":
            delivery.skip("unsupported")
        return False

    def _is_counted_before(self, one: Conversion, delivery: Delivery, now: datetime) -> bool:
        """The platform counts an earlier stay that ended: that is taken back first, or stays, and this one is not sent."""
        for before in self.held[one.owner][one.milestone]:
            of_it = [each for each in before.deliveries if each.platform is delivery.platform]
            back = [each for each in of_it if each.kind == "retract"]
            is_there = any(each.kind == "upload" and self._may_be_recorded(before, each, now) for each in of_it)
            if before.occurrence < one.occurrence and not before.is_live and is_there and back:
                delivery.wait("earlier") if back[-1].state == "pending" else delivery.skip("still_counted")
                return True
        return False

    def _send(self, now: datetime) -> None:
        still: list[tuple[Conversion, Delivery]] = []
        for one, delivery in self.open:
            if self._holds(one, delivery, now):
                still.append((one, delivery))
                continue
            if delivery.state == "skipped" and delivery.reason in NOT_TRIED_AGAIN:
                continue
            if delivery.kind == "upload" and one.is_live and self._is_counted_before(one, delivery, now):
                still += [(one, delivery)] if delivery.state == "pending" else []
                continue
            people = list(one.owner.people) if isinstance(one.owner, Deal) else [one.owner]
            preference = one.owner.preference if isinstance(one.owner, Deal) else (lambda _person: ())
            person = decide(one, delivery, people, preference, now)
            if person is None and delivery.state == "pending":
                still.append((one, delivery))
            if person is not None:
                verdict = self.google.verdict(person, one.occurred_at, now) if delivery.kind == "upload" else "confirmed"
                delivery.send(one.micros, verdict, now)
        self.open = still


def one_more(one: Conversion, platform: Platform) -> int:
    """The next number in the line of a conversion's deliveries to a platform."""
    return 1 + max(each.number for each in one.deliveries if each.platform is platform)


def _valued(milestone: str, owner: Contact | Deal) -> tuple[str, int | None]:
    if milestone == "qualified_lead":
        return "ready", QUALIFIED_MICROS
    if milestone not in ("opportunity", "closed_revenue") or not isinstance(owner, Deal):
        return "none", None
    text = owner.values.get("amount", "")
    if not text:
        return ("without" if milestone == "opportunity" else "wait"), None
    micros = Decimal(text) * MICROS
    return "ready", int(micros * OPPORTUNITY_PROBABILITY if milestone == "opportunity" else micros)
