"""The shape of IngestEventsRequest as a table (discovery revision 2026-11-06), and the strict check of a body against it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.simulators.google.refusals import Json, Violation

# `name:type` per field: `!` is required, `[]` a list; lower-case types are scalars, the others a message or an enum below.
_MESSAGES = {
    "IngestEventsRequest": (
        "destinations:[Destination]! events:[Event]! consent:Consent validateOnly:bool encoding:Encoding "
        "encryptionInfo:EncryptionInfo"
    ),
    "Destination": (
        "reference:string operatingAccount:ProductAccount! loginAccount:ProductAccount linkedAccount:ProductAccount "
        "productDestinationId:string"
    ),
    "ProductAccount": "accountType:AccountType! accountId:string! product:Product",
    "Event": (
        "destinationReferences:[string] transactionId:string eventTimestamp:time! lastUpdatedTimestamp:time "
        "eventSource:EventSource adIdentifiers:AdIdentifiers userData:UserData thirdPartyUserData:UserData "
        "consent:Consent conversionValue:double conversionCount:double currency:string userProperties:UserProperties "
        "eventDeviceInfo:DeviceInfo eventLocation:EventLocation cartData:CartData customVariables:[CustomVariable] "
        "experimentalFields:[ExperimentalField] additionalEventParameters:[EventParameter] callInfo:CallInfo "
        "eventName:string clientId:string userId:string appInstanceId:string"
    ),
    "AdIdentifiers": (
        "gclid:string gbraid:string wbraid:string leadId:string dclid:string impressionId:string matchId:string "
        "mobileDeviceId:string ppid:string visitorPpid:string sessionAttributes:string landingPageDeviceInfo:DeviceInfo "
        "encryptedUserIds:[EncryptedUserId]"
    ),
    "EncryptedUserId": "encryptedId:string! entityType:EntityType! entityId:int64! source:EncryptionSource!",
    "UserData": "userIdentifiers:[UserIdentifier]!",
    "UserIdentifier": "emailAddress:string phoneNumber:string address:AddressInfo",
    "AddressInfo": (
        "givenName:string! familyName:string! regionCode:string! postalCode:string! addressLine:string city:string "
        "administrativeArea:string"
    ),
    "Consent": "adUserData:ConsentStatus adPersonalization:ConsentStatus",
    "DeviceInfo": (
        "userAgent:string ipAddress:string category:string languageCode:string screenHeight:int32 screenWidth:int32 "
        "operatingSystem:string operatingSystemVersion:string model:string brand:string browser:string "
        "browserVersion:string"
    ),
    "EventLocation": (
        "storeId:string city:string subdivisionCode:string regionCode:string subcontinentCode:string continentCode:string"
    ),
    "CartData": (
        "merchantId:string merchantFeedLabel:string merchantFeedLanguageCode:string transactionDiscount:double "
        "items:[Item] couponCodes:[string]"
    ),
    "Item": (
        "merchantProductId:string quantity:int64 unitPrice:double itemId:string conversionValue:double merchantId:string "
        "merchantFeedLabel:string merchantFeedLanguageCode:string additionalItemParameters:[ItemParameter] "
        "customVariables:[ItemCustomVariable]"
    ),
    "ItemParameter": "parameterName:string! value:string!",
    "ItemCustomVariable": "variable:string value:string destinationReferences:[string]",
    "EventParameter": "parameterName:string! value:string!",
    "CustomVariable": "variable:string value:string destinationReferences:[string]",
    "ExperimentalField": "field:string value:string",
    "UserProperties": (
        "customerType:CustomerType customerValueBucket:CustomerValueBucket additionalUserProperties:[UserProperty]"
    ),
    "UserProperty": "propertyName:string! value:string!",
    "CallInfo": "startTimestamp:time",
    "EncryptionInfo": (
        "gcpWrappedKeyInfo:GcpWrappedKeyInfo awsWrappedKeyInfo:AwsWrappedKeyInfo coordinatorKeyInfo:CoordinatorKeyInfo"
    ),
    "GcpWrappedKeyInfo": "keyType:KeyType! wipProvider:string! kekUri:string! encryptedDek:string!",
    "AwsWrappedKeyInfo": "keyType:KeyType! roleArn:string! kekUri:string! encryptedDek:string!",
    "CoordinatorKeyInfo": "keyId:string!",
}
_ENUMS = {
    "Encoding": "ENCODING_UNSPECIFIED HEX BASE64",
    "AccountType": (
        "ACCOUNT_TYPE_UNSPECIFIED GOOGLE_ADS DISPLAY_VIDEO_PARTNER DISPLAY_VIDEO_ADVERTISER DATA_PARTNER "
        "GOOGLE_ANALYTICS_PROPERTY GOOGLE_AD_MANAGER_AUDIENCE_LINK FLOODLIGHT_CONFIG GOOGLE_AD_MANAGER"
    ),
    "Product": "PRODUCT_UNSPECIFIED GOOGLE_ADS DISPLAY_VIDEO_PARTNER DISPLAY_VIDEO_ADVERTISER DATA_PARTNER",
    "EventSource": "EVENT_SOURCE_UNSPECIFIED WEB APP IN_STORE PHONE MESSAGE OTHER",
    "ConsentStatus": "CONSENT_STATUS_UNSPECIFIED CONSENT_GRANTED CONSENT_DENIED",
    "CustomerType": "CUSTOMER_TYPE_UNSPECIFIED NEW RETURNING REENGAGED",
    "CustomerValueBucket": "CUSTOMER_VALUE_BUCKET_UNSPECIFIED LOW MEDIUM HIGH",
    "EntityType": (
        "ENCRYPTION_ENTITY_TYPE_UNSPECIFIED CAMPAIGN_MANAGER_ACCOUNT CAMPAIGN_MANAGER_ADVERTISER DISPLAY_VIDEO_PARTNER "
        "DISPLAY_VIDEO_ADVERTISER GOOGLE_ADS_CUSTOMER GOOGLE_AD_MANAGER_NETWORK_CODE"
    ),
    "EncryptionSource": "ENCRYPTION_SOURCE_UNSPECIFIED AD_SERVING DATA_TRANSFER",
    "KeyType": "KEY_TYPE_UNSPECIFIED XCHACHA20_POLY1305",
}
_ONE_OF = {
    "UserIdentifier": frozenset({"emailAddress", "phoneNumber", "address"}),
    "EncryptionInfo": frozenset({"gcpWrappedKeyInfo", "awsWrappedKeyInfo", "coordinatorKeyInfo"}),
}
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_LARGEST_DOUBLE = 1.7976931348623157e308


class NotJson(ValueError):
    """The body is not one JSON document, or gives a key twice."""


@dataclass(frozen=True, slots=True)
class _Field:
    path: str
    kind: str
    is_list: bool
    is_required: bool


def read_json(raw: bytes) -> Json:
    """Parse a body strictly: UTF-8, no key twice, no NaN or Infinity."""
    try:
        parsed: Json = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NotJson("Invalid JSON payload received.") from error
    return parsed


def shape_violations(body: Json) -> list[Violation]:
    """Everything in a body that the documented message does not allow."""
    found: list[Violation] = []
    _check_message("IngestEventsRequest", body, "", found)
    return found


def read_time(text: str) -> datetime | None:
    """An RFC 3339 instant in UTC (nanoseconds are cut to microseconds), or nothing where it is none."""
    if _TIME.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise NotJson("a key stands twice in one object")
    return unique


def _refuse_constant(name: str) -> Json:
    raise NotJson(f"{name} is no JSON number")


def _check_message(name: str, value: Json, path: str, found: list[Violation]) -> None:
    if not isinstance(value, dict):
        found.append(Violation(path, f"Invalid value at '{path}' ({name}): not an object", "INVALID_FORMAT"))
        return
    fields = _FIELDS[name]
    prefix = f"{path}." if path else ""
    for key, inner in value.items():
        field = fields.get(key)
        if field is None:
            text = f"Invalid JSON payload received. Unknown name \"{key}\" at '{path}': Cannot find field."
            found.append(Violation(path, text, "INVALID_ARGUMENT"))
        elif field.is_list:
            _check_list(field, inner, prefix + field.path, found)
        else:
            _check_value(field, inner, prefix + field.path, found)
    for key, field in fields.items():
        if field.is_required and _is_unset(field, value.get(key)):
            found.append(Violation(prefix + field.path, "Required field is missing.", "REQUIRED_FIELD_MISSING"))
    _check_choice(name, value, path, found)


def _check_choice(name: str, value: dict[str, Json], path: str, found: list[Violation]) -> None:
    members = _ONE_OF.get(name)
    if members is None:
        return
    given = len(members & value.keys())
    if given > 1:
        found.append(Violation(path, f"Invalid value at '{path}': oneof field is already set.", "INVALID_ARGUMENT"))
    elif not given:
        found.append(Violation(path, "Required field is missing.", "REQUIRED_FIELD_MISSING"))


def _check_list(field: _Field, value: Json, path: str, found: list[Violation]) -> None:
    if not isinstance(value, list):
        found.append(Violation(path, f"Invalid value at '{path}': not a list", "INVALID_FORMAT"))
        return
    for index, item in enumerate(value):
        _check_value(field, item, f"{path}[{index}]", found)


def _check_value(field: _Field, value: Json, path: str, found: list[Violation]) -> None:
    if field.kind in _FIELDS:
        _check_message(field.kind, value, path, found)
        return
    names = _NAMES.get(field.kind)
    if names is not None:
        if not isinstance(value, str) or value not in names:
            found.append(Violation(path, f"Invalid value at '{path}' ({field.kind}), {json.dumps(value)}", "INVALID_ENUM_VALUE"))
        return
    is_of_kind, reason = _SCALARS[field.kind]
    if not is_of_kind(value):
        found.append(Violation(path, f"Invalid value at '{path}' ({field.kind}), {json.dumps(value)}", reason))


def _is_unset(field: _Field, value: Json) -> bool:
    """Proto3 knows no difference between absent and the default; an empty message was named by its own check."""
    if isinstance(value, str):
        return not value or value.endswith("_UNSPECIFIED") or (field.kind == "int64" and value == "0")
    return value is None or value == []


def _is_text(value: Json) -> bool:
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_time(value: Json) -> bool:
    return isinstance(value, str) and read_time(value) is not None


def _is_double(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST_DOUBLE


def _is_int32(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31


def _is_int64(value: Json) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"-?[0-9]{1,19}", value)) and -(2**63) <= int(value) < 2**63


_SCALARS: dict[str, tuple[Callable[[Json], bool], str]] = {
    "string": (_is_text, "INVALID_FORMAT"),
    "bool": (lambda value: isinstance(value, bool), "INVALID_FORMAT"),
    "time": (_is_time, "INVALID_FORMAT"),
    "double": (_is_double, "INVALID_NUMBER_FORMAT"),
    "int32": (_is_int32, "INVALID_NUMBER_FORMAT"),
    "int64": (_is_int64, "INVALID_NUMBER_FORMAT"),
}


def _field(kind: str, name: str) -> _Field:
    snake = re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)
    return _Field(snake, kind.rstrip("!").strip("[]"), kind.startswith("["), kind.endswith("!"))


def _fields(row: str) -> dict[str, _Field]:
    pairs = (item.split(":") for item in row.split())
    return {name: _field(kind, name) for name, kind in pairs}


_NAMES = {enum: frozenset(row.split()) for enum, row in _ENUMS.items()}
_FIELDS = {message: _fields(row) for message, row in _MESSAGES.items()}
