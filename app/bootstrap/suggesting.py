"""A first mapping for a source: its CRM is described now, whether the source is stored or only in the config file."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.bootstrap.rounds import SourceUnknown
from app.bootstrap.services import Services
from app.config import ConfigInvalid, FileConfig, FileSection, Mistake
from app.connections.repository import Role, SourceRow
from app.connections.settings import resolve_settings
from app.mapping.suggest import Suggestion, suggest
from connectors.contract.source import CrmSource


@dataclass(frozen=True, slots=True)
class _Found:
    kind: str
    connector: CrmSource


async def suggested(services: Services, name: str, config: FileConfig | None = None) -> Suggestion:
    """Draft a mapping; the config file's section of a source goes before the stored one.

    SourceUnknown where neither is there, ConfigInvalid where the file's section cannot be used, ConnectorError where the CRM
    does not answer. Nothing is stored.
    """
    stored = {row.name: row for row in await services.sources()}
    section = None if config is None else config.sources.get(name)
    found = _of_file(services, name, section) if section is not None else _of_store(services, name, stored)
    kinds = {row.name: row.kind for row in await services.destinations()}
    kinds |= {} if config is None else {other: one.kind for other, one in config.destinations.items()}
    return suggest(found.kind, await found.connector.describe(), kinds)


def _of_file(services: Services, name: str, section: FileSection) -> _Found:
    mistakes = services.openers.check_section(Role.SOURCE, name, section)
    if mistakes:
        paths = [f"sources.{name}.{one.path}".rstrip(".") for one in mistakes]
        raise ConfigInvalid([Mistake(path, one.message, one.nearest) for path, one in zip(paths, mistakes, strict=True)])
    allows = services.settings.allow_custom_base_urls
    settings = resolve_settings(section.settings, services.environ, allow_custom_base_urls=allows)
    return _Found(section.kind, services.openers.source(name, section.kind, settings))


def _of_store(services: Services, name: str, stored: Mapping[str, SourceRow]) -> _Found:
    if name not in stored:
        raise SourceUnknown(f"no source is named {name!r}; there are: {', '.join(sorted(stored)) or 'none'}. Is its file named?")
    return _Found(stored[name].kind, services.openers.stored_source(stored[name]))
