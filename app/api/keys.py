"""Doors to keys and to the audit log: an admin's."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from pydantic import BaseModel, Field

from app.access.keys import KeyRole, StoredKey
from app.access.repository import AuditLine, list_audit
from app.api.examples_of_keys import AUDIT_PAGE, KEY, KEY_BODIES, NEW_KEY
from app.api.gate import actor_of, needs, no_query
from app.api.house import house_of
from app.api.models import KeyBody, PageQuery
from app.api.problems import OF_A_BODY, Problem, ProblemKind, invalid, responses
from app.bootstrap.keeping_keys import KeyRefused
from app.config import Mistake
from app.reports.cursors import read_cursor, write_cursor

doors = APIRouter(prefix="/v1", tags=["keys"], dependencies=[Depends(needs(KeyRole.ADMIN))])
FORBIDDEN = responses(ProblemKind.FORBIDDEN)


class KeyView(BaseModel):
    """A key, without what would open a door."""

    prefix: str = Field(description="What of the key may be shown; it names it")
    role: KeyRole
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute")

    @classmethod
    def of(cls, key: StoredKey) -> "KeyView":
        """As it is shown."""
        return cls(
            prefix=key.prefix,
            role=key.role,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            last_used_at=key.last_used_at,
        )


class NewKeyView(KeyView):
    """A key that was just made."""

    key: str = Field(description="The whole key: shown this once, stored nowhere", repr=False)


class KeyList(BaseModel):
    """All keys."""

    items: Sequence[KeyView]


class AuditView(BaseModel):
    """Who did what to what."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, object]

    @classmethod
    def of(cls, line: AuditLine) -> "AuditView":
        """As it is shown."""
        return cls(at=line.at, actor=line.actor, action=line.action, subject=line.subject, detail=dict(line.detail))


class AuditPage(BaseModel):
    """A page of the audit log; `next` is the cursor of the following one, None at the end."""

    items: Sequence[AuditView]
    next: str | None


@doors.get(
    "/keys",
    dependencies=[Depends(no_query)],
    summary="List keys",
    responses={
        200: {"content": {"application/json": {"example": {"items": [KEY]}}}},
        **responses(ProblemKind.INVALID),
        **FORBIDDEN,
    },
)
async def list_door(request: Request) -> KeyList:
    """Every key that ever was, newest first, by its prefix; never the key itself."""
    keys = house_of(request.app.state).open().keys()
    return KeyList(items=[KeyView.of(one) for one in await keys.list()])


@doors.post(
    "/keys",
    status_code=201,
    dependencies=[Depends(no_query)],
    summary="Make a key",
    responses={201: {"content": {"application/json": {"example": NEW_KEY}}}, **responses(*OF_A_BODY), **FORBIDDEN},
)
async def create_door(request: Request, body: Annotated[KeyBody, Body(openapi_examples=KEY_BODIES)]) -> NewKeyView:
    """Make a key of a role: `viewer` looks, `operator` runs the business, `admin` changes who may. The answer shows it once."""
    keys = house_of(request.app.state).open().keys()
    try:
        made, stored = await keys.create(body.role, body.expires_at, actor=actor_of(request))
    except KeyRefused as refused:
        raise invalid([Mistake("expires_at", str(refused))], "body") from refused
    return NewKeyView(**KeyView.of(stored).model_dump(), key=made.text)


@doors.delete(
    "/keys/{prefix}",
    dependencies=[Depends(no_query)],
    summary="Revoke a key",
    responses={
        200: {"content": {"application/json": {"example": KEY}}},
        **responses(ProblemKind.NOT_FOUND, ProblemKind.INVALID),
        **FORBIDDEN,
    },
)
async def revoke_door(
    request: Request,
    prefix: Annotated[
        str, Path(max_length=40, description="The key's prefix", openapi_examples={"one": {"value": "llk_5f0c0a5b"}})
    ],
) -> KeyView:
    """From now on it opens nothing. Revoking it twice changes nothing."""
    keys = house_of(request.app.state).open().keys()
    try:
        await keys.revoke(prefix, actor=actor_of(request))
    except KeyRefused as refused:
        raise Problem(ProblemKind.NOT_FOUND, "No key has this prefix; GET /v1/keys lists them.") from refused
    return next(KeyView.of(one) for one in await keys.list() if one.prefix == prefix)


@doors.get(
    "/audit",
    summary="Who did what",
    responses={200: {"content": {"application/json": {"example": AUDIT_PAGE}}}, **responses(ProblemKind.INVALID), **FORBIDDEN},
)
async def audit_door(request: Request, query: Annotated[PageQuery, Query()]) -> AuditPage:
    """Changes of configuration, keys, replays and decisions, newest first; no secret and nothing personal stands in it."""
    before = None if query.cursor is None else read_cursor(query.cursor, 1)[0]
    async with house_of(request.app.state).open().database.read() as connection:
        lines = await list_audit(connection, limit=query.limit, before=before)
    going_on = write_cursor((lines[-1].id,)) if len(lines) == query.limit else None
    return AuditPage(items=[AuditView.of(one) for one in lines], next=going_on)
