"""Whether the targets that a mapping names are there at the platforms: asked of them, counting nothing."""

from collections.abc import Mapping, Sequence

import structlog

from app.bootstrap.checking import TARGET
from app.bootstrap.openers import Openers
from app.connections import repository as connections
from app.db.session import Database
from app.mapping.document import MappingDocument
from app.mapping.mistakes import Mistake
from connectors.contract.conversions import Target
from connectors.contract.findings import Finding, FindingStatus

log = structlog.get_logger()


async def missing_targets(database: Database, openers: Openers, document: MappingDocument) -> Sequence[Mistake]:
    """A mistake for each target that its platform says is not there or not fit; where it does not answer there is none."""
    async with database.read() as connection:
        rows = {row.name: row for row in await connections.list_destinations(connection)}
    mistakes: list[Mistake] = []
    for name in document.destinations:
        targets = targets_of(document, name)
        if name not in rows or not targets:
            continue
        try:
            findings = await openers.stored_destination(rows[name]).check(targets)
        except Exception as error:  # noqa: BLE001 whatever keeps a platform from answering says nothing of the mapping
            log.warning("targets.not_proved", destination=name, error=type(error).__name__)
            continue
        mistakes += [_mistake(name, one) for one in findings if _is_wrong(one, targets)]
    return mistakes


def targets_of(document: MappingDocument, destination: str) -> Mapping[str, Target]:
    """By milestone, where a destination's conversions would go."""
    named = document.destinations[destination]
    found = {one.name: named.get(one.name) for one in document.milestones}
    return {
        name: Target.of({str(key): str(value) for key, value in target.items()})
        for name, target in found.items()
        if isinstance(target, Mapping)
    }


def _is_wrong(finding: Finding, targets: Mapping[str, Target]) -> bool:
    return finding.status is FindingStatus.FAILED and finding.subject.removeprefix(TARGET) in targets


def _mistake(destination: str, finding: Finding) -> Mistake:
    milestone = finding.subject.removeprefix(TARGET)
    said = f"{finding.message}; {finding.mend}" if finding.mend else finding.message
    return Mistake(f"destinations.{destination}.{milestone}", said)
