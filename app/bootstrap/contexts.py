"""The active mapping of each source, ready for recording and sending; and how a mapping of the config file is stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from app.bootstrap.openers import Openers
from app.config import ConnectionMode, FileConfig, Mistake
from app.connections import repository as connections
from app.connections.file import ApplyMapping
from app.connections.repository import DestinationRow, Role, SourceRow
from app.connections.schema_codec import decode_schema
from app.db.instants import from_ms, to_ms
from app.db.session import Database
from app.dispatch.model import MilestoneTerms, SourceTerms
from app.ingest.backfill import reaches_of
from app.ingest.context import DestinationTerms, SourceContext
from app.ingest.learning import learn
from app.mapping import fit_repository as fits
from app.mapping import repository as mappings
from app.mapping.aggregate import AccountFacts
from app.mapping.checking import check_document, check_rename
from app.mapping.document import MappingDocument, parse_document
from app.mapping.labels import Canonical, canonical
from app.mapping.mistakes import DocumentInvalid
from app.mapping.mistakes import Mistake as DocumentMistake
from app.mapping.rates import OLDEST as OLDEST_RATE
from app.mapping.rates import Rates
from app.mapping.repository import ActiveMapping, StoredVersion
from app.mapping.selection import selection_of
from app.mapping.values import parse_amount
from connectors.contract.conversions import Target
from connectors.contract.records import ObjectKind
from connectors.contract.source import SourceSchema

# For so long a context is believed without a look: another process may have applied something since.
FRESH = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A context, what it was made of, when that was looked at last, and whether currency rates and a fit are of it."""

    key: object
    context: SourceContext
    looked_at: datetime
    is_converting: bool
    is_learning: bool


