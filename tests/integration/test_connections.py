import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import ConfigInvalid, ConnectionMode, FileConfig, FileSection, MappingSection, Mistake, section_hash
from app.connections import repository
from app.connections.file import ApplyReport, apply_file
from app.connections.repository import ConnectionRefused, Role, SourceRow
from app.connections.schema_codec import decode_schema, encode_schema
from app.connections.settings import open_settings, seal_settings
from app.connections.tokens import DatabaseTokenStore, drop_tokens, token_key, token_name
from app.db.session import Database
from app.db.tables import audit, mapping_versions, sources, tokens
from app.secrets import Keyring, load_fingerprints
from connectors.contract.records import ObjectKind
from connectors.contract.source import Option, PipelineSchema, PropertySchema, PropertyType, SourceSchema, StageSchema
from connectors.contract.tokens import Tokens

KEYRING = Keyring.from_texts(["a secret key for tests"])
NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
NOW_MS = 1_795_514_400_000
SCHEMA = SourceSchema(
    account_ref="4711",
    currency="EUR",
    time_zone="Europe/Berlin",
    properties={
        ObjectKind.DEAL: {
            "amount": PropertySchema("amount", "Amount", PropertyType.MONEY, currency_property="deal_currency_code"),
            "kind": PropertySchema("kind", "Art", PropertyType.ENUM, (Option("1", "Neu"), Option("2", "Alt")), has_history=False),
        }
    },
    pipelines=(
        PipelineSchema(
            "default",
            "Sales",
            ObjectKind.DEAL,
            "dealstage",
            (StageSchema("open", "Open", 0.25), StageSchema("closedwon", "Won", 1.0, is_won=True)),
        ),
    ),
    person_labels=("Decision maker",),
    record_urls={ObjectKind.DEAL: "https://crm.example/deal/{id}"},
)


def _section(kind: str, mode: ConnectionMode | None = None, **settings: str) -> FileSection:
    return FileSection(kind, settings, section_hash([kind, mode, settings]), mode)


def _mapping(**data: object) -> MappingSection:
    return MappingSection(data, section_hash(data))


class _Mappings:
    """A mapping room that stores versions and refuses what holds `wrong`."""

    def __init__(self) -> None:
        self.applied: list[str] = []

    async def __call__(
        self, connection: AsyncConnection, source_id: int, name: str, data: Mapping[str, object]
    ) -> Sequence[Mistake]:
        if "wrong" in data:
            return [Mistake("wrong", "is not known", "right")]
        self.applied.append(name)
        version = int(await connection.scalar(select(func.count()).select_from(mapping_versions)) or 0) + 1
        await connection.execute(
            insert(mapping_versions).values(
                id=source_id * 100 + version,
                source_id=source_id,
                version=version,
                document_json="{}",
                created_at=NOW_MS,
                created_by="file",
            )
        )
        return []


async def _apply(database: Database, config: FileConfig, mappings: _Mappings | None = None) -> ApplyReport:
    return await apply_file(database, KEYRING, config, NOW, actor="file", apply_mapping=mappings or _Mappings())


async def _source(database: Database, name: str) -> SourceRow:
    async with database.read() as connection:
        row = await repository.source_by_name(connection, name)
    assert row is not None
    return row


async def test_replicas_that_start_together_share_one_fingerprint_key(database: Database) -> None:
    """Two keys would make one person two persons, and a tombstone of one replica invisible to the other."""
    made = await asyncio.gather(*(load_fingerprints(database, KEYRING) for _ in range(5)))

    assert len({fingerprints.of("email", "a@b.example") for fingerprints in made}) == 1


async def test_fingerprints_survive_rotation_of_the_secret_key(database: Database) -> None:
    """After a rotation, and even after the old key is thrown away, a known e-mail must stay known."""
    old, new = "an old secret of an operator", "a new secret of an operator"
    before = await load_fingerprints(database, Keyring.from_texts([old]))

    rotated = await load_fingerprints(database, Keyring.from_texts([new, old]))
    after = await load_fingerprints(database, Keyring.from_texts([new]))

    assert before.of("email", "x") == rotated.of("email", "x") == after.of("email", "x")


