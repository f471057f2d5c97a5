"""The command: build the world, play it, show what came of it, serve it."""

import gc
import secrets
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import uvicorn
from rich.console import Console

from app.demo.play import DAYS_OF_VERDICTS, Play, open_play, today
from app.demo.screen import Address, console_for_person, invite, progress, show
from app.demo.stage import set_stage
from app.demo.summary import results_of
from app.demo.world import build_world
from app.main import app_of
from app.telemetry.logs import configure_logs

SEED = 2026
# A sample of the 8,800 opportunities, so that all months play in under two minutes; `--deals 8800` plays them all.
USUAL_DEALS = 400


async def demo(*, days: int, most_deals: int, seed: int, serves: bool, port: int) -> int:
    """Exit code 0 where the books balance and each platform's ledger is equal to ours."""
    started = time.monotonic()
    configure_logs(as_json=False, level="error")
    console = console_for_person()
    console.print("[bold]Leadloop[/] plays a real sales pipeline: a simulated HubSpot on one side, Google and Meta on the other.")
    world = build_world(seed=seed, ends_at=today(), days=days, most_deals=most_deals)
    stage = set_stage(world, seed=seed)
    _spare_the_collector()
    key = secrets.token_urlsafe(24)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadloop-demo-")))
        play = await open_play(stage, f"sqlite:///{folder / 'demo.db'}", folder, stack, api_key=key)
        with progress(console, world.begins_at, world.ends_at + timedelta(days=DAYS_OF_VERDICTS)) as on_tick:
            await play.run(world.ends_at, on_tick)
        results = await results_of(play, folder)
        show(console, play, results, time.monotonic() - started)
        if serves:
            await _serve(console, play, Address(f"http://127.0.0.1:{port}", key), results.example, port)
    return 0 if results.is_right else 1


def _spare_the_collector() -> None:
    """The world stays to the end: walking through it again and again would cost a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


async def _serve(console: Console, play: Play, address: Address, example: str, port: int) -> None:
    """The API with the result, until it is interrupted."""
    invite(console, address, example)
    config = uvicorn.Config(app_of(play.services), host="127.0.0.1", port=port, log_config=None, lifespan="off")
    await uvicorn.Server(config).serve()
