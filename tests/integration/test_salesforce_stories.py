"""Salesforce's leads, contacts and opportunities become one person each, whenever they are polled on their way."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.contract.crm_stage import Clock
from tests.integration.salesforce_rig import BEGINS_AT, CLICK, LeadStage, Story, story_at

DAY = timedelta(days=1)
CLOSES = {"CloseDate": "2026-12-31"}

Step = Callable[[Story, datetime], None]


def lead(name: str = "L", *, company: str | None = "Acme") -> Step:
    """Somebody fills in a form, with a click."""

    def do(story: Story, at: datetime) -> None:
        fields = {"LastName": "Doe", "Company": company, "Email": "jane@x.example", CLICK: f"click-{name}"}
        story.names[name] = story.org.create("Lead", fields, at)

    return do


def contact(name: str) -> Step:
    """A contact of whom nothing is to be sent by itself."""

    def do(story: Story, at: datetime) -> None:
        story.names[name] = story.org.create("Contact", {"LastName": "Doe", "Email": f"{name}@x.example"}, at)

    return do


def convert(*, into: str | None = None, has_deal: bool = True, has_role: bool = True) -> Step:
    """The lead becomes a contact (a new one, or one that is there), and an opportunity."""

    def do(story: Story, at: datetime) -> None:
        made = story.org.convert_lead(
            story.names["L"],
            at,
            contact_id=None if into is None else story.names[into],
            opportunity={"StageName": "Prospecting", **CLOSES} if has_deal else None,
            has_role=has_role,
        )
        story.names.setdefault(into or "C", made.contact_id)
        if made.opportunity_id is not None:
            story.names["D"] = made.opportunity_id

    return do


def deal(stage: str, amount: int | None = None, *, contact: str | None = None) -> Step:
    """An opportunity that somebody makes by hand."""

    def do(story: Story, at: datetime) -> None:
        story.names["D"] = story.org.create("Opportunity", {"Name": "D", "StageName": stage, "Amount": amount, **CLOSES}, at)
        if contact is not None:
            story.org.add_role(story.names["D"], story.names[contact], at=at)

    return do


def status(to: str) -> Step:
    """The lead's status changes."""
    return lambda story, at: story.org.update("Lead", story.names["L"], {"Status": to}, at)


def move(*stages: str, amount: int = 100) -> Step:
    """The opportunity goes through these stages within one second."""

    def do(story: Story, at: datetime) -> None:
        for stage in stages:
            story.org.update("Opportunity", story.names["D"], {"StageName": stage, "Amount": amount}, at)

    return do


def merge(kind: str, winner: str, loser: str) -> Step:
    """Two records become one."""
    return lambda story, at: story.org.merge(kind, story.names[winner], story.names[loser], at)


def delete(kind: str, name: str) -> Step:
    """Into the recycle bin."""
    return lambda story, at: story.org.delete(kind, story.names[name], at)


def undelete(kind: str, name: str) -> Step:
    """Out of the recycle bin."""
    return lambda story, at: story.org.undelete(kind, story.names[name], at)


WON = move("Closed Won")


@dataclass(frozen=True, slots=True)
class Told:
    """Steps, and what must live at their end: milestones by the step that made them."""

    steps: tuple[Step, ...]
    living: Sequence[tuple[str, int]]
    people: Sequence[str]


STORIES = {
    "converted": Told(
        (lead(), status("Qualified"), convert(), move("Qualification"), WON),
        [("closed_revenue", 4), ("lead", 0), ("opportunity", 3), ("qualified_lead", 1)],
        ["C", "L"],
    ),
    "without a role": Told(
        (lead(), convert(has_role=False), WON), [("closed_revenue", 2), ("lead", 0), ("qualified_lead", 1)], ["C", "L"]
    ),
    "into a contact that is there": Told(
        (contact("C"), lead(), convert(into="C", has_role=False), WON),
        [("closed_revenue", 3), ("lead", 1), ("qualified_lead", 2)],
        ["C", "L"],
    ),
    "without an opportunity": Told(
        (lead(), convert(has_deal=False), deal("Prospecting", contact="C"), WON),
        [("closed_revenue", 3), ("lead", 0), ("qualified_lead", 1)],
        ["C", "L"],
    ),
    "a person account": Told(
        (lead(company=None), convert(has_role=False), WON),
        [("closed_revenue", 2), ("lead", 0), ("qualified_lead", 1)],
        ["C", "L"],
    ),
    "contacts merged afterwards": Told(
        (lead(), convert(), contact("K"), merge("Contact", "K", "C"), WON),
        [("closed_revenue", 4), ("lead", 0), ("qualified_lead", 1)],
        ["C", "K", "L"],
    ),
    "leads merged before": Told(
        (lead(), lead("M"), merge("Lead", "L", "M"), convert(), WON),
        [("closed_revenue", 4), ("lead", 0), ("qualified_lead", 3)],
        ["C", "L", "M"],
    ),
    "deleted and restored": Told(
        (
            lead(),
            delete("Lead", "L"),
            undelete("Lead", "L"),
            convert(),
            WON,
            delete("Opportunity", "D"),
            undelete("Opportunity", "D"),
        ),
        [("closed_revenue", 4), ("lead", 0), ("qualified_lead", 3)],
        ["C", "L"],
    ),
}


