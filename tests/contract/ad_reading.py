"""A connector opened on a simulated platform, and the rows that tests send it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors import registry
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Money, UploadRow
from connectors.contract.destination import AdDestination
from connectors.contract.errors import ConnectorError
from connectors.contract.results import NotProcessed, UploadResult
from connectors.http.client import Hooks
from tests.contract.ad_stage import AdAbility, AdStage
from tests.contract.ad_stages import AD_STAGES
from tests.memory_tokens import MemoryTokens

GRANTED = Consent(ConsentState.GRANTED, ConsentState.GRANTED)
MILESTONE = "qualified_lead"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@asynccontextmanager
async def connected(stage: AdStage, *, oauth: bool = False) -> AsyncIterator[AdDestination]:
    """The connector as the service opens it, on the stage's clock; its pauses pass in no time."""

    async def sleep(seconds: float) -> None:
        stage.clock.at += timedelta(seconds=seconds)

    tokens = MemoryTokens()
    async with httpx.AsyncClient(transport=stage.transport()) as client:
        settings = stage.settings(oauth=oauth)
        yield registry.open_destination(stage.kind, settings, client, tokens, tokens.lock, stage.clock, Hooks(), sleep)


def row(stage: AdStage, number: int = 1, **changes: Any) -> UploadRow:
    """A conversion of a person who is known there, a day ago, with everything that can be sent."""
    parts: dict[str, Any] = {
        "kind": DeliveryKind.UPLOAD,
        "conversion_id": f"ll{number:026d}",
        "milestone": MILESTONE,
        "target": stage.target(MILESTONE),
        "occurred_at": stage.clock() - DAY,
        "identifiers": stage.person(number),
        "consent": GRANTED,
        "money": Money(50_000_000, stage.account_currency),
        "clicked_at": stage.clock() - 5 * DAY,
        "source_kind": "hubspot",
    }
    found = UploadRow(**{**parts, **changes})
    if found.clicked_at is not None:
        stage.clicked(number, found.clicked_at)
    return found


def rows(stage: AdStage, count: int, **changes: Any) -> list[UploadRow]:
    """So many people."""
    return [row(stage, number + 1, **changes) for number in range(count)]


def one_form(stage: AdStage, destination: AdDestination, given: Sequence[UploadRow]) -> list[UploadRow]:
    """The same rows without what would set some of them apart from others."""
    apart = destination.limits.apart
    return [replace(one, identifiers=without(one.identifiers, apart)) for one in given]


def without(identifiers: Mapping[Identifier, str], left_out: frozenset[Identifier]) -> dict[Identifier, str]:
    """The identifiers but these."""
    return {one: value for one, value in identifiers.items() if one not in left_out}


async def outcome(
    destination: AdDestination, given: Sequence[UploadRow], now: datetime
) -> Sequence[UploadResult] | ConnectorError:
    """What an upload comes to: its results, or the error of the call."""
    try:
        return await destination.upload(given, now)
    except ConnectorError as error:
        return error


async def sent_through(destination: AdDestination, given: Sequence[UploadRow], now: datetime) -> dict[str, UploadResult]:
    """Sends as the dispatcher does: what was not processed again, in halves where no row was named. The last result of each."""
    found: dict[str, UploadResult] = {}
    work = [list(given)]
    while work:
        batch = work.pop()
        results = await destination.upload(batch, now)
        assert len(results) == len(batch)
        found |= {one.conversion_id: result for one, result in zip(batch, results, strict=True)}
        again = [one for one, result in zip(batch, results, strict=True) if isinstance(result, NotProcessed)]
        if not again or len(batch) == 1:
            continue
        middle = len(again) // 2 if len(again) == len(batch) else 0
        work += [part for part in (again[:middle], again[middle:]) if part]
    return found


def able(*abilities: AdAbility) -> pytest.MarkDecorator:
    """Only on the platforms that have all of these."""
    named = sorted(name for name, made in AD_STAGES.items() if set(abilities) <= made.abilities)
    return pytest.mark.parametrize("ad", named, indirect=True)
