"""Creating at a platform what milestones need there: conversion actions, rules, goals. A plan first, then the doing."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from connectors.contract.conversions import Target


class Provision(StrEnum):
    """`keep`: it is there and right. `create`, `change`: what provisioning will do. `blocked`: a person must act first."""

    KEEP = "keep"
    CREATE = "create"
    CHANGE = "change"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class WantedTarget:
    """What a milestone needs. `target`: what the mapping names for it, None where it names none yet.

    `name`: under which name it is made where the mapping gives none; stable, so that a second run finds it again.
    `takes_value`: the mapping gives this milestone a value. `currency`: that value's, where it is fixed.
    """

    milestone: str
    target: Target | None
    name: str
    takes_value: bool = False
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedTarget:
    """What is to be done for a milestone, and what there is. `target`: what the mapping shall name, None before it is made.

    `message` says it in a sentence, with what `change` changes or why it is `blocked`.
    """

    milestone: str
    action: Provision
    message: str
    target: Target | None = None


@runtime_checkable
class Provisions(Protocol):
    """Makes what milestones need at the platform. Idempotent: what is there is found by id or by name, never made twice."""

    async def plan(self, wanted: Sequence[WantedTarget]) -> Sequence[PlannedTarget]:
        """What there is and what would be done, one for each wanted target, in order. Reads only."""
        ...

    async def provision(self, wanted: Sequence[WantedTarget]) -> Sequence[PlannedTarget]:
        """Do what `plan` says now; what was done, in order. What failed alone is `blocked` with the vendor's words."""
        ...