async def _told(template: Path, folder: Path, steps: Sequence[Step], polls: Sequence[bool]) -> tuple[Story, list[datetime]]:
    """A story told on a fresh database, and the instants of its steps."""
    shutil.copy(template, folder / "leadloop.db")
    stage = LeadStage(Clock(BEGINS_AT))
    story = await story_at(f"sqlite:///{folder / 'leadloop.db'}", folder, stage)
    instants: list[datetime] = []

    def timed(step: Step) -> Step:
        def do(told: Story, at: datetime) -> None:
            instants.append(at)
            step(told, at)

        return do

    await story.tell([timed(step) for step in steps], polls)
    return story, instants


@pytest.mark.parametrize("name", sorted(STORIES))
@pytest.mark.parametrize("when", ["never", "after every second step", "after every step"])
async def test_a_lead_and_what_it_became_are_one_person_with_its_click(
    sqlite_template: Path, tmp_path: Path, name: str, when: str
) -> None:
    """The click id stands on the lead, the sale on the opportunity: apart, the ad platform hears of neither."""
    told = STORIES[name]
    polls = [
        when == "after every step" or (when == "after every second step" and place % 2 == 1) for place in range(len(told.steps))
    ]

    story, instants = await _told(sqlite_template, tmp_path, told.steps, polls)

    assert await story.living() == [(milestone, instants[place]) for milestone, place in told.living]
    assert await story.people() == [list(told.people)]
    assert await story.clicks_on_deals() == [("D", "click-L")]
    await story.rig.close()


async def test_a_converted_lead_that_is_deleted_before_the_next_poll_is_still_its_contact(
    sqlite_template: Path, tmp_path: Path
) -> None:
    """Some orgs tidy up at once: the row in the recycle bin is the last that knows who it was."""
    steps = (lead(), convert(), delete("Lead", "L"), WON)

    story, _ = await _told(sqlite_template, tmp_path, steps, (True, False, False, False))

    assert await story.people() == [["C", "L"]]
    assert await story.clicks_on_deals() == [("D", "click-L")]
    await story.rig.close()


@pytest.mark.parametrize("is_polled", [False, True])
async def test_a_deal_made_as_won_reopened_and_won_again_is_won_at_its_last_instant(
    sqlite_template: Path, tmp_path: Path, *, is_polled: bool
) -> None:
    """One sale lives, worth the latest amount; what was edited afterwards is no second sale."""
    steps = (deal("Closed Won", 5), move("Prospecting"), move("Closed Won", amount=6), move("Closed Won", amount=9))

    story, instants = await _told(sqlite_template, tmp_path, steps, [is_polled] * 4)

    assert await story.living() == [("closed_revenue", instants[2])]
    await story.rig.close()


@pytest.mark.parametrize(("stages", "is_won"), [(("Closed Won", "Prospecting"), False), (("Prospecting", "Closed Won"), True)])
async def test_of_several_stages_in_one_second_the_last_one_counts(
    sqlite_template: Path, tmp_path: Path, stages: tuple[str, ...], *, is_won: bool
) -> None:
    """A flow that takes back what another one set does so within the second: nobody earned that money."""
    steps = (deal("Qualification"), move(*stages))

    story, _ = await _told(sqlite_template, tmp_path, steps, (False, False))

    assert [name for name, _ in await story.living() if name == "closed_revenue"] == ["closed_revenue"] * is_won
    await story.rig.close()


async def test_the_first_pull_goes_back_as_far_as_the_mapping_says(sqlite_template: Path, tmp_path: Path) -> None:
    """Others take two years, or none, and do not say so."""

    def sold(name: str, days: int) -> Step:
        def do(story: Story, at: datetime) -> None:
            fields = {"Name": name, "StageName": "Closed Won", "Amount": 5, **CLOSES}
            story.names[name] = story.org.create("Opportunity", fields, at - days * DAY)

        return do

    def lose_webhooks(story: Story, _: datetime) -> None:
        story.rig.stage.webhooks()

    steps = (sold("older", 31), sold("newer", 29), lose_webhooks)
    story, instants = await _told(sqlite_template, tmp_path, steps, (False, False, True))

    (row,) = await story.rig.services.sources()
    context = await story.rig.services.contexts.of_source(row)
    assert context is not None
    assert (context.document.history, context.start) == (30 * DAY, BEGINS_AT)
    assert await story.living() == [("closed_revenue", instants[1] - 29 * DAY)]
    await story.rig.close()
