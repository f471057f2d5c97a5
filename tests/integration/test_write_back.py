"""The sync status goes back into the CRM once for each text, holds up nothing, and makes no new conversion."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from app.bootstrap.writing_back import Progress
from app.config import ConfigInvalid
from app.connections import repository as connections
from app.connections.repository import Role
from app.db.instants import to_ms
from app.db.tables import conversions, deliveries, uploads, write_backs
from app.leases.repository import acquire
from app.outbox.note_repository import load_progress
from connectors.contract.errors import AuthenticationFailed, ConnectorError, RateLimited
from connectors.contract.records import ObjectKind
from connectors.contract.source import NoteOutcome, NoteResult, PropertySchema, StatusNote
from connectors.crm.hubspot import schema as hubspot_schema
from connectors.crm.hubspot.source import HubSpotSource
from connectors.http.strict_json import Json
from tests.api.rig import NOW, Rig, rig_on

STATUS = "leadloop_status"
PLURALS = {ObjectKind.CONTACT: "contacts", ObjectKind.DEAL: "deals"}
SETTING = f"contact.{STATUS}, deal.{STATUS}"


@dataclass(slots=True)
class Pen:
    """A WritesBack of HubSpot's that writes into the simulated portal, and fails or refuses as it is told."""

    rig: Rig | None = None
    written: list[StatusNote] = field(default_factory=list)
    calls: int = 0
    failure: ConnectorError | None = None
    answer: Callable[[StatusNote], NoteResult] = lambda _note: NoteResult(NoteOutcome.WRITTEN)
    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def write_back(self, notes: Sequence[StatusNote]) -> Sequence[NoteResult]:
        assert self.rig is not None
        assert len(notes) <= 2
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        for note in notes:
            if self.answer(note).outcome is NoteOutcome.WRITTEN:
                at = self.rig.stage.clock.now
                self.rig.stage.portal.update(PLURALS[note.ref.kind], note.ref.external_id, {note.property: note.text}, at, "API")
        self.written += notes
        if self.meanwhile is not None:
            await self.meanwhile()
        return [self.answer(note) for note in notes]

    def texts(self) -> dict[str, str]:
        return {f"{note.ref.kind}:{note.ref.external_id}": note.text for note in self.written}


@dataclass(slots=True)
class Place:
    rig: Rig
    pen: Pen
    file: Path

    def apply(self, setting: str) -> None:
        text = self.rig.stage.config(("google", "meta"), NOW - timedelta(days=30))
        written = text.replace('webhook_secrets: "', f'write_back: "{setting}", webhook_secrets: "')
        self.file.write_text(written if setting else text, encoding="utf-8")

    async def later(self, **span: float) -> None:
        self.rig.stage.clock.now += timedelta(**span)

    async def lease_to_another(self) -> None:
        await self.later(minutes=6)
        async with self.rig.services.database.write() as connection:
            now_ms = to_ms(self.rig.stage.clock.now)
            assert await acquire(connection, "write_back:hubspot", "another", now_ms, 300_000) is not None

    async def turn(self) -> None:
        await self.rig.services.write_backs().turn()

    async def count(self) -> int:
        async with self.rig.services.database.read() as connection:
            return int(await connection.scalar(select(func.count()).select_from(conversions)) or 0)

    async def stored(self) -> dict[str, str | None]:
        async with self.rig.services.database.read() as connection:
            rows = await connection.execute(select(write_backs.c.outcome, write_backs.c.refused_code))
            return {row.outcome: row.refused_code for row in rows}


