"""What a destination's platform takes and can, as data for a page: limits, API versions, abilities (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from connectors.contract.destination import FOREVER, DestinationLimits
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.versions import ApiVersion

API_VERSION = "api_version"
VERSION_MEND = "upgrade Leadloop to a release that speaks a newer one, or set the version in the connection's settings"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class Ability(StrEnum):
    """What not every platform has; each is a protocol of the contract, named here as people say it."""

    ADJUSTS = "adjusts"
    CONFIRMS = "confirms"
    SPEND = "spend"
    PROVISIONS = "provisions"
    TEST_EVENTS = "test_events"


@dataclass(frozen=True, slots=True)
class Platform:
    """What is known of a destination's connector without asking the platform. `versions`: none where it cannot be opened."""

    limits: DestinationLimits
    abilities: frozenset[Ability]
    versions: Sequence[ApiVersion] = ()


class VersionState(StrEnum):
    """`in_use`: no end is near. `ending`: within sixty days. `over`: its last day is past."""

    IN_USE = "in_use"
    ENDING = "ending"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """An API in use. `sunset`: the platform switches it off on this day, None where it has named none."""

    api: str
    version: str
    sunset: date | None
    state: VersionState
    message: str | None
    mend: str | None


def version_status(version: ApiVersion, now: datetime) -> VersionStatus:
    """How long a version still lives; in words where its end is near."""
    today = now.date()
    if not version.warns(today):
        return VersionStatus(version.api, version.version, version.sunset, VersionState.IN_USE, None, None)
    is_over = version.is_over(today)
    said = f"{version.api} {version.version} {'was' if is_over else 'will be'} switched off on {version.sunset}"
    state = VersionState.OVER if is_over else VersionState.ENDING
    return VersionStatus(version.api, version.version, version.sunset, state, said, VERSION_MEND)


def version_finding(status: VersionStatus) -> Finding:
    """As a check tells it: an end that is near is no failure yet."""
    if status.state is VersionState.IN_USE:
        end = "no last day is known" if status.sunset is None else f"until {status.sunset}"
        return Finding(API_VERSION, FindingStatus.OK, f"{status.api} {status.version}: {end}")
    is_over = status.state is VersionState.OVER
    found = FindingStatus.FAILED if is_over else FindingStatus.UNPROVEN
    return Finding(API_VERSION, found, status.message or "", status.mend or "")


class Dedup(StrEnum):
    """Within which time a second upload under the same id is not counted twice."""

    FOREVER = "forever"
    WINDOW = "window"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class CorrectionLimits:
    """Which corrections the platform takes, and when: from `after_hours` to `within_days` the event."""

    restates: bool
    retracts: bool
    after_hours: float
    within_days: float


@dataclass(frozen=True, slots=True)
class LimitsView:
    """A platform's limits. `sufficient`: a conversion needs one of these sets of identifiers, each complete.

    `age_*_days`: the oldest event taken, with a click or lead id and without. `apart`: never in one request with rows without.
    `click_too_recent_hours`: how old a click must be. `dedup_window_days` is set where `dedup` is `window`.
    """

    rows: int
    targets_per_request: int
    requests_per_minute: int | None
    age_with_click_days: float
    age_without_click_days: float
    click_age_days: float | None
    click_too_recent_hours: float
    identifiers: Sequence[str]
    click_identifiers: Sequence[str]
    sufficient: Sequence[Sequence[str]]
    apart: Sequence[str]
    dedup: Dedup
    dedup_window_days: float | None
    corrections: CorrectionLimits
    needs_value: bool
    target_settings: Sequence[str]
    send_when: str


def limits_view(limits: DestinationLimits) -> LimitsView:
    """The limits as JSON can hold them; sets in alphabetical order."""
    window = limits.dedup_window
    dedup = Dedup.UNPROVEN if window is None else Dedup.FOREVER if window >= FOREVER else Dedup.WINDOW
    return LimitsView(
        rows=limits.rows,
        targets_per_request=limits.targets,
        requests_per_minute=limits.requests_per_minute,
        age_with_click_days=limits.age_with_click / DAY,
        age_without_click_days=limits.age_without_click / DAY,
        click_age_days=None if limits.click_age is None else limits.click_age / DAY,
        click_too_recent_hours=limits.too_recent_click / HOUR,
        identifiers=sorted(limits.identifiers),
        click_identifiers=sorted(limits.click_identifiers),
        sufficient=[sorted(one) for one in limits.sufficient],
        apart=sorted(limits.apart),
        dedup=dedup,
        dedup_window_days=window / DAY if window is not None and dedup is Dedup.WINDOW else None,
        corrections=CorrectionLimits(
            limits.restates, limits.retracts, limits.correction_after / HOUR, limits.correction_within / DAY
        ),
        needs_value=limits.needs_value,
        target_settings=sorted(limits.target_settings),
        send_when=limits.send_when,
    )


def rows_now(limits: DestinationLimits, batch_rows: int | None, adaptive_rows: int | None) -> int:
    """How many rows a request holds at most now: the platform's limit, the operator's, what the last replies taught."""
    return min(one for one in (limits.rows, batch_rows, adaptive_rows) if one is not None)
