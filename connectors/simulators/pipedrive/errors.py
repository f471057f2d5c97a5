"""Pipedrive's error answers: a status with the documented body. Anything an endpoint refuses is raised as `Refusal`."""

from collections.abc import Mapping

Json = dict[str, object]

BLOCK_PAGE = (
    "<!DOCTYPE html><html><head><title>Access denied | api.pipedrive.com used Cloudflare to restrict access</title></head>"
    "<body><h1>Error 1015</h1><p>You are being rate limited</p></body></html>"
)


class Refusal(Exception):
    """An answer other than the one asked for. Text is a page of HTML, not JSON."""

    def __init__(self, status: int, body: Json | str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def refusal(status: int, error: str, error_info: str = "", **more: object) -> Refusal:
    """A refusal with Pipedrive's usual body."""
    info = error_info or "Please check developers.pipedrive.com"
    return Refusal(status, {"success": False, "error": error, "error_info": info, "data": None, "additional_data": None, **more})


def bad_request(error: str) -> Refusal:
    """400 of a request that API v2 cannot take, wrong types above all."""
    return refusal(400, error, code="ERR_SCHEMA_VALIDATION_FAILED")


def unauthorized() -> Refusal:
    """401 for a missing, unknown or expired token."""
    info = "Please check developers.pipedrive.com for more information about Pipedrive API authentication."
    return Refusal(401, {"success": False, "error": "unauthorized access", "errorCode": 401, "error_info": info})


def invalid_grant(message: str) -> Refusal:
    """400 of the token endpoint: the code or refresh token opens nothing (any more)."""
    body: Json = {"success": False, "error": "invalid_grant", "error_description": message, "message": message}
    return Refusal(400, body)


def unpaid() -> Refusal:
    """402 of a company that is closed or has not paid."""
    return refusal(402, "Company is not open (possible reason: trial expired, payment details not entered)")


def scope_missing(scopes: tuple[str, ...]) -> Refusal:
    """403 of a token without any of these scopes."""
    info = f"One of these scopes is needed: {', '.join(scopes)}"
    return refusal(403, "Scope and URL mismatch", info, code="ERR_SCOPE_MISMATCH")


def not_found(error: str = "Entity was not found") -> Refusal:
    """404 of an object that is not there or not seen."""
    return refusal(404, error, "Object was not found.")


def out_of_support(path: str) -> Refusal:
    """410 of a v1 endpoint whose v2 twin took over (out of support since 2026-08-01)."""
    return refusal(410, f"The endpoint {path} is deprecated and out of support", "Use its API v2 equivalent.")


def burst_spent(seconds_left: int) -> Refusal:
    """429 of the 2-second window."""
    return Refusal(429, _too_many("request over limit"), {"x-ratelimit-reset": str(seconds_left), "x-ratelimit-remaining": "0"})


def day_spent() -> Refusal:
    """429 of the daily token budget: nothing more until midnight."""
    return Refusal(429, _too_many("daily request limit reached"), {"x-daily-ratelimit-token-remaining": "0"})


def blocked() -> Refusal:
    """403 with Cloudflare's page, for a caller that went on after its 429s."""
    return Refusal(403, BLOCK_PAGE)


def _too_many(error: str) -> Json:
    return {"success": False, "error": error, "errorCode": 429, "error_info": "", "data": None, "additional_data": None}
