"""Play the world: a simulated HubSpot and Google, Leadloop between them on a simulated clock, and a summary at the end."""

import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.bootstrap.services import Services, open_services
from app.config import Settings
from app.demo.config import ACTIONS, config_text
from app.demo.summary import Books, read_books
from app.demo.world import CUSTOM_PROPERTIES, Happening, What, World, build_world
from connectors.simulators.google import Account, Click, ConversionAction, GooglePlatform, Person, create_google
from connectors.simulators.hubspot import Portal, create_hubspot

TICKS_A_DAY = 4
SEED = 2026
ACCOUNT = "4812093377"


class SimulatedClock:
    """A clock that moves only when it is told to."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The instant it shows."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)


@dataclass(slots=True)
class Stage:
    """The simulators with the clock that they and Leadloop share."""

    portal: Portal
    google: GooglePlatform
    clock: SimulatedClock
    world: World
    ids: dict[str, str]
    crm_token: str
    ads_token: str

    @property
    def http(self) -> httpx.AsyncClient:
        """A client whose hosts are the simulators."""
        return httpx.AsyncClient(
            mounts={
                "http://hubspot.demo": httpx.ASGITransport(create_hubspot(self.portal, self.clock)),
                "http://google.demo": httpx.ASGITransport(create_google(self.google, self.clock)),
            },
            follow_redirects=False,
        )

    def happen(self, one: Happening) -> None:
        """Let one thing happen in the CRM."""
        match one.what:
            case What.CREATE:
                self.ids[one.key] = self.portal.create(one.kind, dict(one.properties), one.at)
            case What.UPDATE:
                self.portal.update(one.kind, self.ids[one.key], dict(one.properties), one.at)
            case What.ASSOCIATE:
                self.portal.associate(self.ids[one.key], self.ids[one.other], one.label or None, at=one.at)
            case What.MERGE:
                kept, gone, is_new = self.ids[one.key], self.ids[one.other], bool(one.new_key)
                self.ids[one.new_key or one.key] = self.portal.merge(one.kind, kept, gone, one.at, new_id=is_new)
            case What.DELETE:
                self.portal.archive(one.kind, self.ids[one.key], one.at)


def set_stage(*, days: int, most_deals: int, ends_at: datetime, seed: int = SEED) -> Stage:
    """Simulators for the world, with the clock at its beginning."""
    world = build_world(seed=seed, ends_at=ends_at, days=days, most_deals=most_deals)
    begins_at = ends_at - timedelta(days=days)
    crm_token, ads_token = f"pat-na1-{secrets.token_hex(16)}", secrets.token_hex(24)
    portal = Portal(tokens=(crm_token,), has_limits=False)
    for kind, names in CUSTOM_PROPERTIES.items():
        for name in names:
            portal.define_property(kind, name)
    created = begins_at - timedelta(days=30)
    account = Account(ACCOUNT, {action: ConversionAction(action, created) for action in ACTIONS.values()})
    google = GooglePlatform((account,), seed=seed)
    google.add_token(ads_token, frozenset({ACCOUNT}), ends_at + timedelta(days=60))
    google.add_clicks(*(Click(click.id, ACCOUNT, click.at) for click in world.google_clicks.values()))
    google.add_people(*(Person(one.digests, ACCOUNT, one.clicked_at) for one in world.known_to_google))
    return Stage(portal, google, SimulatedClock(begins_at), world, {}, crm_token, ads_token)


async def open_stage(stage: Stage, database_url: str, folder: Path, start: datetime) -> Services:
    """Leadloop on this stage, with the demo's mapping applied."""
    settings = Settings(database_url=database_url, secret_key=SecretStr(secrets.token_urlsafe(32)), allow_custom_base_urls=True)
    services = await open_services(settings, clock=stage.clock, environ={}, http=stage.http, sleep=stage.clock.sleep)
    file = folder / "leadloop.yaml"
    source = f'{{kind: hubspot, access_token: {stage.crm_token}, base_url: "http://hubspot.demo"}}'
    google = f'{{kind: google, account_id: "{ACCOUNT}", access_token: {stage.ads_token}, base_url: "http://google.demo"}}'
    file.write_text(config_text(start=start, source=source, destinations={"google": google}), encoding="utf-8")
    await services.apply_file(file, actor="demo")
    return services


async def run_stage(stage: Stage, services: Services, ends_at: datetime, on_tick: Callable[[datetime], None]) -> None:
    """Let the days pass: what happens in the CRM, then a tick of Leadloop; a last day for late verdicts."""
    step = timedelta(days=1) / TICKS_A_DAY
    waiting = list(reversed(stage.world.happenings))
    now = stage.clock.now
    while now < ends_at + timedelta(days=2):
        now += step
        while waiting and waiting[-1].at <= now:
            one = waiting.pop()
            stage.happen(one)
        stage.clock.now = now
        await services.tick()
        on_tick(now)


async def play(*, days: int, most_deals: int) -> int:
    """The demo: exit code 0 where everything that was owed is settled."""
    started = time.monotonic()
    console = Console()
    ends_at = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    stage = set_stage(days=days, most_deals=most_deals, ends_at=ends_at)
    start = stage.clock.now
    with tempfile.TemporaryDirectory(prefix="leadloop-demo-") as name:
        folder = Path(name)
        services = await open_stage(stage, f"sqlite:///{folder / 'demo.db'}", folder, start)
        try:
            bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console)
            with bar:
                task = bar.add_task("", total=(days + 2) * TICKS_A_DAY)
                await run_stage(stage, services, ends_at, lambda now: bar.update(task, advance=1, description=f"{now:%Y-%m-%d}"))
            books = await read_books(services.database)
        finally:
            await services.close()
    _show(console, books, stage, time.monotonic() - started)
    return 0 if books.balance else 1


def _show(console: Console, books: Books, stage: Stage, seconds: float) -> None:
    console.print(f"\n{books.leads:,} leads, {sum(books.milestones.values()):,} conversions in {seconds:.1f} s\n")
    table = Table("milestone", "conversions", "with value", title="What became of the leads")
    for name, count in books.milestones.items():
        table.add_row(name, f"{count:,}", f"{books.worth.get(name, 0) / 1_000_000:,.0f} USD")
    console.print(table)
    table = Table("destination", "state", "why", "deliveries", title="What the platforms were told")
    for (destination, state, reason), count in sorted(books.deliveries.items()):
        table.add_row(destination, state, reason, f"{count:,}")
    console.print(table)
    counted = sum(entry.times_counted for entry in stage.google.ledger.entries.values())
    doubled = sum(entry.times_counted > 1 for entry in stage.google.ledger.entries.values())
    console.print(f"Google's own ledger counts {counted:,} conversions, {doubled} of them twice.")
    console.print(f"Requests: HubSpot {sum(stage.portal.requests.values()):,}, Google {sum(stage.google.calls.values()):,}.")