async def test_tokens_are_saved_only_over_the_version_that_was_read(database: Database) -> None:
    """A refresh token is often valid once: the loser of a race must see that it lost, and read again."""
    store = DatabaseTokenStore(database, KEYRING, token_name(Role.SOURCE, "crm"))
    assert await store.load() is None

    first = await store.save(0, Tokens("access-1", NOW, "refresh-1"))
    late = await store.save(0, Tokens("access-x", NOW, None))
    assert first is not None
    assert (first.version, late) == (1, None)

    second = await store.save(1, Tokens("access-2", NOW + timedelta(hours=1), "refresh-2"))
    assert second is not None
    assert await store.save(1, Tokens("access-y", NOW, None)) is None
    assert await store.load() == Tokens("access-2", NOW + timedelta(hours=1), "refresh-2", version=2)
    assert "access-2" not in repr(await store.load())


async def test_one_of_two_racing_saves_wins(database: Database) -> None:
    """Both replicas refreshed; exactly one result may stand."""
    stores = [DatabaseTokenStore(database, KEYRING, "destination:google") for _ in range(2)]
    await stores[0].save(0, Tokens("access", NOW, "refresh"))

    results = await asyncio.gather(*(store.save(1, Tokens(f"access-{n}", NOW)) for n, store in enumerate(stores)))

    assert sum(result is not None for result in results) == 1


async def test_tokens_belong_to_the_credential_that_gained_them(database: Database) -> None:
    """A secret behind a reference changes without the file: the old grant's token must not be used in its place."""
    name = token_name(Role.DESTINATION, "google")
    old, new, neighbour = (
        DatabaseTokenStore(database, KEYRING, key)
        for key in (
            token_key(name, {"refresh_token": "old", "client_id": "x"}),
            token_key(name, {"refresh_token": "new", "client_id": "x"}),
            token_key(f"{name}-2", {"refresh_token": "old", "client_id": "x"}),
        )
    )
    await old.save(0, Tokens("access-1", NOW, "rotated"))
    await neighbour.save(0, Tokens("access-2", NOW))

    assert await new.load() is None
    await new.save(0, Tokens("access-3", NOW))
    assert await old.load() == Tokens("access-1", NOW, "rotated", version=1)
    async with database.write() as connection:
        await drop_tokens(connection, name)

    assert (await old.load(), await new.load()) == (None, None)
    assert await neighbour.load() is not None


async def test_tokens_are_sealed_and_dropped_for_good(database: Database) -> None:
    """New credentials end the old grant: a refresh that was under way must not bring its tokens back."""
    store = DatabaseTokenStore(database, KEYRING, "source:crm")
    await store.save(0, Tokens("access-1", NOW, "refresh-1"))
    async with database.write() as connection:
        sealed = bytes(await connection.scalar(select(tokens.c.sealed)) or b"")
        await drop_tokens(connection, "source:crm")

    assert b"access-1" not in sealed
    assert await store.load() is None
    assert await store.save(1, Tokens("late", NOW)) is None
    fresh = await store.save(0, Tokens("fresh", NOW))
    assert fresh is not None
    assert fresh.version == 3
    assert await store.save(1, Tokens("later still", NOW)) is None


async def test_first_apply_stores_sealed_references(database: Database) -> None:
    """At rest there is a seal, and inside it a reference and no secret."""
    config = FileConfig(
        sources={"crm": _section("hubspot", token="${HUBSPOT_TOKEN}")},
        destinations={"google": _section("google", ConnectionMode.SHADOW, customer_id="1")},
        mappings={"crm": _mapping(milestones=[])},
    )

    report = await _apply(database, config)

    assert report == ApplyReport(created=("sources.crm", "destinations.google", "mappings.crm"))
    row = await _source(database, "crm")
    assert open_settings(KEYRING, row.settings_sealed) == {"token": "${HUBSPOT_TOKEN}"}
    assert b"HUBSPOT_TOKEN" not in row.settings_sealed
    assert row.webhook_token is not None
    assert row.webhook_token not in repr(row)
    async with database.read() as connection:
        destination = await repository.destination_by_name(connection, "google")
        subjects = (await connection.execute(select(audit.c.subject).order_by(audit.c.id))).scalars().all()
    assert destination is not None
    assert destination.mode is ConnectionMode.SHADOW
    assert list(subjects) == list(report.created)


