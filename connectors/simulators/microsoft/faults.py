"""Microsoft's errors: of a whole call, in two shapes, and of single rows."""

from dataclasses import dataclass
from typing import Any

NAMES = {
    0: "InternalError",
    100: "NullRequest",
    105: "InvalidCredentials",
    106: "UserIsNotAuthorized",
    109: "AuthenticationTokenExpired",
    117: "CallRateExceeded",
    5600: "OfflineConversionsNullOrEmpty",
    5601: "OfflineConversionsLimitExceeded",
    5602: "OfflineConversionIsNull",
    5603: "OfflineConversionMicrosoftClickIdNullOrEmpty",
    5604: "OfflineConversionMicrosoftClickIdInvalid",
    5605: "OfflineConversionNameNullOrEmpty",
    5606: "OfflineConversionNameInvalid",
    5607: "OfflineConversionTimeInvalid",
    5608: "OfflineConversionTimeNullOrEmpty",
    5609: "OfflineConversionTimeOutOfWindow",
    5610: "OfflineConversionValueInvalid",
    5611: "OfflineConversionCurrencyCodeInvalid",
    5612: "OfflineConversionsApplyFailed",
    5613: "OfflineConversionPilotNotEnabledForCustomer",
    5614: "FutureConversionTimeCannotBeSet",
    5615: "OfflineConversionNotAcceptedForGoal",
    5616: "ConversionTimeEarlierThanClickTime",
    5617: "ClickIdDateTimeOutsideGoalConversionWindow",
    5618: "OfflineConversionInvalidAdjustmentType",
    5619: "OfflineConversionAdjustmentTimeNullOrEmpty",
    5620: "OfflineConversionAdjustmentTimeEarlierThanConversionTime",
    5621: "OfflineConversionAdjustmentTimeInvalid",
    5622: "OfflineConversionFutureAdjustmentTimeCannotBeSet",
    5623: "OfflineConversionAdjustmentTimeOutOfWindow",
    5624: "OfflineConversionAdjustmentValueNotExpected",
    5625: "OfflineConversionAdjustmentValueRequired",
    5626: "OfflineConversionCurrencyValueRequired",
    5627: "OfflineConversionRestateRetractNotSupported",
}


@dataclass(slots=True)
class ApiFault(Exception):
    """A whole call is refused. `is_ad_api`: the shape with `Errors`, as for tokens; else the one with `OperationErrors`."""

    code: int
    status: int = 400
    is_ad_api: bool = False

    def body(self) -> dict[str, Any]:
        """As Microsoft writes it."""
        error = {"Code": self.code, "ErrorCode": NAMES.get(self.code, "Unheard"), "Message": "It did not work."}
        if self.is_ad_api:
            return {"TrackingId": "t-1", "Type": "AdApiFaultDetail", "Errors": [{**error, "Detail": None}]}
        return {"TrackingId": "t-1", "Type": "ApiFaultDetail", "OperationErrors": [{**error, "Details": None}], "BatchErrors": []}


def partial(index: int, code: int) -> dict[str, Any]:
    """One entry of `PartialErrors`."""
    return {
        "Type": "BatchError",
        "Index": index,
        "Code": code,
        "ErrorCode": NAMES.get(code, "Unheard"),
        "Message": "The row was not taken.",
        "Details": None,
        "FieldPath": None,
        "ForwardCompatibilityMap": [],
    }