@pytest.fixture
async def place(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """A portal with a status property on contacts and deals, and a source that writes to them."""
    pen = Pen()
    described = hubspot_schema.property_of

    def property_of(kind: ObjectKind, raw: Json) -> PropertySchema:
        return replace(described(kind, raw), is_writable=True)

    async def write_back(_source: HubSpotSource, notes: Sequence[StatusNote]) -> Sequence[NoteResult]:
        return await pen.write_back(notes)

    monkeypatch.setattr(hubspot_schema, "property_of", property_of)
    monkeypatch.setattr(HubSpotSource, "write_back", write_back, raising=False)
    monkeypatch.setattr(HubSpotSource, "most_notes", 2, raising=False)
    async with rig_on(tmp_path, database_url, destinations=("google", "meta")) as rig:
        pen.rig = rig
        for kind in PLURALS.values():
            rig.stage.portal.define_property(kind, STATUS)
        made = Place(rig, pen, tmp_path / "again.yaml")
        made.apply(SETTING)
        await rig.services.apply_file(made.file, actor="test")
        yield made


def _deal_of(rig: Rig, contact: str) -> str:
    at = rig.stage.clock.now - timedelta(minutes=1)
    deal = rig.stage.portal.create("deals", {"pipeline": "default", "dealstage": "closedwon", "amount": "100"}, at)
    rig.stage.portal.associate(deal, contact, at=at)
    return deal


async def test_the_crm_is_told_and_converges_in_one_poll(place: Place) -> None:
    """Our own write changes the record; reading it again must find nothing new, or it would go round for ever."""
    contact = place.rig.person(lifecyclestage="salesqualifiedlead")
    deal = _deal_of(place.rig, contact)

    await place.rig.services.sync()
    made, told = await place.count(), place.pen.texts()
    await place.later(minutes=10)
    await place.rig.services.sync()
    await place.later(minutes=10)
    await place.rig.services.sync()

    assert told[f"deal:{deal}"] == "meta: closed_revenue accepted 2026-11-24"
    assert told[f"contact:{contact}"] == told[f"deal:{deal}"]
    assert place.rig.stage.portal.record("deals", deal).version.values[STATUS] == told[f"deal:{deal}"]
    assert await place.count() == made
    assert len(place.pen.written) == 2


async def test_hubspot_itself_is_told(tmp_path: Path, database_url: str) -> None:
    """With the connector's own requests, nothing in its place: told once, and converged in one poll."""
    async with rig_on(tmp_path, database_url, destinations=("google", "meta")) as rig:
        for kind in PLURALS.values():
            rig.stage.portal.define_property(kind, STATUS)
        place = Place(rig, Pen(rig), tmp_path / "again.yaml")
        place.apply(SETTING)
        await rig.services.apply_file(place.file, actor="test")
        contact = rig.person(lifecyclestage="salesqualifiedlead")
        deal = _deal_of(rig, contact)

        await rig.services.sync()
        made, told = await place.count(), _status(rig, "deals", deal)
        modified = rig.stage.portal.record("deals", deal).version.modified_ms
        for _ in range(2):
            await place.later(minutes=10)
            await rig.services.sync()

        assert told == _status(rig, "contacts", contact) == "meta: closed_revenue accepted 2026-11-24"
        assert await place.count() == made
        assert rig.stage.portal.record("deals", deal).version.modified_ms == modified


def _status(rig: Rig, kind: str, record: str) -> str | None:
    return rig.stage.portal.record(kind, record).version.values.get(STATUS)


async def test_an_acceptance_is_told_when_its_verdict_is_there(place: Place) -> None:
    """Google takes everything first; `accepted` would be read as counted."""
    contact = place.rig.person(lifecyclestage="salesqualifiedlead")
    await place.rig.services.sync()
    before = place.pen.texts().get(f"contact:{contact}", "")

    async with place.rig.services.database.write() as connection:
        taken = (deliveries.c.state == "accepted") & deliveries.c.upload_id.in_(
            select(uploads.c.id).where(uploads.c.verdict_due_at.is_not(None))
        )
        await connection.execute(update(deliveries).where(taken).values(state="confirmed", reason="confirmed"))
    await place.turn()

    assert "google" not in before
    assert place.pen.texts()[f"contact:{contact}"].startswith("google: qualified_lead confirmed 2026-11-24; meta: ")


async def test_a_refused_note_is_not_tried_again_until_its_text_changes(place: Place) -> None:
    """A validation rule refuses for good; asking every five minutes would spend the CRM's budget."""
    place.pen.answer = lambda _note: NoteResult(NoteOutcome.REFUSED, "VALIDATION", "no")
    place.rig.person(lifecyclestage="salesqualifiedlead")
    await place.rig.services.sync()
    await place.turn()

    assert place.pen.calls == 1
    assert await place.stored() == {"refused": "VALIDATION"}

    place.pen.answer = lambda _note: NoteResult(NoteOutcome.WRITTEN)
    async with place.rig.services.database.write() as connection:
        await connection.execute(update(deliveries).values(settled_at=deliveries.c.settled_at + 86_400_000))
    await place.turn()

    assert place.pen.calls == 2
    assert await place.stored() == {"written": None}


async def test_a_record_that_is_gone_is_left_alone(place: Place) -> None:
    """Also when its text changes."""
    place.pen.answer = lambda _note: NoteResult(NoteOutcome.GONE)
    place.rig.person(lifecyclestage="salesqualifiedlead")
    await place.rig.services.sync()
    async with place.rig.services.database.write() as connection:
        await connection.execute(update(deliveries).values(settled_at=deliveries.c.settled_at + 86_400_000))
    await place.turn()

    assert place.pen.calls == 1


@pytest.mark.parametrize(
    ("failure", "least"),
    [
        (AuthenticationFailed("no scope to write"), timedelta(minutes=5)),
        (RateLimited("slow down", retry_after=timedelta(hours=2)), timedelta(hours=2)),
    ],
)
async def test_a_failure_pauses_nothing_but_itself(place: Place, failure: ConnectorError, least: timedelta) -> None:
    """A missing scope to write must not stop deliveries; it is asked again after growing pauses."""
    place.pen.failure = failure
    place.rig.person(lifecyclestage="salesqualifiedlead")
    summary = await place.rig.services.sync()
    (row,) = await place.rig.services.sources()
    await place.turn()

    assert not summary.is_stuck
    assert not row.is_paused(0)
    assert place.pen.calls == 1

    await place.later(seconds=least.total_seconds() + 1)
    await place.turn()
    async with place.rig.services.database.read() as connection:
        progress = Progress.of(await load_progress(connection, row.id))
    assert (place.pen.calls, progress.failures) == (2, 2)

    place.pen.failure = None
    await place.later(days=1)
    await place.turn()
    assert len(place.pen.written) == 1


async def test_a_paused_source_is_not_written_to(place: Place) -> None:
    """Whatever paused it, its CRM wants to be left alone."""
    place.rig.person(lifecyclestage="salesqualifiedlead")
    await place.rig.services.tick()
    (row,) = await place.rig.services.sources()
    async with place.rig.services.database.write() as connection:
        await connections.pause(connection, Role.SOURCE, row.id, "credentials", None)
    await place.turn()

    assert place.pen.calls == 0


async def test_it_is_off_without_the_setting(place: Place) -> None:
    """Nobody's CRM is written to unasked."""
    place.apply("")
    await place.rig.services.apply_file(place.file, actor="test")
    place.rig.person(lifecyclestage="salesqualifiedlead")
    await place.rig.services.sync()

    assert place.pen.calls == 0


async def test_a_property_that_is_not_there_is_a_mistake_at_apply(place: Place) -> None:
    """Before anything is stored."""
    place.apply("deal.leadloop_statsu")

    with pytest.raises(ConfigInvalid, match=r"sources\.hubspot\.write_back: the CRM has no deal property `leadloop_statsu`"):
        await place.rig.services.apply_file(place.file, actor="test")


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("deal.dealname", "`deal.dealname` is the CRM's own; make a text property"),
        ("contact.ads_consent", "`contact.ads_consent` is read by the mapping; make a text property"),
    ],
)
async def test_what_the_company_or_the_mapping_reads_is_not_written_over(place: Place, written: str, why: str) -> None:
    """A slip of the pen would put our words in place of every deal's name, or take a person's consent for granted."""
    place.apply(written)

    with pytest.raises(ConfigInvalid, match=re.escape(f"sources.hubspot.write_back: {why}")):
        await place.rig.services.apply_file(place.file, actor="test")