async def test_edits_over_rest_survive_a_restart_with_the_same_file(database: Database) -> None:
    """Only a changed section is applied; otherwise each restart would undo what a person set since."""
    config = FileConfig(sources={"crm": _section("hubspot", token="a")}, mappings={"crm": _mapping(milestones=[])})
    mappings = _Mappings()
    await _apply(database, config, mappings)
    async with database.write() as connection:
        edited = seal_settings(KEYRING, {"token": "over rest"})
        await repository.upsert_source(connection, "crm", "hubspot", edited, None, NOW_MS)

    report = await _apply(database, config, mappings)

    row = await _source(database, "crm")
    assert report == ApplyReport(unchanged=("sources.crm", "mappings.crm"))
    assert open_settings(KEYRING, row.settings_sealed) == {"token": "over rest"}
    assert row.differs_from_file
    assert mappings.applied == ["crm"]


async def test_a_changed_section_is_applied_and_ends_the_difference(database: Database) -> None:
    """The file speaks again as soon as its author changed it; ids and tokens of webhooks stay."""
    await _apply(database, FileConfig(sources={"crm": _section("hubspot", token="a")}))
    before = await _source(database, "crm")
    store = DatabaseTokenStore(database, KEYRING, "source:crm")
    await store.save(0, Tokens("access", NOW))
    async with database.write() as connection:
        await repository.set_mode(connection, Role.SOURCE, before.id, ConnectionMode.PAUSED)
    assert (await _source(database, "crm")).differs_from_file

    report = await _apply(database, FileConfig(sources={"crm": _section("hubspot", token="b")}))

    row = await _source(database, "crm")
    assert report == ApplyReport(changed=("sources.crm",))
    assert (row.id, row.webhook_token) == (before.id, before.webhook_token)
    assert not row.differs_from_file
    assert row.mode is ConnectionMode.PAUSED
    assert await store.load() is None


async def test_nothing_is_stored_if_anything_is_wrong(database: Database) -> None:
    """Half a file applied would be a configuration that nobody wrote."""
    config = FileConfig(
        sources={"crm": _section("hubspot")},
        mappings={"crm": _mapping(wrong=1), "cmr": _mapping(milestones=[])},
    )

    with pytest.raises(ConfigInvalid) as caught:
        await _apply(database, config)

    assert caught.value.mistakes == (
        Mistake("mappings.crm.wrong", "is not known", "right"),
        Mistake("mappings.cmr", "no source has this name", "crm"),
    )
    async with database.read() as connection:
        assert await repository.list_sources(connection) == []


async def test_sections_are_checked_by_who_knows_the_kinds(database: Database) -> None:
    """A wrong kind must be told before it is stored, also where the section did not change."""

    def check(role: Role, name: str, section: FileSection) -> Sequence[Mistake]:
        return [] if section.kind == "hubspot" else [Mistake("kind", f"{role} {name} is unknown", "hubspot")]

    config = FileConfig(sources={"a": _section("hubspot"), "b": _section("hubspto")})
    with pytest.raises(ConfigInvalid) as caught:
        await apply_file(database, KEYRING, config, NOW, actor="x", apply_mapping=_Mappings(), check_section=check)

    assert caught.value.mistakes == (Mistake("sources.b.kind", "source b is unknown", "hubspot"),)


async def test_what_left_the_file_stays_and_is_shown(database: Database) -> None:
    """Deleting lines of a file must not delete what was recorded; restoring them applies them again."""
    both = FileConfig(sources={"a": _section("hubspot"), "b": _section("pipedrive")})
    await _apply(database, both)

    report = await _apply(database, FileConfig(sources={"a": _section("hubspot")}))
    assert report == ApplyReport(unchanged=("sources.a",), missing=("sources.b",))
    assert report.text() == "unchanged: sources.a\nnot in this file, kept as they are: sources.b"
    assert (await _source(database, "b")).differs_from_file

    assert (await _apply(database, both)).changed == ("sources.b",)
    assert not (await _source(database, "b")).differs_from_file


