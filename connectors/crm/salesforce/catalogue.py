"""Which objects and fields the org shows, read at most once an hour; from it and the selection, what to ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connectors.contract.errors import AuthenticationFailed, ConnectorError, RequestRefused
from connectors.contract.records import ObjectKind
from connectors.contract.selection import ObjectSelection, Selection
from connectors.crm.salesforce.api import SalesforceApi
from connectors.crm.salesforce.objects import (
    CONVERTED_CONTACT,
    CREATED,
    DEAL_CONTACT,
    MODIFIED,
    OBJECTS,
    PERSON_ACCOUNT,
    ROLE,
    STAGE_HISTORY_FIELDS,
    Plan,
)
from connectors.crm.salesforce.refusals import OBJECT_HIDDEN
from connectors.crm.salesforce.replies import json_object, json_objects, text, unexpected
from connectors.crm.salesforce.soql import Query, one_of
from connectors.http.client import Clock
from connectors.http.strict_json import Json, is_true

KEPT = timedelta(hours=1)
HIDDEN = frozenset({403, 404})
INVALID_FIELD = "INVALID_FIELD"
NAMES = (*(facts.name for facts in OBJECTS.values()), ROLE, *(facts.history for facts in OBJECTS.values()))
WHERE_FIELDS_ARE = "Setup > Permission Sets > the integration user's > Object Settings"


@dataclass(frozen=True, slots=True)
class Described:
    """The names of an object's fields, and the one that its windows go by."""

    name: str
    fields: frozenset[str]
    stamp: str


@dataclass(frozen=True, slots=True)
class Org:
    """The described objects by name; those that are hidden are missing. `tracked` by kind."""

    objects: Mapping[str, Described]
    tracked: Mapping[ObjectKind, frozenset[str]] = field(default_factory=dict)


class Plans:
    """What to ask of each kind for one selection."""

    def __init__(self, org: Org, selection: Selection) -> None:
        self._org = org
        self._selection = selection
        self._made: dict[ObjectKind, Plan] = {}

    @property
    def roles(self) -> Described | None:
        """Contact roles, where the org shows them."""
        return self._org.objects.get(ROLE)

    @property
    def has_leads(self) -> bool:
        """True where converted leads can tell the people of a deal."""
        described = self._org.objects.get(OBJECTS[ObjectKind.LEAD].name)
        return described is not None and CONVERTED_CONTACT in described.fields

    @property
    def reads_leads(self) -> bool:
        """True where the mapping reads lead records."""
        return ObjectKind.LEAD in self._selection.objects

    def of(self, kind: ObjectKind) -> Plan:
        """The plan of a kind; raises where the org hides the object or a mapped field, and says which."""
        if kind not in self._made:
            self._made[kind] = self._plan(kind)
        return self._made[kind]

    def _plan(self, kind: ObjectKind) -> Plan:
        facts = OBJECTS[kind]
        chosen = self._selection.objects.get(kind, ObjectSelection())
        described = self._org.objects.get(facts.name)
        if described is None:
            message = f"Salesforce shows no {facts.name} records; give read access under {WHERE_FIELDS_ARE}"
            raise AuthenticationFailed(message, code=OBJECT_HIDDEN, status=403)
        mapped = chosen.fields | chosen.history_properties
        for name in sorted(mapped - described.fields):
            message = (
                f"Salesforce shows no field `{name}` on {facts.name}, which the mapping reads; "
                f"give read access to it under {WHERE_FIELDS_ARE}, or take it out of the mapping"
            )
            raise RequestRefused(message, code=INVALID_FIELD)
        account = self._org.objects.get(OBJECTS[ObjectKind.COMPANY].name)
        is_deal = kind is ObjectKind.DEAL
        has_persons = is_deal and chosen.with_people and account is not None and account.fields.issuperset(PERSON_ACCOUNT)
        wanted = [*facts.always, *([facts.stage] if facts.stage else [])]
        if chosen.with_company and facts.company:
            wanted.append(facts.company)
        if is_deal and chosen.with_people:
            wanted.append(DEAL_CONTACT)
        shown = [name for name in ("Id", "IsDeleted", CREATED, MODIFIED, *wanted) if name in described.fields]
        history = self._org.objects.get(facts.history)
        asked = chosen.history_properties - STAGE_HISTORY_FIELDS if is_deal else chosen.history_properties
        return Plan(
            kind=kind,
            facts=facts,
            chosen=chosen,
            fields=tuple(
                dict.fromkeys([*shown, *sorted(mapped), *([f"Account.{one}" for one in PERSON_ACCOUNT] if has_persons else [])])
            ),
            stamp=described.stamp,
            has_contact=DEAL_CONTACT in shown,
            has_person_accounts=has_persons,
            from_history=asked if history is not None else frozenset(),
            tracked=asked & self._org.tracked.get(kind, frozenset()) if history is not None else frozenset(),
        )


