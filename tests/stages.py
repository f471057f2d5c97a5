"""Stages of the demo for tests: small worlds, no faults on the way."""

from datetime import datetime

from app.demo.command import SEED
from app.demo.stage import Stage, set_stage
from app.demo.world import build_world


def stage_of(*, days: int, most_deals: int, ends_at: datetime) -> Stage:
    """Simulators for the last days of a few deals, with the clock at their beginning."""
    return set_stage(build_world(seed=SEED, ends_at=ends_at, days=days, most_deals=most_deals), seed=SEED, share_of_faults=0)
