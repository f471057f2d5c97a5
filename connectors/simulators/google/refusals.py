"""How the simulated Google says no: field violations, google.rpc details and the error body."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, Json]

DOMAIN = "datamanager.googleapis.com"
_TYPE = "type.googleapis.com/google.rpc."


class PathStyle(StrEnum):
    """The two documented spellings of an event's path in a field violation."""

    PLAIN = "plain"
    DOUBLED = "doubled"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong, with its path in proto spelling and a value of ErrorReason."""

    field: str
    description: str
    reason: str

    def as_json(self, style: PathStyle) -> JsonObject:
        """The entry of google.rpc.BadRequest."""
        is_doubled = style is PathStyle.DOUBLED and self.field.startswith("events[")
        field = f"events.{self.field}" if is_doubled else self.field
        return {"field": field, "description": self.description, "reason": self.reason}


@dataclass(slots=True, eq=False)
class Refusal(Exception):
    """The whole request is refused; nothing of it was processed."""

    http_status: int
    status: str
    message: str
    reason: str
    domain: str = DOMAIN
    metadata: tuple[tuple[str, str], ...] = ()
    violations: tuple[Violation, ...] = ()
    retry_after_seconds: int | None = None

    def as_json(self, request_id: str, style: PathStyle) -> JsonObject:
        """The error object with its details, the violations last."""
        info: JsonObject = {
            "@type": _TYPE + "ErrorInfo",
            "reason": self.reason,
            "domain": self.domain,
            "metadata": {**dict(self.metadata), "requestId": request_id},
        }
        details: list[Json] = [info, {"@type": _TYPE + "RequestInfo", "requestId": request_id}]
        if self.violations:
            fields: list[Json] = [violation.as_json(style) for violation in self.violations]
            details.append({"@type": _TYPE + "BadRequest", "fieldViolations": fields})
        links = dict(self.metadata)
        if "activationUrl" in links:
            details.append(
                {"@type": _TYPE + "Help", "links": [{"description": "Activate the API", "url": links["activationUrl"]}]}
            )
        return {"error": {"code": self.http_status, "message": self.message, "status": self.status, "details": details}}


def invalid(*violations: Violation) -> Refusal:
    """400 INVALID_ARGUMENT naming the fields; without any, the bare kind that names nothing."""
    message = violations[0].description if len(violations) == 1 else "There was a problem with the request."
    if not violations:
        message = "Request contains an invalid argument."
    return Refusal(400, "INVALID_ARGUMENT", message, "INVALID_ARGUMENT", violations=violations)


def denied(message: str, reason: str = "PERMISSION_DENIED", **metadata: str) -> Refusal:
    """403 PERMISSION_DENIED."""
    domain = DOMAIN if reason == "PERMISSION_DENIED" else "googleapis.com"
    return Refusal(403, "PERMISSION_DENIED", message, reason, domain, tuple(metadata.items()))


def unauthenticated(reason: str) -> Refusal:
    """401 UNAUTHENTICATED."""
    return Refusal(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", reason, "googleapis.com")


def exhausted(limit: str, retry_after_seconds: int | None) -> Refusal:
    """429 RESOURCE_EXHAUSTED."""
    return Refusal(
        429,
        "RESOURCE_EXHAUSTED",
        f"Quota exceeded for quota metric 'Ingestion requests' and limit '{limit}'.",
        "RESOURCE_EXHAUSTED",
        metadata=(("quota_limit", limit),),
        retry_after_seconds=retry_after_seconds,
    )
