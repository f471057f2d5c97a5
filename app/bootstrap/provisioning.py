"""Creating at a platform what the active mappings need: what is wanted, the plan, the doing, and what to write down then."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from app.bootstrap.contexts import Contexts
from app.bootstrap.failures import NameUnknown
from app.bootstrap.openers import Openers
from app.connections import repository as connections
from app.connections.repository import DestinationRow
from app.db.instants import to_ms
from app.db.session import Database
from app.mapping.document import MappingDocument, Milestone
from app.reports.platforms import Ability
from connectors.contract.conversions import Target
from connectors.contract.destination import AdDestination
from connectors.contract.provisioning import PlannedTarget, Provision, Provisions, WantedTarget

log = structlog.get_logger()

# A destination that no mapping names yet is offered every milestone but this: platforms learn from what is good.
NOT_OFFERED = frozenset({"disqualified"})
DOING = frozenset({Provision.CREATE, Provision.CHANGE})


class ProvisionRefused(Exception):
    """Nothing can be created for this destination; the message says what a person does instead."""


@dataclass(frozen=True, slots=True)
class Want:
    """A target that milestones of some sources need. `unmapped`: the sources whose mapping does not name it yet."""

    wanted: WantedTarget
    milestone: str
    unmapped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProvisionPlan:
    """What is wanted at a destination and what was planned, or done, for each."""

    destination: str
    kind: str
    wants: Sequence[Want]
    planned: Sequence[PlannedTarget]

    @property
    def has_work(self) -> bool:
        """Whether anything is to be created or changed."""
        return any(one.action in DOING for one in self.planned)

    @property
    def is_blocked(self) -> bool:
        """Whether a person must act for one of them."""
        return any(one.action is Provision.BLOCKED for one in self.planned)

    def lines(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        """What the mappings shall name and do not: by source and milestone, the settings of the target."""
        found: dict[str, dict[str, Mapping[str, str]]] = {}
        for want, planned in zip(self.wants, self.planned, strict=True):
            if planned.target is None or planned.action is Provision.BLOCKED:
                continue
            for source in want.unmapped:
                found.setdefault(source, {})[want.milestone] = dict(planned.target.settings)
        return found


@dataclass(frozen=True, slots=True)
class Provisioning:
    """Plans and creates what one destination needs."""

    database: Database
    clock: Callable[[], datetime]
    openers: Openers
    contexts: Contexts

    async def plan(self, name: str) -> ProvisionPlan:
        """What is there and what would be done; reads only. NameUnknown, ProvisionRefused, or a ConnectorError."""
        row, connector, wants = await self._wants(name)
        return ProvisionPlan(row.name, row.kind, wants, await _asked(connector.plan, wants))

    async def provision(self, name: str) -> ProvisionPlan:
        """Do it, and say what was done. Raises as `plan`; what was made before a failure is found by the next run."""
        row, connector, wants = await self._wants(name)
        done = ProvisionPlan(row.name, row.kind, wants, await _asked(connector.provision, wants))
        made = [one.milestone for one in done.planned if one.action in DOING]
        async with self.database.write() as connection:
            subjects = [f"destinations.{row.name}.{milestone}" for milestone in made]
            await connections.add_audit(connection, "cli", "provisioned", subjects, to_ms(self.clock()))
        log.info("targets.provisioned", destination=row.name, milestones=made)
        return done

    async def _wants(self, name: str) -> tuple[DestinationRow, Provisions, Sequence[Want]]:
        async with self.database.read() as connection:
            rows = {row.name: row for row in await connections.list_destinations(connection)}
            sources = await connections.list_sources(connection)
        if name not in rows:
            raise NameUnknown("destination", name, rows)
        row = rows[name]
        connector: AdDestination | None = None
        if Ability.PROVISIONS in self.openers.abilities(row.kind):
            connector = self.openers.stored_destination(row)
        if not isinstance(connector, Provisions):
            raise ProvisionRefused(_by_hand(row, sorted(self.openers.limits(row.kind).target_settings)))
        documents = []
        for source in sources:
            context = await self.contexts.of_source(source)
            if context is not None:
                documents.append((source.name, context.document))
        wants = wants_of(documents, name)
        if not wants:
            raise ProvisionRefused(
                f"no active mapping wants anything at {name}: `leadloop init SOURCE` drafts a mapping, `leadloop apply FILE` "
                "activates it; a milestone that it maps to null is not wanted"
            )
        return row, connector, wants


def wants_of(documents: Sequence[tuple[str, MappingDocument]], destination: str) -> Sequence[Want]:
    """What the mappings (by source) need at a destination: one want for each milestone, or for each target where they differ."""
    mapped: dict[str, dict[Target, list[tuple[str, Milestone]]]] = {}
    unmapped: dict[str, list[tuple[str, Milestone]]] = {}
    for source, document in documents:
        targets = document.destinations.get(destination)
        for milestone in document.milestones:
            if targets is None:
                if milestone.name not in NOT_OFFERED:
                    unmapped.setdefault(milestone.name, []).append((source, milestone))
            elif isinstance(target := targets.get(milestone.name), dict):
                settings = Target.of({key: str(value) for key, value in target.items()})
                mapped.setdefault(milestone.name, {}).setdefault(settings, []).append((source, milestone))
    found = []
    for name in dict.fromkeys(one.name for _, document in documents for one in document.milestones):
        targets_of, lacking = mapped.get(name, {}), unmapped.get(name, [])
        for target, naming in targets_of.items():
            label = name if len(targets_of) == 1 else f"{naming[0][0]}.{name}"
            want = _want(label, name, target, [one for _, one in naming])
            # Another source's mapping names the one target there is: it serves this milestone of all.
            found.append(replace(want, unmapped=tuple(one for one, _ in lacking)) if len(targets_of) == 1 else want)
        if lacking and len(targets_of) != 1:
            want = _want(name, name, None, [one for _, one in lacking])
            found.append(replace(want, unmapped=tuple(one for one, _ in lacking)))
    return found


def _want(label: str, milestone: str, target: Target | None, among: Sequence[Milestone]) -> Want:
    values = [one.value for one in among if one.value is not None]
    currencies = {one.currency for one in values}
    currency = currencies.pop() if len(currencies) == 1 and len(values) == len(among) else None
    name = f"Leadloop: {milestone.replace('_', ' ')}"
    return Want(WantedTarget(label, target, name, takes_value=bool(values), currency=currency), milestone)


async def _asked(
    ask: Callable[[Sequence[WantedTarget]], Awaitable[Sequence[PlannedTarget]]], wants: Sequence[Want]
) -> Sequence[PlannedTarget]:
    """One answer for each want, in order; settings that lack something for it are told as what they are."""
    try:
        return await ask([one.wanted for one in wants])
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise ProvisionRefused(str(error)) from error


def _by_hand(row: DestinationRow, settings: Sequence[str]) -> str:
    named = ", ".join(f"`{one}`" for one in settings)
    return (
        f"{row.name}: nothing is created at {row.kind} from here. Make what the milestones need by hand, as the README of "
        f"connectors/ads/{row.kind} says, name it in the mapping by {named}, then `leadloop check {row.name}`"
    )