class Catalogue:
    """The org's objects, kept for an hour or until a query shows that they have changed."""

    def __init__(self, api: SalesforceApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._org: Org | None = None
        self._read_at: datetime | None = None

    def forget(self) -> None:
        """The schema was found changed."""
        self._org = None

    async def plans(self, selection: Selection) -> Plans:
        """What to ask for this selection."""
        is_old = self._read_at is None or self._clock() - self._read_at >= KEPT
        if self._org is None or is_old:
            self._org = await self._read()
            self._read_at = self._clock()
        if not self._org.tracked and self._needs_tracking(self._org, selection):
            self._org = Org(self._org.objects, await read_tracked(self._api, self._org.objects))
        return Plans(self._org, selection)

    async def _read(self) -> Org:
        found, _ = await self._api.parts([describe_path(name) for name in NAMES])
        described = {name: shown_of(one, name) for name, one in zip(NAMES, found, strict=True)}
        return Org({name: described_of(raw) for name, raw in described.items() if raw is not None})

    @staticmethod
    def _needs_tracking(org: Org, selection: Selection) -> bool:
        """OpportunityHistory needs no tracking; a property of a field history says nothing until it first changes."""
        return any(
            OBJECTS[kind].history in org.objects
            and bool(chosen.history_properties - (STAGE_HISTORY_FIELDS if kind is ObjectKind.DEAL else frozenset()))
            for kind, chosen in selection.objects.items()
        )


def describe_path(name: str) -> str:
    """Where an object is described."""
    return f"sobjects/{name}/describe"


def shown_of(answer: object | ConnectorError, name: str) -> Json | None:
    """An object's description; None where the org hides it, any other error is raised."""
    if isinstance(answer, ConnectorError):
        if answer.status in HIDDEN and isinstance(answer, AuthenticationFailed | RequestRefused):
            return None
        raise answer
    return json_object(answer, f"the description of {name}")


def described_of(raw: Json) -> Described:
    """What the polls need of a description."""
    name = text(raw.get("name"), "an object's `name`") or ""
    fields = {
        text(one.get("name"), f"a field of {name}") or "": one for one in json_objects(raw.get("fields"), f"the fields of {name}")
    }
    if not fields:
        raise unexpected(f"the description of {name} has no `fields`")
    return Described(name=name, fields=frozenset(fields), stamp=_stamp(fields))


async def read_tracked(api: SalesforceApi, objects: Mapping[str, Described]) -> Mapping[ObjectKind, frozenset[str]]:
    """By kind, the fields whose every change is kept, as the tooling API tells; none where it does not tell.

    The choices of a history's `Field` prove nothing: a status taken for tracked would be dated back to the lead's creation.
    """
    names = [facts.name for facts in OBJECTS.values() if facts.history in objects]
    if not names:
        return {kind: frozenset() for kind in OBJECTS}
    query = Query(
        "FieldDefinition",
        ("QualifiedApiName", "EntityDefinition.QualifiedApiName", "IsFieldHistoryTracked"),
        where=(one_of("EntityDefinition.QualifiedApiName", names), "IsFieldHistoryTracked = true"),
        order_by=(),
        limit=None,
    )
    try:
        found = json_object(await api.get("tooling/query", {"q": query.text()}), "the tracked fields")
    except (AuthenticationFailed, RequestRefused):
        return {kind: frozenset() for kind in OBJECTS}
    rows = json_objects(found.get("records"), "the tracked fields")
    tracked = [row for row in rows if is_true(row.get("IsFieldHistoryTracked"))]
    pairs = {(_entity(row), text(row.get("QualifiedApiName"), "a tracked field") or "") for row in tracked}
    return {
        kind: frozenset(name for entity, name in pairs if entity == facts.name) if facts.history in objects else frozenset()
        for kind, facts in OBJECTS.items()
    }


def _entity(row: Json) -> str:
    entity = json_object(row.get("EntityDefinition") or {}, "a tracked field's object")
    return text(entity.get("QualifiedApiName"), "a tracked field's object") or ""


def _stamp(fields: Mapping[str, Json]) -> str:
    """SystemModstamp, which automation moves too; an object without it, or that cannot be asked for it, goes by its creation."""
    modified = fields.get(MODIFIED)
    is_usable = modified is not None and modified.get("filterable") is not False and modified.get("sortable") is not False
    return MODIFIED if is_usable else CREATED
