"""Must be true: after a run with known people among faults, nothing of them can be read anywhere but at the platforms."""

import base64
import hashlib
import io
import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from app.bootstrap.services import Services
from app.db.session import Database
from app.db.tables import metadata
from app.ingest.lookups import stored_of
from app.ingest.people import People
from app.secrets import Fingerprints
from app.telemetry.logs import configure_logs
from app.telemetry.metrics import Metrics
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Target, UploadRow
from connectors.contract.errors import ConnectorError
from connectors.contract.records import ObjectKind, RecordRef
from connectors.http.client import Hooks
from connectors.identity import RawIdentity, identify
from connectors.simulators.faults import Fault, FaultPlan, answer, path_has
from connectors.simulators.google.faults import google_faults
from connectors.simulators.hubspot.faults import hubspot_faults
from tests.e2e.kill_world import BEGINS_AT, ENDS_AT, Company, PersonFacts, build_company
from tests.e2e.stage_rig import Rig

HOUR = timedelta(hours=1)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged, at the lowest level, by whomever."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    configure_logs(as_json=True, level="DEBUG", stream=stream)
    yield stream
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def raised(monkeypatch: pytest.MonkeyPatch) -> list[ConnectorError]:
    """Every error that a connector raised."""
    found: list[ConnectorError] = []
    original = ConnectorError.__init__

    def remember(self: ConnectorError, *given: Any, **named: Any) -> None:
        original(self, *given, **named)
        found.append(self)

    monkeypatch.setattr(ConnectorError, "__init__", remember)
    return found


def gossip(person: PersonFacts) -> list[Fault]:
    """Vendors that repeat in their errors what they were told: e-mail, phone, and hashes of them."""
    digest = hashlib.sha256(person.email.encode()).hexdigest()
    words = f"{person.email} ({person.phone or '+44 20 7946 0123'}), known as {digest}, is not valid"
    hubspot = {"status": "error", "category": "VALIDATION_ERROR", "message": words}
    details = [
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "events[0]", "reason": "INVALID_EVENT", "description": words}],
        }
    ]
    google = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": words, "details": details}}
    return [answer(400, hubspot), answer(500, hubspot), answer(400, google)]


async def test_nothing_of_a_person_can_be_read_anywhere(
    database_url: str, tmp_path: Path, logged: io.StringIO, raised: list[ConnectorError]
) -> None:
    """A stolen file, a log that is shipped away, a screenshot of an error: none may name anybody."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    company = build_company(3, deals=16)
    rig = Rig(database_url, tmp_path, company, Hooks(metrics.on_request))
    rig.clock.set(BEGINS_AT)
    services = await rig.open()
    talker = next(one for one in company.people.values() if one.email)
    rig.faults = _storm(rig, talker)

    while rig.clock() < ENDS_AT + 12 * HOUR:
        rig.stage.pass_time(rig.clock() + 6 * HOUR)
        await services.tick()
        await _checked(services)
    shown = await _reprs(services, rig, talker)
    await rig.close()

    needles = [needle for one in company.people.values() for needle in _needles(one)]
    assert len(raised) > 20
    assert len(needles) > 300
    places = {
        "database": await _content(database_url, tmp_path),
        "logs": logged.getvalue().encode(),
        "metrics": metrics.render(),
        "errors": "\n".join(map(_told, raised)).encode(),
        "reprs": "\n".join(shown).encode(),
    }
    assert {name: len(content) > 500 for name, content in places.items()} == dict.fromkeys(places, True)
    assert {(name, needle) for name, content in places.items() for needle in needles if needle in content} == set()


def _storm(rig: Rig, talker: PersonFacts) -> FaultPlan:
    plan = rig.faults
    plan.sometimes([*hubspot_faults().values(), *gossip(talker)[:2]], 0.1, path_has("/hubspot/"))
    plan.sometimes([*google_faults().values(), gossip(talker)[2]], 0.2, path_has("/google/"))
    plan.script(*gossip(talker)[:1], when=path_has("/search"))
    plan.script(gossip(talker)[2], when=path_has("events:ingest"))
    return plan


async def _checked(services: Services) -> None:
    try:
        await services.check_all()
    except ConnectorError:
        return


async def _reprs(services: Services, rig: Rig, one: PersonFacts) -> list[str]:
    """How the things that carry a person look in a debugger, a log or an assertion."""
    rig.faults.clear()
    (row,) = await services.sources()
    context = await services.contexts.of_source(row)
    assert context is not None
    refs = [RecordRef(ObjectKind.CONTACT, rig.stage.ids[key]) for key in rig.stage.ids if not key.startswith("d")]
    stored = stored_of(services.database, context.id, refetches=True)
    records = await services.openers.stored_source(row).fetch(refs, context.selection, stored)
    raw = RawIdentity(email=(one.email,), phone=("+44 20 7946 0123",), last_name=(f"Doe{one.key}",), gclid=(one.gclid,))
    hashed = identify(raw)
    people = People(services.keyring, Fingerprints(b"k" * 32))
    upload = UploadRow(
        kind=DeliveryKind.UPLOAD,
        conversion_id="ll1",
        milestone="lead",
        target=Target.of({"conversion_action": "1"}),
        occurred_at=one.created_at,
        identifiers={**hashed.identifiers, Identifier.GCLID: one.gclid},
        consent=Consent(ConsentState.GRANTED, ConsentState.GRANTED),
    )
    assert len(records) == len(refs)
    return [
        *(repr(record) + str(record) for record in records),
        *(repr(x) + str(x) for x in (raw, hashed, people.seal(raw, b""), upload)),
    ]


def _told(error: ConnectorError) -> str:
    """All that an error says of itself, with its causes."""
    return "\n".join([str(error), repr(error), repr(error.args), repr(vars(error)), *traceback.format_exception(error)])


async def _content(url: str, folder: Path) -> bytes:
    """The whole database: its files, or every value of every table."""
    if url.startswith("sqlite"):
        return b"".join(file.read_bytes() for file in folder.glob("leadloop.db*"))  # noqa: ASYNC240 the service is closed
    database = Database(url)
    parts: list[bytes] = []
    async with database.read() as connection:
        async for row in _rows(connection):
            parts += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    await database.close()
    return b"\n".join(parts)


async def _rows(connection: Any) -> AsyncIterator[Any]:
    for table in metadata.sorted_tables:
        for row in await connection.execute(select(table)):
            yield row


def _needles(one: PersonFacts) -> Iterator[bytes]:
    """What must not be found: each value in clear and as any plain digest of it that somebody might store."""
    values = {one.email, one.email.upper(), one.phone, f"Doe{one.key}"}
    digits = "".join(letter for letter in one.phone if letter.isdigit())
    values |= {f"+{digits}", digits} if digits else set()
    for value in values - {""}:
        yield value.encode()
        for form in {value, value.lower()}:
            digest = hashlib.sha256(form.encode())
            yield digest.digest()
            yield digest.hexdigest().encode()
            yield digest.hexdigest().upper().encode()
            yield base64.b64encode(digest.digest()).rstrip(b"=")
            yield base64.urlsafe_b64encode(digest.digest()).rstrip(b"=")


def test_the_needles_would_be_found() -> None:
    """A search that finds nothing proves something only if it would find what is there."""
    one: Company = build_company(3, deals=16)
    person = next(each for each in one.people.values() if each.email)
    stored = b"x" + hashlib.sha256(person.email.encode()).digest() + b"y"

    assert [needle for needle in _needles(person) if needle in stored] != []