async def test_a_mapping_cannot_begin_to_read_what_is_written(place: Place) -> None:
    """The mapping may change without the source's section, and would take our words for the CRM's."""
    text = place.file.read_text(encoding="utf-8")
    place.file.write_text(text.replace("dimensions: {", f"dimensions: {{status: contact.{STATUS}, "), encoding="utf-8")

    with pytest.raises(ConfigInvalid, match=rf"`contact\.{STATUS}` is read by the mapping"):
        await place.rig.services.apply_file(place.file, actor="test")


async def test_whoever_lost_the_lease_to_another_writes_no_more(place: Place) -> None:
    """A CRM that answers after minutes outlasts the lease: two processes would spend its budget twice."""
    for number in range(4):
        place.rig.person(email=f"p{number}@example.com", lifecyclestage="salesqualifiedlead")
    await place.rig.services.tick()
    place.pen.meanwhile = place.lease_to_another

    await place.turn()

    assert place.pen.calls == 1
    assert await place.stored() == {"written": None}


async def test_all_of_a_crowd_is_told_in_bounded_stretches(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """More conversions than a turn looks at are told over several turns, each of them once."""
    monkeypatch.setattr("app.bootstrap.writing_back.STRETCH", 3)
    people = [place.rig.person(email=f"p{place_}@example.com", lifecyclestage="salesqualifiedlead") for place_ in range(12)]
    await place.rig.services.sync()
    for _ in range(4):
        await place.turn()

    assert sorted(place.pen.texts()) == sorted(f"contact:{one}" for one in people)
    assert len(place.pen.written) == len(people)


async def test_a_lead_in_several_stretches_has_one_text(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two texts in turn would be written for ever."""
    monkeypatch.setattr("app.bootstrap.writing_back.STRETCH", 1)
    _deal_of(place.rig, place.rig.person(lifecyclestage="salesqualifiedlead"))
    await place.rig.services.sync()
    for _ in range(4):
        await place.turn()

    assert await place.count() >= 4
    assert len(place.pen.written) == 2


async def test_a_day_has_its_bound_where_each_note_is_a_request(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipedrive takes one record a request; catching up must not spend the company's day. The rest comes the day after."""
    monkeypatch.setattr(HubSpotSource, "limits", replace(HubSpotSource.limits, notes_a_day=3))
    people = [place.rig.person(email=f"p{number}@example.com", lifecyclestage="salesqualifiedlead") for number in range(5)]
    await place.rig.services.sync()
    await place.turn()
    today = len(place.pen.written)
    await place.later(days=1)
    await place.turn()

    assert today == 3
    assert sorted(place.pen.texts()) == sorted(f"contact:{one}" for one in people)
    assert len(place.pen.written) == len(people)


def test_what_cannot_be_read_of_the_progress_begins_anew() -> None:
    """It repeats nothing, as texts are compared."""
    assert Progress.of("{") == Progress.of('{"after": 3}') == Progress.of('{"after": {"new": [1]}}') == Progress()
    assert Progress.of(Progress({"new": (1, 2), "all": None}, 3, 4, "d", 5).text()) == Progress(
        {"new": (1, 2), "all": None}, 3, 4, "d", 5
    )
