"""HubSpotSource: the CrmSource contract over HubSpot's dated API."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

import httpx

from connectors.contract.errors import AuthenticationFailed, Effect, RequestRefused, UnexpectedReply
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.records import ObjectKind, Record, RecordRef, RecordState
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Page, SourceLimits, SourceSchema, Stored, Window
from connectors.crm.hubspot import records, schema, search
from connectors.crm.hubspot.errors import MISSING_SCOPES, ErrorReader
from connectors.crm.hubspot.objects import OBJECTS
from connectors.http.auth import StaticToken
from connectors.http.client import Clock, Hooks, HttpClient, Params, Sleep
from connectors.http.rate_limit import Rate, RateLimits

HUBSPOT_API_VERSION = "2026-09"
BASE_URL = "https://api.hubapi.com"

_ALLOWED = frozenset({"access_token", "base_url", "api_version", "webhook_secrets"})
_BATCH = 100
_BATCH_WITH_HISTORY = 50
_LINK_INPUTS = 1000
# Together below the smallest burst (100 in 10 s); search has 5 a second for the whole account, and one is left to others.
_RATES = {"search": Rate(1, timedelta(milliseconds=250)), "general": Rate(5, timedelta(seconds=1))}
_GONE = "OBJECT_NOT_FOUND"
_WITH_PEOPLE = (ObjectKind.DEAL, ObjectKind.LEAD)


@dataclass(frozen=True, slots=True)
class HubSpotSettings:
    """What a connection to HubSpot needs. `access_token` is a service key, a private app's or a project app's token."""

    access_token: str = field(repr=False)
    base_url: str = BASE_URL
    api_version: str = HUBSPOT_API_VERSION

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> "HubSpotSettings":
        """From configuration; ValueError names a missing or unknown key. `webhook_secrets` belongs to the webhook parser."""
        unknown = sorted(set(values) - _ALLOWED)
        if unknown:
            raise ValueError(f"hubspot: unknown setting {', '.join(unknown)}; known are {', '.join(sorted(_ALLOWED))}")
        token = values.get("access_token", "").strip()
        if not token:
            raise ValueError("hubspot: the setting access_token is missing")
        return cls(token, values.get("base_url") or BASE_URL, values.get("api_version") or HUBSPOT_API_VERSION)


class HubSpotSource:
    """One HubSpot account."""

    kind: ClassVar[str] = "hubspot"
    limits: ClassVar[SourceLimits] = SourceLimits(page_rows=search.PAGE_ROWS, poll_every=timedelta(minutes=5))

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: HubSpotSettings,
        clock: Clock,
        hooks: Hooks = Hooks(),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._version = settings.api_version
        self._clock = clock
        self._errors = ErrorReader(clock)
        self._http = HttpClient(
            client,
            vendor="HubSpot",
            base_url=settings.base_url,
            auth=StaticToken(settings.access_token),
            classify=self._errors,
            rate_limits=RateLimits(_RATES, clock, sleep),
            hooks=hooks,
            clock=clock,
            sleep=sleep,
        )

    async def check(self) -> Sequence[Finding]:
        """Prove token and scopes; one finding each, failed ones with their mend. Raises nothing for a refusal."""
        scopes = {"contacts": ObjectKind.CONTACT, "deals": ObjectKind.DEAL}
        try:
            account = await self._account()
        except (AuthenticationFailed, RequestRefused) as error:
            mend = "Make a service key or private app token in HubSpot and save it in this connection."
            unproven = "Cannot be tested before the token works."
            return [
                Finding("token", FindingStatus.FAILED, error.message, mend),
                *(Finding(f"scope:{name}", FindingStatus.UNPROVEN, unproven, "Mend the token first.") for name in scopes),
            ]
        token = Finding("token", FindingStatus.OK, f"The token opens account {account.get('portalId')}.")
        return [token, *[await self._check_scope(name, kind) for name, kind in scopes.items()]]

    async def describe(self) -> SourceSchema:
        """Read properties, pipelines, currency and zone of the account."""
        account = await self._account()
        kinds = (ObjectKind.CONTACT, ObjectKind.DEAL)
        properties = {kind: await self._listed(f"/crm/properties/{self._version}/{_path(kind)}") for kind in kinds}
        pipelines = await self._listed(f"/crm/pipelines/{self._version}/deals")
        labels = await self._listed(f"/crm/associations/{self._version}/deals/contacts/labels")
        return schema.to_schema(account, properties, pipelines, labels)

    async def changes(self, window: Window, selection: Selection, stored: Stored) -> AsyncIterator[Page]:
        """Yield the records modified in the window, in pages, oldest modification first."""
        kind = window.kind
        until = None if window.until is None else search.to_ms(window.until)
        position: search.Position | None = (
            search.Position(search.to_ms(window.since)) if window.resume is None else search.from_resume(window.resume)
        )
        while position is not None:
            if until is not None and position.at > until:
                yield Page((), search.from_ms(until), None, is_last=True)
                return
            path = f"/crm/objects/{self._version}/{_path(kind)}/search"
            reply = await self._http.read("POST", path, json=search.query(kind, position, until), budget="search")
            if until is None:
                until = search.to_ms(reply.date or self._clock())
            rows, has_more = search.read_rows(kind, reply.json_object())
            new = search.unseen(position, rows, until)
            position = search.following(position, rows, until, has_more=has_more)
            read = await self._read_rows(kind, new, selection, stored)
            yield Page(read, search.from_ms(until), search.to_resume(position), position is None, len(new))

    async def fetch(self, refs: Sequence[RecordRef], selection: Selection) -> Sequence[Record]:
        """Read these records (with history and people). A ref that the CRM no longer shows comes back as DELETED."""
        found: list[Record] = []
        for kind in dict.fromkeys(ref.kind for ref in refs):
            ids = [ref.external_id for ref in refs if ref.kind is kind]
            found += await self._read(kind, ids, selection.objects.get(kind, ObjectSelection()))
        return found

    async def _check_scope(self, name: str, kind: ObjectKind) -> Finding:
        needed = f"crm.objects.{name}.read and crm.schemas.{name}.read"
        try:
            await self._get(f"/crm/objects/{self._version}/{_path(kind)}", {"limit": 1})
            await self._get(f"/crm/properties/{self._version}/{_path(kind)}")
        except (AuthenticationFailed, RequestRefused) as error:
            is_scope = error.code == MISSING_SCOPES
            mend = f"Grant the token {needed}." if is_scope else "See HubSpot's message; try the check again."
            return Finding(f"scope:{name}", FindingStatus.FAILED, error.message, mend)
        return Finding(f"scope:{name}", FindingStatus.OK, f"The token reads {name} and their properties.")

    async def _read_rows(
        self, kind: ObjectKind, rows: Sequence[search.Row], selection: Selection, stored: Stored
    ) -> tuple[Record, ...]:
        """The rows that are not stored as they are, after the people on them that are not stored at all."""
        if not rows:
            return ()
        unchanged = await stored.unchanged(kind, {row.id: search.from_ms(row.at) for row in rows})
        ids = [row.id for row in rows if row.id not in unchanged]
        read = await self._read(kind, ids, selection.objects.get(kind, ObjectSelection()))
        contacts = selection.objects.get(ObjectKind.CONTACT)
        linked = list(dict.fromkeys(link.ref.external_id for record in read for link in record.people or ()))
        if contacts is None or not linked:
            return tuple(read)
        known = await stored.known(ObjectKind.CONTACT, linked)
        strangers = await self._read(ObjectKind.CONTACT, [one for one in linked if one not in known], contacts)
        return (*strangers, *read)

    async def _read(self, kind: ObjectKind, ids: Sequence[str], selection: ObjectSelection) -> list[Record]:
        """Records in the order of their ids, with people and company where these are selected."""
        size = _BATCH_WITH_HISTORY if records.histories_to_read(kind, selection) else _BATCH
        unique = list(dict.fromkeys(ids))
        found = [one for chunk in _chunks(unique, size) for one in await self._batch(kind, chunk, selection)]
        live = list(dict.fromkeys(one.ref.external_id for one in found if one.state is RecordState.LIVE))
        if selection.with_people and kind in _WITH_PEOPLE:
            links = await self._links(kind, ObjectKind.CONTACT, live)
            found = [_with_people(one, links) for one in found]
        if selection.with_company and kind is not ObjectKind.COMPANY:
            links = await self._links(kind, ObjectKind.COMPANY, live)
            found = [replace(one, company=records.company_of(kind, links.get(one.ref.external_id, []))) for one in found]
        return found

    async def _batch(self, kind: ObjectKind, ids: Sequence[str], selection: ObjectSelection) -> list[Record]:
        body = {
            "inputs": [{"id": one} for one in ids],
            "properties": sorted(records.properties_to_read(kind, selection)),
            "propertiesWithHistory": sorted(records.histories_to_read(kind, selection)),
        }
        answer = await self._post(f"/crm/objects/{self._version}/{_path(kind)}/batch/read", body)
        if any(one.get("category") != _GONE for one in schema.objects(answer.get("errors"))):
            raise UnexpectedReply("HubSpot could not read some records of a batch; they are asked for again", effect=Effect.NONE)
        told = [records.record_of(kind, one, selection) for one in _results(answer)]
        by_id = {one.ref.external_id: one for one in told}
        winners = {old: one.ref for one in told for old in one.merged_ids}
        found = [by_id.get(one) or self._gone(RecordRef(kind, one), winners.get(one)) for one in ids]
        return found + [one for one in told if one.ref.external_id not in set(ids)]

    def _gone(self, ref: RecordRef, winner: RecordRef | None) -> Record:
        state = RecordState.DELETED if winner is None else RecordState.MERGED
        return Record(ref, search.from_ms(search.to_ms(self._clock())), state=state, merged_into=winner)

    async def _links(self, kind: ObjectKind, other: ObjectKind, ids: Sequence[str]) -> Mapping[str, list[records.Association]]:
        """The associations of these records; those of a long list come in several answers."""
        path = f"/crm/associations/{self._version}/{_path(kind)}/{_path(other)}/batch/read"
        found: dict[str, list[records.Association]] = {}
        waiting = [{"id": one} for one in ids]
        while waiting:
            asked, waiting = waiting[:_LINK_INPUTS], waiting[_LINK_INPUTS:]
            answer = await self._post(path, {"inputs": asked})
            if any(not _is_none_found(one) for one in schema.objects(answer.get("errors"))):
                raise UnexpectedReply("HubSpot could not read some associations; they are asked for again", effect=Effect.NONE)
            for one in _results(answer):
                source = one.get("from")
                from_id = str(source.get("id")) if isinstance(source, dict) else ""
                found.setdefault(from_id, []).extend(records.association_of(to) for to in schema.objects(one.get("to")))
                if after := _after(one):
                    waiting.append({"id": from_id, "after": after})
        return found

    async def _account(self) -> Mapping[str, object]:
        account = await self._get(f"/account-info/{self._version}/details")
        try:
            self._errors.zone = ZoneInfo(str(account.get("timeZone")))
        except (OSError, ValueError, LookupError):
            self._errors.zone = None
        return account

    async def _listed(self, path: str) -> list[Mapping[str, object]]:
        return _results(await self._get(path))

    async def _get(self, path: str, params: Params | None = None) -> Mapping[str, object]:
        return (await self._http.read("GET", path, params=params)).json_object()

    async def _post(self, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        return (await self._http.read("POST", path, json=body)).json_object()


def _path(kind: ObjectKind) -> str:
    return OBJECTS[kind].path


def _chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _results(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    if not isinstance(answer.get("results"), list):
        raise UnexpectedReply("HubSpot answered without results", effect=Effect.NONE)
    return schema.objects(answer["results"])


def _with_people(record: Record, links: Mapping[str, list[records.Association]]) -> Record:
    if record.state is not RecordState.LIVE:
        return record
    return replace(record, people=records.people_of(links.get(record.ref.external_id, [])))


def _is_none_found(error: Mapping[str, object]) -> bool:
    return error.get("category") == _GONE or "NO_ASSOCIATIONS_FOUND" in str(error.get("subCategory"))


def _after(result: Mapping[str, object]) -> str | None:
    paging = result.get("paging")
    following = paging.get("next") if isinstance(paging, dict) else None
    after = following.get("after") if isinstance(following, dict) else None
    return None if after is None else str(after)
