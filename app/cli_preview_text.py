"""A preview and a reapply as text for a terminal (pure)."""

from collections.abc import Iterator, Mapping, Sequence

from app.bootstrap.preview_model import DestinationPreview, MilestonePreview, Origin, Preview, Sample
from app.ingest.reapply_repository import ReapplyRow
from connectors.contract.conversions import Money


def preview_lines(one: Preview) -> Iterator[str]:
    """What a version would do: conversions, destinations, identifiers, examples."""
    yield from _heading(one)
    yield ""
    yield "conversions: how many count and what they are worth, with the active version and with this one"
    for name, milestone in one.milestones.items():
        yield f"  {name}: {_milestone(milestone)}"
    for name, destination in one.destinations.items():
        yield ""
        yield from _destination(name, destination)
    if one.samples:
        yield ""
        yield "examples"
    for sample in one.samples:
        yield from _sample(sample)


def changes_lines(one: Preview) -> Iterator[str]:
    """Only what is different from the active version: the plan of a reapply."""
    for name, milestone in one.milestones.items():
        if milestone.new or milestone.revalued or milestone.ended:
            yield f"  {name}: {_milestone(milestone)}"
    for name, destination in one.destinations.items():
        said = _counted(
            {"to be sent": destination.sendable, "restated": destination.restates, "taken back": destination.retracts}
        )
        if said:
            yield f"  {name}: {said}"


def reapply_line(one: ReapplyRow) -> str:
    """How a reapply stands."""
    state = f"given up: {one.given_up}" if one.given_up else "under way" if one.is_open else "done"
    counts = _counted({"new conversions": one.conversions, "revalued": one.revalued, "ended": one.ended})
    return f"version {one.version}, {state}: {one.seen:,} records looked at; {counts or 'nothing changed'}"


def _heading(one: Preview) -> Iterator[str]:
    version = f"version {one.version}" if one.version else "this file"
    against = "no version is active" if one.against is None else f"version {one.against} is active"
    where = "stored" if one.origin is Origin.STORED else "from the CRM, read for this and not kept"
    yield f"{version} ({against}), on {one.records:,} records {where}{'' if one.is_whole else '; there may be more'}"
    yield f"what happened before {one.active_since:%Y-%m-%d %H:%M} UTC is counted and not sent"
    if one.reads_more:
        told = ", ".join(one.reads_more)
        yield f"it reads what is not stored of: {told}. This tells too little; --from crm looks at the CRM's own records"


def _milestone(one: MilestonePreview) -> str:
    before, after = one.worth()
    counts = f"{one.before:,} -> {one.after:,}"
    changes = _counted({"new": one.new, "revalued": one.revalued, "ended": one.ended})
    worth = f"; worth {_money(before)} -> {_money(after)}" if before or after else ""
    gone = "" if one.is_mapped else "; not mapped any more: what was counted stays counted"
    return f"{counts}{f' ({changes})' if changes else ''}{worth}{gone}"


def _destination(name: str, one: DestinationPreview) -> Iterator[str]:
    yield f"{name}: {one.sendable:,} would go now"
    for word, reasons in (("would wait", one.waits), ("would not go", one.stopped)):
        yield from (f"  {count:,} {word}: {reason}" for reason, count in sorted(reasons.items(), key=lambda pair: -pair[1]))
    corrections = _counted({"restatements": one.restates, "retractions": one.retracts})
    if corrections:
        yield f"  corrections of what was sent: {corrections}"
    if one.people:
        having = ", ".join(f"{who} {count:,} ({count / one.people:.0%})" for who, count in one.identifiers.items() if count)
        yield f"  of {one.people:,} people it could know by: {having or 'nothing that it takes'}"


def _sample(one: Sample) -> Iterator[str]:
    value = "" if one.value is None else f", {_money([one.value])} ({one.value_why})"
    implied = ", implied" if one.is_implied else ""
    ref = f"{one.ref.kind.value}:{one.ref.external_id}"
    yield f"  {ref} {one.milestone} {one.occurred_at:%Y-%m-%d %H:%M}: {one.fate.value}{implied}{value}"
    yield f"    {one.why}{f'; excluded: {one.excluded}' if one.excluded else ''}"
    for name, fate in one.destinations.items():
        yield f"    {name}: {fate}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _money(worth: Sequence[Money]) -> str:
    return " + ".join(f"{one.quantised():,} {one.currency}" for one in worth) or "nothing"
