"""Pipedrive's own OpenAPI documents take every request that the connector sends, and the answers that it was given."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.mapping.document import parse_document
from app.mapping.selection import selection_of
from connectors import registry
from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.selection import Selection
from connectors.contract.source import CrmSource, KeepsWebhooks, StatusNote, Stored, Window, WritesBack
from connectors.http.client import Hooks
from tests.contract.crm_stage import HOOK, Clock, Step
from tests.contract.pipedrive_stage import PipedriveStage
from tests.memory_tokens import MemoryTokens
from tests.referees.pipedrive_recorder import Recorder, judged

pytest.importorskip("openapi_schema_validator", reason="the validator lives in an environment of its own (make test-referees)")

SINCE = datetime(2026, 11, 20, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KINDS = (ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL)


def opened(stage: PipedriveStage, recorder: Recorder, *, oauth: bool) -> CrmSource:
    async def sleep(seconds: float) -> None:
        stage.clock.go_on(timedelta(seconds=seconds))

    tokens, http = MemoryTokens(), httpx.AsyncClient(transport=recorder)
    settings = stage.settings(oauth=oauth)
    return registry.open_source("pipedrive", settings, http, tokens, tokens.lock, stage.clock, Hooks(), sleep)


def acted(stage: PipedriveStage) -> None:
    """A week of a company in a few acts, more deals than a page holds among them."""
    at = stage.clock.go_on
    person, twin = stage.add_person(at(MINUTE), "jane@example.com"), stage.add_person(at(MINUTE), "twin@example.com")
    stage.qualify(person, at(MINUTE))
    deals = [stage.add_deal(at(timedelta(seconds=1)), amount=100, person=person) for _ in range(520)]
    stage.move(deals[0], Step.OPPORTUNITY, at(MINUTE))
    stage.move(deals[0], Step.WON, at(MINUTE))
    stage.archive_deal(deals[0], at(MINUTE))
    stage.move(deals[1], Step.LOST, at(MINUTE))
    stage.delete(ObjectKind.DEAL, deals[2], at(MINUTE))
    stage.merge_deals(deals[3], deals[4], at(MINUTE))
    stage.merge_people(person, twin, at(MINUTE))
    leads = [stage.add_lead(at(MINUTE), f"lead{number}@example.com") for number in range(3)]
    stage.qualify_lead(leads[0], at(MINUTE))
    stage.convert_lead(leads[1], at(MINUTE))
    stage.company.archive("lead", leads[2], at(MINUTE))
    at(MINUTE)


async def unchanged(kind: ObjectKind, rows: Any) -> frozenset[str]:
    return frozenset()


async def known(kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:
    return frozenset()


async def read(crm: CrmSource, stage: PipedriveStage) -> list[Record]:
    """Check, describe, poll every kind and fetch what came, as the service does."""
    await crm.check(frozenset(KINDS))
    selection: Selection = selection_of(parse_document(stage.mapping()), await crm.describe())
    stored = Stored(unchanged, known)
    records: list[Record] = []
    for kind in KINDS:
        async for page in crm.changes(Window(kind, SINCE), selection, stored):
            records += page.records
    gone = [RecordRef(ObjectKind.DEAL, "999999"), RecordRef(ObjectKind.LEAD, "adf21080-0e10-11eb-879b-05d71fb426ec")]
    await crm.fetch([record.ref for record in records[-20:]] + gone, selection, stored)
    return records


async def written(crm: CrmSource, stage: PipedriveStage, records: Sequence[Record]) -> None:
    """The optional abilities: webhooks kept, the sync status written back."""
    if isinstance(crm, KeepsWebhooks):
        for _ in range(2):
            await crm.keep_webhooks(f"{HOOK}-of-another-source", frozenset(KINDS))
    if isinstance(crm, WritesBack):
        codes = {one: stage.company.define_field(one, "Leadloop status") for one in ("deal", "person")}
        of = {ObjectKind.DEAL: codes["deal"], ObjectKind.LEAD: codes["deal"], ObjectKind.CONTACT: codes["person"]}
        some = [record.ref for record in (*records[:20], *records[-20:]) if record.ref.kind in of]
        for ref in some:
            await crm.write_back([StatusNote(ref, of[ref.kind], "won: sent 2026-11-20")])


@pytest.mark.parametrize("oauth", [False, True])
async def test_every_request_of_the_connector_passes_the_openapi(shared: Path, *, oauth: bool) -> None:
    """What the vendor's documents refuse, the vendor may refuse any day; a simulator of ours would not tell."""
    stage = PipedriveStage(Clock(SINCE))
    stage.company.shows_nulls = False
    acted(stage)
    recorder = Recorder(stage.transport())
    crm = opened(stage, recorder, oauth=oauth)

    records = await read(crm, stage)
    await written(crm, stage, records)

    assert {record.ref.kind for record in records} >= set(KINDS)
    assert [reason for verdict in judged(shared, recorder.exchanges) for reason in verdict] == []
