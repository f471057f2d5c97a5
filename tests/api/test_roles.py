"""`LEADLOOP_ROLES`: a process opens the doors and does the work of its roles, and no other."""

from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.config import ProcessRole, Settings
from app.main import create_app
from tests.api.rig import KEY, rig_on

API, SCHEDULER, WORKER = ProcessRole.API, ProcessRole.SCHEDULER, ProcessRole.WORKER


@pytest.mark.parametrize(("roles", "status", "webhook"), [({SCHEDULER, WORKER}, 404, 404), ({API}, 503, 503)])
async def test_only_the_role_api_opens_the_doors(roles: set[ProcessRole], status: int, webhook: int) -> None:
    """A worker in another network must not offer the API; whoever watches it asks the health doors."""
    app = create_app(Settings(secret_key=SecretStr("a secret text that is long"), api_key=SecretStr(KEY), roles=frozenset(roles)))
    app.user_middleware.clear()  # the gate would answer 503 before any door: the house is empty
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://one") as client:
        told = [(await client.get("/healthz")).status_code, (await client.get("/readyz")).status_code]
        asked = await client.get("/v1/status")
        knocked = await client.post("/webhooks/hubspot/token", content=b"[]")

    assert told == [200, 503]
    assert (asked.status_code, knocked.status_code) == (status, webhook)


@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_the_scheduler_pulls_and_the_worker_sends(tmp_path: Path, database_url: str) -> None:
    """Each half may run where it belongs: sending near the platforms, reading near the CRM."""
    async with rig_on(tmp_path, database_url) as rig:
        rig.person(lifecyclestage="salesqualifiedlead")

        nothing = await rig.services.tick(roles={WORKER})
        pulled = await rig.services.tick(roles={SCHEDULER})
        again = await rig.services.tick(roles={SCHEDULER})
        sent = await rig.services.tick(roles={WORKER})

    assert (nothing.records, nothing.sent) == (0, 0)
    assert (pulled.records, pulled.sent, again.sent) == (1, 0, 0)
    assert (sent.records, sent.sent) == (0, 1)
