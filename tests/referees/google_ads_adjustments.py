"""Judges a body of `uploadConversionAdjustments` by the Google Ads API's own protobuf classes."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

MOST = 2000
AT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d")
ACTION = re.compile(r"customers/\d+/conversionActions/\d+")


def reasons_against(body: dict[str, Any], shared: Path, version: str = "v26") -> list[str]:
    """Why Google would refuse it; empty where it would not."""
    sys.path.insert(0, str(shared / "referee"))
    check = importlib.import_module("_protoplus").check
    service = importlib.import_module(f"google.ads.googleads.{version}.services.types.conversion_adjustment_upload_service")
    reasons: list[str] = []
    # In REST the customer's id stands in the address.
    request = check(service.UploadConversionAdjustmentsRequest, {**body, "customerId": "1234567890"}, reasons)
    if request is None:
        return reasons
    if not request.partial_failure:
        reasons.append("partialFailure must be true")
    if not 1 <= len(request.conversion_adjustments) <= MOST:
        reasons.append(f"{len(request.conversion_adjustments)} adjustments")
    for place, one in enumerate(request.conversion_adjustments):
        if not ACTION.fullmatch(one.conversion_action):
            reasons.append(f"[{place}].conversionAction is no resource name")
        if not AT.fullmatch(one.adjustment_date_time):
            reasons.append(f"[{place}].adjustmentDateTime is not yyyy-mm-dd hh:mm:ss+|-hh:mm")
        if bool(one.order_id) == one.HasField("gclid_date_time_pair"):
            reasons.append(f"[{place}]: either orderId or gclidDateTimePair")
    return reasons
