"""A process that backfills the account of `backfill_stage`, and dies by SIGKILL at the statement or commit that it was told.

`python -m tests.e2e.backfill_worker DATABASE_URL PORT FOLDER KILL_AT` (0: lives to the end) prints what it did as JSON.
"""

import asyncio
import json
import os
import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Engine, event

from app.bootstrap.services import Services, open_services
from app.config import Settings
from tests.e2e.backfill_stage import FIRST_AT, TOKEN

SECRET = "a long enough secret for the backfill, kept for all its workers"
LEASE_WAIT_SECONDS = 0.05
CONFIG = """
sources:
  hubspot:
    kind: hubspot
    access_token: {token}
    base_url: "http://127.0.0.1:{port}"
    requests_per_second: "100"
    searches_per_second: "100"
destinations:
  google:
    kind: google
    account_id: "4812093377"
    access_token: "unused: nothing is sent"
mappings:
  hubspot:
    history: 1d
    identity: {{email: [contact.email]}}
    consent: {{not_required: true, because: "a test"}}
    milestones:
      - name: qualified_lead
        when: [{{object: contact, property: lifecyclestage, enters: [salesqualifiedlead]}}]
      - name: opportunity
        when: [{{object: deal, property: dealstage, pipeline: default, enters: [qualifiedtobuy]}}]
        value: {{model: field, field: deal.amount}}
    destinations:
      google:
        qualified_lead: {{conversion_action: "7302219941"}}
        opportunity: {{conversion_action: "7302219950"}}
"""


def clock_of(shift: timedelta) -> datetime:
    """A clock that is put forward for each life, so that a dead holder's lease has run out."""
    return datetime.now(UTC) + shift


class Steps:
    """Counts statements that write and commits, once it is ready."""

    def __init__(self, kill_at: int) -> None:
        self._kill_at = kill_at
        self.count = 0

    def take(self) -> None:
        """One step further, or the end."""
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, engine: Engine) -> None:
        """Die before a statement that writes, or just after a commit."""
        writes = re.compile(r"^\s*(INSERT INTO|UPDATE)\b")

        @event.listens_for(engine, "before_cursor_execute")
        def _statement(_connection: object, _cursor: object, sql: str, *_rest: object) -> None:
            if writes.search(sql):
                self.take()

        @event.listens_for(engine, "commit")
        def _commit(_connection: object) -> None:
            self.take()


async def work(url: str, port: int, folder: Path, kill_at: int) -> dict[str, int]:
    """Backfill to the end, whatever went before."""
    lives = folder / "lives"
    shift = timedelta(minutes=6) * (len(lives.read_text()) if lives.exists() else 0)
    with lives.open("a") as file:
        file.write(".")
    settings = Settings(database_url=url, secret_key=SecretStr(SECRET), allow_custom_base_urls=True)
    services = await open_services(settings, clock=lambda: clock_of(shift), environ={})
    try:
        return await _backfill(services, port, folder, Steps(kill_at))
    finally:
        await services.close()


async def _backfill(services: Services, port: int, folder: Path, steps: Steps) -> dict[str, int]:
    if not await services.sources():
        file = folder / "leadloop.yaml"
        file.write_text(CONFIG.format(token=TOKEN, port=port), encoding="utf-8")
        await services.apply_file(file, actor="test")
    row, context = await services.backfills.source("hubspot")
    await services.backfills.ask(context, FIRST_AT)
    steps.watch(services.database._writer.sync_engine)
    while True:
        pulled = await services.backfills.turn(row, budget=timedelta(seconds=30))
        state = await services.backfills.state(row.id)
        assert state is not None
        if state.is_done:
            break
        if pulled.is_busy:
            await asyncio.sleep(LEASE_WAIT_SECONDS)
    return {name: state.total(name) for name in ("pages", "seen", "records", "conversions")} | {
        "steps": steps.count,
        "peak_kb": peak_kb(),
    }


def peak_kb() -> int:
    """The most memory that this process ever had resident, in KiB (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) if found else 0


def main() -> None:
    """One life, from the command line's words."""
    url, port, folder, kill_at = sys.argv[1:]
    sys.stdout.write(json.dumps(asyncio.run(work(url, int(port), Path(folder), int(kill_at)))) + "\n")


if __name__ == "__main__":
    main()
