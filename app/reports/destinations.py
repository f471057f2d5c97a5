"""What each destination is: its state, its platform's limits and abilities as data, the API versions in use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.connections import repository as connections
from app.connections.repository import DestinationRow, TargetPause
from app.db.session import Database
from app.reports.platforms import Ability, LimitsView, Platform, VersionStatus, limits_view, rows_now, version_status
from app.reports.status import Pause, TargetStatus, pause_of, target_status


@dataclass(frozen=True, slots=True)
class AbilitiesView:
    """What the connector can beside uploading, and the platform allows."""

    adjusts: bool
    confirms: bool
    spend: bool
    provisions: bool
    test_events: bool


@dataclass(frozen=True, slots=True)
class DestinationView:
    """One ad account. `rows_per_request_now`: how many rows a request holds at most now. `credentials`: which there are.

    `milestone_modes`: milestones that are not live here, though the destination may be.

    `limits` is None for a kind that this release does not know; `api_versions` is empty where the settings cannot be used.
    """

    name: str
    kind: str
    mode: str
    milestone_modes: Mapping[str, str]
    pause: Pause | None
    paused_targets: Sequence[TargetStatus]
    differs_from_file: bool
    rows_per_request_now: int | None
    settings: Mapping[str, str]
    credentials: Sequence[str]
    limits: LimitsView | None
    api_versions: Sequence[VersionStatus]
    abilities: AbilitiesView


@dataclass(frozen=True, slots=True)
class ShownSettings:
    """What may be shown of a connection's settings: of credentials only which there are."""

    settings: Mapping[str, str]
    credentials: Sequence[str]


_NOTHING = ShownSettings({}, ())


@dataclass(frozen=True, slots=True)
class DestinationList:
    """All destinations by name."""

    items: Sequence[DestinationView]


async def list_destinations(
    database: Database, now: datetime, platforms: Mapping[str, Platform], shown: Mapping[str, ShownSettings]
) -> DestinationList:
    """All of them, in two statements. `platforms`: by name, what each connector says of itself; `shown`: their settings."""
    async with database.read() as connection:
        rows = await connections.list_destinations(connection)
        pauses = await connections.target_pauses_of(connection, [row.id for row in rows])
    return DestinationList(
        [_view(row, pauses.get(row.id, ()), platforms.get(row.name), shown.get(row.name, _NOTHING), now) for row in rows]
    )


def _view(
    row: DestinationRow, pauses: Sequence[TargetPause], platform: Platform | None, shown: ShownSettings, now: datetime
) -> DestinationView:
    able = frozenset[Ability]() if platform is None else platform.abilities
    return DestinationView(
        name=row.name,
        kind=row.kind,
        mode=row.mode.value,
        milestone_modes={name: mode.value for name, mode in row.milestone_modes.items()},
        pause=pause_of(row, now),
        paused_targets=[target_status(one) for one in pauses],
        differs_from_file=bool(row.differs_from_file),
        rows_per_request_now=None if platform is None else rows_now(platform.limits, row.batch_rows, row.adaptive_rows),
        settings=shown.settings,
        credentials=list(shown.credentials),
        limits=None if platform is None else limits_view(platform.limits),
        api_versions=[] if platform is None else [version_status(one, now) for one in platform.versions],
        abilities=AbilitiesView(**{one.value: one in able for one in Ability}),
    )
