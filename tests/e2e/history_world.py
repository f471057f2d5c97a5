"""Random histories of a CRM, and the oracle: which conversions must come of them. Shares no code with the product."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from connectors.contract.records import ObjectKind
from tests.contract.crm_stage import Ability, CrmStage, Step

MICROS = 1_000_000
One = TypeVar("One")


class Act(StrEnum):
    """What people do in a CRM."""

    ADD_PERSON = "add_person"
    EDIT_PERSON = "edit_person"
    QUALIFY = "qualify"
    DISQUALIFY = "disqualify"
    ADD_DEAL = "add_deal"
    MOVE = "move"
    SET_AMOUNT = "set_amount"
    LINK = "link"
    MERGE_PEOPLE = "merge_people"
    DELETE_DEAL = "delete_deal"
    RESTORE_DEAL = "restore_deal"
    DELETE_PERSON = "delete_person"
    ADD_LEAD = "add_lead"
    QUALIFY_LEAD = "qualify_lead"
    CONVERT_LEAD = "convert_lead"


# What takes something out of the CRM's sight: it must have been read before, or nobody could know of it.
HIDES = frozenset({Act.DELETE_DEAL, Act.DELETE_PERSON, Act.MERGE_PEOPLE})

# A row of the database: milestone, whose, when, alive, implied, worth.
Fact = tuple[str, str, datetime, bool, bool, int | None]


@dataclass(eq=False)
class PersonFacts:
    """One human being, under all the refs that the CRM has had for them."""

    refs: set[str]
    ref: str
    is_lead: bool = False
    qualified: list[datetime] = field(default_factory=list)
    is_qualified: bool = False
    is_there: bool = True


@dataclass(eq=False)
class DealFacts:
    """A deal with all its steps."""

    ref: str
    steps: list[tuple[datetime, Step]]
    amount: int | None = None
    person: PersonFacts | None = None
    linked_at: datetime | None = None
    is_there: bool = True

    @property
    def step(self) -> Step:
        """Where it stands."""
        return self.steps[-1][1]


@dataclass
class World:
    """A CRM whose people do what chance says; what they did is remembered."""

    stage: CrmStage
    people: list[PersonFacts] = field(default_factory=list)
    deals: list[DealFacts] = field(default_factory=list)

    def do(self, act: Act, choice: int, at: datetime, late_by: timedelta | None) -> None:
        """Do it, where there is something to do it to; `choice` picks among what there is."""
        match act:
            case Act.ADD_PERSON:
                ref = self.stage.add_person(at, f"person{len(self.people)}@customer.example.com", late_by=late_by)
                self.people.append(PersonFacts({ref}, ref))
            case Act.ADD_DEAL:
                self._add_deal(choice, at, late_by)
            case Act.MOVE | Act.SET_AMOUNT | Act.LINK | Act.DELETE_DEAL | Act.RESTORE_DEAL:
                self._do_to_deal(act, choice, at, late_by)
            case Act.MERGE_PEOPLE:
                self._merge(choice, at)
            case Act.ADD_LEAD | Act.QUALIFY_LEAD | Act.CONVERT_LEAD:
                if Ability.LEAD_HISTORY in self.stage.abilities:
                    self._do_to_lead(act, choice, at)
            case _:
                self._do_to_person(act, choice, at, late_by)

    def _do_to_person(self, act: Act, choice: int, at: datetime, late_by: timedelta | None) -> None:
        person = _pick([one for one in self.people if one.is_there and not one.is_lead], choice)
        if person is None:
            return
        match act:
            case Act.EDIT_PERSON:
                self.stage.edit_person(person.ref, at, late_by=late_by)
            case Act.QUALIFY if not person.is_qualified:
                self.stage.qualify(person.ref, at, late_by=late_by)
                person.qualified.append(at)
                person.is_qualified = True
            case Act.DISQUALIFY if person.is_qualified:
                self.stage.disqualify(person.ref, at)
                person.is_qualified = False
            case Act.DELETE_PERSON if all(deal.person is not person for deal in self.deals):
                self.stage.delete(ObjectKind.CONTACT, person.ref, at)
                person.is_there = False
            case _:
                pass

    def _do_to_lead(self, act: Act, choice: int, at: datetime) -> None:
        if act is Act.ADD_LEAD:
            ref = self.stage.add_lead(at, f"lead{len(self.people)}@customer.example.com")
            self.people.append(PersonFacts({ref}, ref, is_lead=True))
            return
        lead = _pick([one for one in self.people if one.is_lead], choice)
        if lead is None:
            return
        if act is Act.QUALIFY_LEAD and not lead.is_qualified:
            self.stage.qualify_lead(lead.ref, at)
            lead.qualified.append(at)
            lead.is_qualified = True
        if act is Act.CONVERT_LEAD:
            contact, deal = self.stage.convert_lead(lead.ref, at)
            lead.refs.add(contact)
            # The contact's own qualification is another property.
            lead.ref, lead.is_lead, lead.is_qualified = contact, False, False
            self.deals.append(DealFacts(deal, [(at, Step.NEW)], person=lead, linked_at=at))

    def _add_deal(self, choice: int, at: datetime, late_by: timedelta | None) -> None:
        person = _pick([one for one in self.people if one.is_there and not one.is_lead], choice // 3) if choice % 3 else None
        step, amount = list(Step)[choice % 4], (choice + 1) * 10 if choice % 2 else None
        ref = self.stage.add_deal(at, step, amount=amount, person=None if person is None else person.ref, late_by=late_by)
        self.deals.append(DealFacts(ref, [(at, step)], amount, person, None if person is None else at))

    def _do_to_deal(self, act: Act, choice: int, at: datetime, late_by: timedelta | None) -> None:
        deal = _pick([one for one in self.deals if one.is_there is not (act is Act.RESTORE_DEAL)], choice)
        if deal is None:
            return
        match act:
            case Act.MOVE:
                step = list(Step)[choice // 7 % 4]
                if step is not deal.step:
                    self.stage.move(deal.ref, step, at, late_by=late_by)
                    deal.steps.append((at, step))
            case Act.SET_AMOUNT:
                deal.amount = (choice + 2) * 10
                self.stage.set_amount(deal.ref, deal.amount, at)
            case Act.LINK:
                person = _pick([one for one in self.people if one.is_there and not one.is_lead], choice // 5)
                if deal.person is None and person is not None:
                    self.stage.link(deal.ref, person.ref, at)
                    deal.person, deal.linked_at = person, at
            case Act.DELETE_DEAL:
                self.stage.delete(ObjectKind.DEAL, deal.ref, at)
                deal.is_there = False
            case _:
                self.stage.restore(ObjectKind.DEAL, deal.ref, at)
                deal.is_there = True

    def _merge(self, choice: int, at: datetime) -> None:
        there = [one for one in self.people if one.is_there and not one.is_lead]
        winner, loser = _pick(there, choice), _pick(there, choice // 3 + 1)
        if winner is None or loser is None or winner is loser:
            return
        winner.ref = self.stage.merge_people(winner.ref, loser.ref, at)
        winner.refs |= {*loser.refs, winner.ref}
        winner.qualified += loser.qualified
        for deal in self.deals:
            if deal.person is loser:
                deal.person = winner
        self.people.remove(loser)

    def expected(self) -> Iterator[Fact]:
        """Every conversion that must live, and every revenue that did."""
        for deal in self.deals:
            yield from _of_deal(deal)
        for person in self.people:
            implied = [at for deal in self.deals if deal.person is person and (at := _advanced_at(deal)) is not None]
            if person.qualified:
                yield "qualified_lead", person.ref, min(person.qualified), True, False, None
            elif implied:
                yield "qualified_lead", person.ref, min(implied), True, True, None

    def owner_of(self, ref: str) -> str:
        """The ref that a person goes by at the end."""
        return next((person.ref for person in self.people if ref in person.refs), ref)


def _advanced_at(deal: DealFacts) -> datetime | None:
    """When it first came to be an opportunity or was won."""
    return min((at for at, step in deal.steps if step in (Step.OPPORTUNITY, Step.WON)), default=None)


def _of_deal(deal: DealFacts) -> Iterator[Fact]:
    opened = [at for at, step in deal.steps if step is Step.OPPORTUNITY]
    won = [(place, at) for place, (at, step) in enumerate(deal.steps) if step is Step.WON]
    if opened or won:
        yield "opportunity", deal.ref, min(opened) if opened else won[0][1], True, not opened, None
    for place, at in won:
        is_live = place == len(deal.steps) - 1 and deal.is_there
        worth = deal.amount * MICROS if is_live and deal.amount is not None else None
        yield "closed_revenue", deal.ref, at, is_live, False, worth


def _pick(among: list[One], choice: int) -> One | None:
    return among[choice % len(among)] if among else None
