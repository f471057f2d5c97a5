"""Mappings of a file, checked without a database, a CRM or a platform: what can be said of them by themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.config import FileConfig, FileSection, MappingSection
from app.mapping.checking import check_fields, check_targets
from app.mapping.document import parse_document
from app.mapping.mistakes import DocumentInvalid, Mistake, nearest
from app.mapping.warnings import MappingWarning, warnings_of
from connectors import registry
from connectors.contract.destination import DestinationLimits


@dataclass(frozen=True, slots=True)
class Linted:
    """One mapping's mistakes and warnings, their paths as in the file."""

    source: str
    mistakes: Sequence[Mistake] = ()
    warnings: Sequence[MappingWarning] = ()


def lint(config: FileConfig) -> Sequence[Linted]:
    """Look at every mapping of a file, in its order; that the CRM has what they name is not asked here."""
    limits = {name: one for name, section in config.destinations.items() if (one := _limits(section)) is not None}
    return [_linted(name, section, config, limits) for name, section in config.mappings.items()]


def _limits(section: FileSection) -> DestinationLimits | None:
    connector = registry.DESTINATIONS.get(section.kind)
    return None if connector is None else connector.limits


def _linted(name: str, section: MappingSection, config: FileConfig, limits: Mapping[str, DestinationLimits]) -> Linted:
    root = f"mappings.{name}" if name else ""
    try:
        document = parse_document(dict(section.data))
    except DocumentInvalid as invalid:
        return Linted(name, [_placed(root, one) for one in invalid.mistakes])
    settings = {destination: one.target_settings for destination, one in limits.items()}
    mistakes = [_placed(root, one) for one in (*check_fields(document), *check_targets(document, settings))]
    if name and config.sources and name not in config.sources:
        mistakes.insert(0, Mistake(root, "the file has no source of this name", nearest(name, list(config.sources))))
    unknown = [one for one in document.destinations if config.destinations and one not in config.destinations]
    warnings = [_unknown(one, config) for one in unknown] + list(warnings_of(document, limits))
    return Linted(name, mistakes, [MappingWarning(_path(root, one.path), one.message) for one in warnings])


def _unknown(destination: str, config: FileConfig) -> MappingWarning:
    """It may have been made over REST, so that only the database knows."""
    close = nearest(destination, list(config.destinations))
    meant = f" (did you mean `{close}`?)" if close else ""
    return MappingWarning(f"destinations.{destination}", f"the file has no destination of this name{meant}")


def _placed(root: str, mistake: Mistake) -> Mistake:
    return Mistake(_path(root, mistake.path), mistake.message, mistake.nearest)


def _path(root: str, path: str) -> str:
    return f"{root}.{path}" if root and path else root or path
