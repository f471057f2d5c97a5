"""Every upload and correction that a connector sent in any recorded test passes its vendor's own classes."""

import contextlib
import importlib.util
import io
import json
import os
import re
import runpy
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

Recorded = dict[str, Any]
FOLDER = "LEADLOOP_RECORDED_BODIES"
# By endpoint: the package that must be there to judge it, the referee, and how many bodies a recording has at least.
ENDPOINTS = {
    "events:ingest": ("google.ads.datamanager_v1", "google_datamanager.py", 100),
    "uploadConversionAdjustments": ("google.ads.googleads", "", 10),
    "/events": ("facebook_business", "meta_capi.py", 100),
    "OfflineConversions/Apply": ("openapi_client", "microsoft_offline.py", 50),
    "OfflineConversionAdjustments/Apply": ("openapi_client", "microsoft_offline.py --adjust", 10),
}


def is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def recorded(endpoint: str) -> Iterator[Recorded]:
    """What was sent to an endpoint; `/events` is Meta's, whose path begins with its version."""
    for file in sorted(Path(os.environ[FOLDER]).glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            one: Recorded = json.loads(line)
            if one["path"].endswith(endpoint) and (endpoint != "/events" or one["vendor"] == "Meta"):
                yield one


def ran(script: Path, options: list[str], one: Recorded) -> str:
    """What the referee says against a body, in this process, as it takes a second to import a vendor's package."""
    said, argv, stdin = io.StringIO(), sys.argv, sys.stdin
    sys.argv = [str(script), "-", *options, f"--now={int(one['now'])}"]
    sys.stdin = io.StringIO(json.dumps(one["body"]))
    try:
        with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv, sys.stdin = argv, stdin
    return "" if ended.value.code == 0 else said.getvalue()


def against(endpoint: str, referee: str, shared: Path, one: Recorded) -> str:
    if endpoint == "uploadConversionAdjustments":
        from tests.referees.google_ads_adjustments import reasons_against  # noqa: PLC0415 only in its own environment

        return "; ".join(reasons_against(one["body"], shared))
    script, *options = referee.split()
    return ran(shared / "referee" / script, options, one)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a vendor's package
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_vendor_s_own_classes_take_every_body(shared: Path, endpoint: str) -> None:
    """A body that the vendor refuses takes all its rows with it, whichever test thought of it."""
    package, referee, least = ENDPOINTS[endpoint]
    if FOLDER not in os.environ:
        pytest.skip("nothing was recorded (make test-referees)")
    if not is_installed(package):
        pytest.skip(f"{package} is not installed here")
    complaints: Counter[str] = Counter()
    bodies = 0
    for one in recorded(endpoint):
        bodies += 1
        for line in against(endpoint, referee, shared, one).splitlines():
            # Places and values differ from body to body; what is wrong does not.
            complaints[re.sub(r"\d+|'[^']*'", "*", line)] += 1

    assert not complaints
    assert bodies >= least, f"only {bodies} bodies were recorded"