async def test_replicas_may_apply_one_file_at_once(database: Database) -> None:
    """All replicas read the same file at start; one of them applies it."""
    config = FileConfig(sources={"crm": _section("hubspot")}, mappings={"crm": _mapping(milestones=[])})
    mappings = _Mappings()

    reports = await asyncio.gather(*(_apply(database, config, mappings) for _ in range(3)))

    assert sorted(len(report.created) for report in reports) == [0, 0, 2]
    assert mappings.applied == ["crm"]


async def test_a_source_keeps_its_kind_and_account(database: Database) -> None:
    """Records of two accounts under one name would share ids: conversions lost or counted for the wrong person."""
    config = FileConfig(sources={"a": _section("hubspot"), "b": _section("hubspot")})
    await _apply(database, config)
    a, b = await _source(database, "a"), await _source(database, "b")
    async with database.write() as connection:
        for row in (a, b):
            await repository.save_schema(connection, row.id, encode_schema(SCHEMA), "4711", NOW_MS)

    async with database.write() as connection:
        with pytest.raises(ConnectionRefused, match="4712"):
            await repository.save_schema(connection, a.id, encode_schema(SCHEMA), "4712", NOW_MS)
    with pytest.raises(ConfigInvalid, match=r"sources\.a\.kind"):
        await _apply(database, FileConfig(sources={"a": _section("salesforce")}))

    stored = await _source(database, "b")
    assert stored.account_ref == "4711"
    assert stored.described_at == NOW_MS
    assert decode_schema(stored.schema_json or "") == SCHEMA


async def test_pauses_end_by_time_or_by_a_check(database: Database) -> None:
    """A quota ends by itself, refused credentials do not: claiming must tell them apart."""
    await _apply(database, FileConfig(sources={"crm": _section("hubspot")}))
    row = await _source(database, "crm")
    assert not row.is_paused(NOW_MS)

    async with database.write() as connection:
        await repository.pause(connection, Role.SOURCE, row.id, "quota", NOW_MS + 1000)
    assert (await _source(database, "crm")).is_paused(NOW_MS)
    assert not (await _source(database, "crm")).is_paused(NOW_MS + 1000)

    async with database.write() as connection:
        await repository.pause(connection, Role.SOURCE, row.id, "credentials", None)
    assert (await _source(database, "crm")).is_paused(NOW_MS + 10**9)

    async with database.write() as connection:
        await repository.resume(connection, Role.SOURCE, row.id)
        by_id = await repository.source_by_id(connection, row.id)
    assert by_id is not None
    assert not by_id.is_paused(NOW_MS)


async def test_targets_pause_alone(database: Database) -> None:
    """One deleted conversion action must stop its own milestone and no other (P4)."""
    async with database.write() as connection:
        google = await repository.upsert_destination(connection, "google", "google", b"", None, NOW_MS)
        meta = await repository.upsert_destination(connection, "meta", "meta", b"", None, NOW_MS)
        await repository.pause_target(connection, google, "a", "NOT_FOUND", NOW_MS)
        await repository.pause_target(connection, google, "a", "DISABLED", NOW_MS + 5)
        await repository.pause_target(connection, google, "b", "NOT_FOUND", NOW_MS)
        await repository.set_batch_rows(connection, google, 7)

        paused = await repository.target_pauses_of(connection, [google, meta])
        cleared = await repository.resume_other_targets(connection, google, ["a", "c"])
        left = await repository.target_pauses_of(connection, [google])
        rows = await repository.list_destinations(connection)
        by_id = await repository.destination_by_id(connection, meta)

    assert [(pause.target, pause.code, pause.since) for pause in paused[google]] == [
        ("a", "DISABLED", NOW_MS),
        ("b", "NOT_FOUND", NOW_MS),
    ]
    assert meta not in paused
    assert cleared == 1
    assert [pause.target for pause in left[google]] == ["a"]
    assert [(row.name, row.batch_rows) for row in rows] == [("google", 7), ("meta", None)]
    assert by_id == rows[1]


async def test_webhook_tokens_differ_between_sources(database: Database) -> None:
    """The token in the webhook's address routes to one source."""
    await _apply(database, FileConfig(sources={"a": _section("hubspot"), "b": _section("hubspot")}))

    async with database.read() as connection:
        found = (await connection.execute(select(sources.c.webhook_token))).scalars().all()

    assert len(set(found)) == 2