class Contexts:
    """Reads the active mappings; a context is kept until `forget`, or until what it was made of changes."""

    def __init__(self, database: Database, openers: Openers, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._openers = openers
        self._clock = clock
        self._kept: dict[int, _Kept] = {}

    def forget(self) -> None:
        """Read everything anew."""
        self._kept.clear()

    def _fresh(self, source_id: int) -> SourceContext | None:
        kept = self._kept.get(source_id)
        return kept.context if kept is not None and timedelta(0) <= self._clock() - kept.looked_at < FRESH else None

    async def of_source(self, row: SourceRow) -> SourceContext | None:
        """The context of a source, None where no mapping is active or the CRM was never described."""
        fresh = self._fresh(row.id)
        if fresh is not None:
            return fresh
        now = self._clock()
        async with self._database.read() as connection:
            active = await mappings.active(connection, row.id)
            destinations = await connections.list_destinations(connection)
            if active is None or row.schema_json is None:
                return None
            kept = self._kept.get(row.id)
            rates_version = await mappings.rates_version(connection) if kept is None or kept.is_converting else 0
            named = tuple(
                (one.id, one.name, one.kind, one.mode, tuple(one.milestone_modes.items()), one.created_at) for one in destinations
            )
            fit_version = await fits.newest_version(connection, row.id) if kept is None or kept.is_learning else 0
            key = (active.version, row.schema_json, (row.mode, named), rates_version, fit_version)
            if kept is not None and kept.key == key:
                self._kept[row.id] = replace(kept, looked_at=now)
                return kept.context
            context = await self._read(connection, row, active, destinations)
        is_converting, is_learning = bool(_currencies(context.document, context.facts.schema)), bool(context.document.learns)
        key = (*key[:3], rates_version if is_converting else 0, fit_version if is_learning else 0)
        self._kept[row.id] = _Kept(key, context, now, is_converting, is_learning)
        return context

    async def of_version(self, row: SourceRow, version: StoredVersion) -> SourceContext | None:
        """The context that a source would have if this version were activated now; None where the CRM was never described.

        Where it learns values that no fit is made for, one is made for the look at it.
        """
        if row.schema_json is None:
            return None
        now_ms = to_ms(self._clock())
        async with self._database.read() as connection:
            active = await mappings.active(connection, row.id)
            destinations = await connections.list_destinations(connection)
            first = now_ms if active is None else active.first_activated_at
            would_be = ActiveMapping(version.version, version.document_json, now_ms, first)
            further = () if version.activated_at is not None else ((now_ms, version.document_json),)
            context = await self._read(connection, row, would_be, destinations, further)
        if not context.lacks_fit:
            return context
        async with self._database.read_long() as connection:
            return replace(context, fit=await learn(connection, context, from_ms(now_ms)))

    async def _read(
        self,
        connection: AsyncConnection,
        row: SourceRow,
        active: ActiveMapping,
        destinations: Sequence[DestinationRow],
        further_activations: Sequence[tuple[int, str]] = (),
    ) -> SourceContext:
        document = parse_document(orjson.loads(active.document_json))
        schema = decode_schema(row.schema_json or "")
        start = document.start or from_ms(active.first_activated_at)
        named_since = _named_since([*await mappings.activations(connection, row.id), *further_activations])
        currencies = _currencies(document, schema)
        oldest = min(start, from_ms(active.first_activated_at) - document.history) - OLDEST_RATE
        return SourceContext(
            id=row.id,
            name=row.name,
            kind=row.kind,
            document=document,
            facts=AccountFacts(row.kind, schema, active.version),
            selection=selection_of(document, schema),
            start=start,
            destinations=tuple(
                _terms(document, one, row, self._openers, named_since.get(one.name), active.first_activated_at)
                for one in destinations
                if one.name in document.destinations
            ),
            rates=await mappings.load_rates(connection, currencies, oldest.date()) if currencies else Rates(),
            fit=await fits.newest_fit(connection, row.id) if document.learns else None,
        )

    async def kinds_read_alike(self, context: SourceContext) -> frozenset[ObjectKind]:
        """The kinds that every mapping so far read as the active one does: what is stored of them was read for it."""
        async with self._database.read() as connection:
            activations = await mappings.activations(connection, context.id)
        alike = reaches_of(context.document, context.selection)
        for _, document_json in activations:
            try:
                document = parse_document(orjson.loads(document_json))
            except DocumentInvalid:  # stored by an older version of Leadloop, which took what this one does not
                return frozenset()
            before = reaches_of(document, selection_of(document, context.facts.schema))
            alike = {kind: reach for kind, reach in alike.items() if before.get(kind) == reach}
        return frozenset(alike)

    async def terms_of(self, source_id: int) -> SourceTerms:
        """What dispatching must know of a source's mapping."""
        context = self._fresh(source_id)
        if context is None:
            async with self._database.read() as connection:
                row = await connections.source_by_id(connection, source_id)
            context = None if row is None else await self.of_source(row)
        if context is None:
            return SourceTerms("", {})
        return terms_in(context)

    async def targets(self) -> Mapping[str, Mapping[str, Target]]:
        """By destination name: the targets over all active mappings, by milestone, or by `source.milestone` where they differ."""
        async with self._database.read() as connection:
            sources = await connections.list_sources(connection)
        found: dict[str, list[tuple[str, str, str]]] = {}
        for row in sources:
            context = await self.of_source(row)
            for terms in context.destinations if context is not None else ():
                named = [(row.name, name, text) for name, text in terms.targets.items()]
                found.setdefault(terms.name, []).extend(named)
        return {destination: _by_milestone(named) for destination, named in found.items()}


def terms_in(context: SourceContext) -> SourceTerms:
    """What dispatching must know of a mapping."""
    return SourceTerms(context.kind, _milestone_terms(context))


def _by_milestone(named: Sequence[tuple[str, str, str]]) -> Mapping[str, Target]:
    """By milestone; where sources send one milestone to different targets, by source and milestone."""
    texts: dict[str, set[str]] = {}
    for _, milestone, text in named:
        texts.setdefault(milestone, set()).add(text)
    return {
        milestone if len(texts[milestone]) == 1 else f"{source}.{milestone}": Target.of(orjson.loads(text))
        for source, milestone, text in named
    }


def _currencies(document: MappingDocument, schema: SourceSchema) -> frozenset[str]:
    """The currencies that values are converted to, or through."""
    models = document.value_models
    found = frozenset(model.currency for model in models if model.model != "fixed" and model.currency)
    if not document.is_incremental:
        return found
    named = frozenset(model.currency for model in models if model.currency)
    is_one = len(named) == 1 and all(model.currency for model in models)
    # A lead's account adds up what may be in several currencies, unless all values are in one by the mapping's word.
    return found if is_one else found | named | {schema.currency}


def _named_since(activations: Sequence[tuple[int, str]]) -> dict[str, int]:
    """By destination of the newest version: since when every version names it."""
    since: dict[str, int] = {}
    for activated_at, document_json in activations:
        named = orjson.loads(document_json).get("destinations") or {}
        since = {name: since.get(name, activated_at) for name in named}
    return since


def _names_in(document: MappingDocument, modes: Mapping[str, ConnectionMode | None], mode: ConnectionMode) -> frozenset[str]:
    return frozenset(name for one in document.milestones if modes.get(one.name) is mode for name in one.names)


def _milestone_terms(context: SourceContext) -> dict[tuple[str, str], MilestoneTerms]:
    document = context.document
    of = {terms.name: terms for terms in context.destinations}
    found: dict[tuple[str, str], MilestoneTerms] = {}
    for destination, targets in document.destinations.items():
        place = of.get(destination)
        default = "any" if place is None else place.limits.send_when
        for milestone in document.milestones:
            if targets.get(milestone.name) is None:
                continue
            given = (targets.get("minimum_value"), milestone.minimum_value, document.minimum_value)
            minimum = next((value for value in given if value is not None), 0)
            terms = MilestoneTerms(
                target=_target_text(targets.get(milestone.name)),
                send_when=str(targets.get("send_when") or default),
                minimum_micros=parse_amount(str(minimum)) or 0,
                prefer=document.person.prefer,
                is_shadow=place is not None and milestone.name in place.shadowed,
                is_paused=place is not None and milestone.name in place.paused,
                recalls=document.consent.recalls,
            )
            found.update({(destination, name): terms for name in milestone.names})
    return found


def _target_text(target: object) -> str:
    """A target as deliveries and pauses store it."""
    return orjson.dumps(target, option=orjson.OPT_SORT_KEYS).decode()


def _terms(
    document: MappingDocument,
    row: DestinationRow,
    source: SourceRow,
    openers: Openers,
    named_since: int | None,
    first_activated_at: int,
) -> DestinationTerms:
    targets = document.destinations[row.name]
    is_shadow = ConnectionMode.SHADOW in (row.mode, source.mode)
    modes = {name: ConnectionMode.SHADOW if is_shadow else row.milestone_modes.get(name) for name in targets}
    owed_from = max(row.created_at, named_since or 0)
    return DestinationTerms(
        id=row.id,
        name=row.name,
        limits=openers.limits(row.kind),
        shadowed=_names_in(document, modes, ConnectionMode.SHADOW),
        paused=_names_in(document, modes, ConnectionMode.PAUSED),
        targets={
            name: _target_text(target)
            for milestone in document.milestones
            if (target := targets.get(milestone.name)) is not None
            for name in milestone.names
        },
        # A destination that came later is owed from then on; what is older goes by backfill only.
        owed_from=from_ms(owed_from) if owed_from > first_activated_at else None,
    )


def document_applier(
    schemas: Mapping[str, SourceSchema], config: FileConfig, openers: Openers, now: datetime, actor: str
) -> ApplyMapping:
    """How a mapping section is stored: parsed, checked against the CRM and the destinations, saved, activated."""
    settings = {
        name: openers.limits(section.kind).target_settings
        for name, section in config.destinations.items()
        if not openers.check_section(Role.DESTINATION, name, section)
    }

    async def apply(connection: AsyncConnection, source_id: int, name: str, data: Mapping[str, object]) -> Sequence[Mistake]:
        schema = schemas.get(name) or await stored_schema(connection, source_id)
        named = Canonical(data) if schema is None else canonical(data, schema)
        for row in await connections.list_destinations(connection):
            settings.setdefault(row.name, openers.limits(row.kind).target_settings)
        before = await mappings.active(connection, source_id)
        mistakes = mistakes_of(named, schema, settings, None if before is None else before.document_json)
        if mistakes:
            return [Mistake(one.path, one.message, one.nearest) for one in mistakes]
        text = orjson.dumps(dict(named.data), default=str).decode()
        version = await mappings.save_version(connection, source_id, text, actor, to_ms(now))
        await mappings.activate(connection, source_id, version, to_ms(now))
        return []

    return apply


def mistakes_of(
    named: Canonical, schema: SourceSchema | None, settings: Mapping[str, frozenset[str]], before_json: str | None
) -> Sequence[DocumentMistake]:
    """What keeps a document from being stored; a label that is told as a mistake is not told again as a name."""
    try:
        document = parse_document(dict(named.data))
    except DocumentInvalid as invalid:
        return (*named.mistakes, *invalid.mistakes)
    told = {one.path for one in named.mistakes}
    checked = () if schema is None else check_document(document, schema, settings)
    mistakes = (*named.mistakes, *(one for one in checked if one.path not in told))
    if before_json is None or mistakes:
        return mistakes
    return check_rename(parse_document(orjson.loads(before_json)), document)


async def stored_schema(connection: AsyncConnection, source_id: int) -> SourceSchema | None:
    """What the CRM said of itself last, None where it never was described."""
    row = await connections.source_by_id(connection, source_id)
    return None if row is None or row.schema_json is None else decode_schema(row.schema_json)
