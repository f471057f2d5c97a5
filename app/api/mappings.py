"""Doors to mappings: versions are stored and never changed; one is active, and an older one may be again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from app.access.keys import KeyRole
from app.api.etags import IfMatch, seen_tag, tag_of, unseen
from app.api.examples_of_mappings import ACTIVATED, ACTIVE, CHECKED, DIFF, SAVED, VERSION, VERSION_BODIES, VERSION_PAGE
from app.api.gate import actor_of, needs, no_query
from app.api.house import house_of
from app.api.models import DiffQuery, PageQuery, VersionBody
from app.api.problems import OF_A_BODY, OF_NO_BODY, Problem, ProblemKind, invalid, responses, sentence
from app.bootstrap.mapping_versions import MappingVersions, VersionChanged, VersionRefused, VersionUnknown, VersionView
from app.config import Mistake
from app.reports.cursors import read_cursor, write_cursor

doors = APIRouter(prefix="/v1/mappings", tags=["mappings"])

MAY_CHANGE = Depends(needs(KeyRole.OPERATOR))
UNKNOWN = responses(ProblemKind.NOT_FOUND, ProblemKind.INVALID)
Source = Annotated[str, Path(max_length=200, description="The source's name", openapi_examples={"hubspot": {"value": "hubspot"}})]
Number = Annotated[int, Path(ge=1, lt=2**31, description="The version's number", openapi_examples={"third": {"value": 3}})]


class VersionSummary(BaseModel):
    """A version without its document."""

    version: int
    created_at: datetime
    created_by: str = Field(description="Whose key, or `config file`")
    activated_at: datetime | None = Field(description="When it was activated first")
    is_active: bool
    is_of_file: bool = Field(description="It came from a config file")

    @classmethod
    def of(cls, view: VersionView) -> "VersionSummary":
        """As it is listed."""
        return cls(**{name: getattr(view, name) for name in cls.model_fields})


class VersionDocument(VersionSummary):
    """A version with its document, as `MAPPING` describes it."""

    document: dict[str, object]


class ActiveVersion(VersionDocument):
    """The active version."""

    differs_from_file: bool = Field(description="Another version is active than the one that the config file brought last")


class WarningView(BaseModel):
    """What is legal but unwise, and where; it keeps nothing from being stored."""

    path: str
    message: str


class CheckedDocument(BaseModel):
    """A document in which a dry run found no mistake."""

    warnings: Sequence[WarningView]


class SavedVersion(VersionDocument):
    """A version as it was stored, with what is unwise in it."""

    warnings: Sequence[WarningView]


class VersionPage(BaseModel):
    """A page of versions, newest first; `next` is the cursor of the following one, None at the end."""

    items: Sequence[VersionSummary]
    next: str | None


class ChangeView(BaseModel):
    """One place where two versions differ. A place that one of them lacks has no `before`, or no `after`."""

    path: str
    before: object | None = None
    after: object | None = None


class DiffView(BaseModel):
    """What a version changes of another."""

    version: int
    against: int
    changes: Sequence[ChangeView]


class ActivatedView(BaseModel):
    """What an activation came to."""

    version: int
    before: int | None
    reads_more: Mapping[str, int] = Field(
        description="Kinds of record of which this version reads what none before did, and how many are stored without it:"
        " polls read those of the mapping's history again, `backfill` the others"
    )


@doors.get(
    "/{source}",
    dependencies=[Depends(no_query)],
    summary="The active mapping",
    responses={200: {"content": {"application/json": {"example": ACTIVE}}}, **UNKNOWN},
)
async def active_door(request: Request, response: Response, source: Source) -> ActiveVersion:
    """The version by which leads are judged now. Its ETag is what an activation must name in `If-Match`."""
    versions = _versions(request)
    try:
        found = await versions.active(source)
        differs = await versions.differs_from_file(source)
    except VersionUnknown as unknown:
        raise unknown_version(unknown) from unknown
    if found is None:
        raise Problem(ProblemKind.NOT_FOUND, f"No version of the mapping of {source!r} is active; activate one.")
    response.headers["ETag"] = tag_of(found.version)
    return ActiveVersion(**_document(found).model_dump(), differs_from_file=differs)


@doors.get(
    "/{source}/versions",
    summary="List versions",
    responses={200: {"content": {"application/json": {"example": VERSION_PAGE}}}, **UNKNOWN},
)
async def list_door(request: Request, source: Source, query: Annotated[PageQuery, Query()]) -> VersionPage:
    """Every version that was stored, newest first: who made it and when, and which is active."""
    before = None if query.cursor is None else int(read_cursor(query.cursor, 1)[0])
    try:
        found = await _versions(request).list(source, limit=query.limit, before=before)
    except VersionUnknown as unknown:
        raise unknown_version(unknown) from unknown
    going_on = write_cursor((found[-1].version,)) if len(found) == query.limit else None
    return VersionPage(items=[VersionSummary.of(one) for one in found], next=going_on)


@doors.post(
    "/{source}/versions",
    status_code=201,
    dependencies=[MAY_CHANGE, Depends(no_query)],
    summary="Store a version",
    responses={
        201: {"model": SavedVersion, "content": {"application/json": {"example": SAVED}}},
        200: {
            "model": CheckedDocument,
            "description": "A dry run found no mistake; nothing was stored",
            "content": {"application/json": {"example": CHECKED}},
        },
        **responses(ProblemKind.FORBIDDEN, ProblemKind.NOT_FOUND, *OF_A_BODY),
    },
)
async def save_door(
    request: Request, response: Response, source: Source, body: Annotated[VersionBody, Body(openapi_examples=VERSION_BODIES)]
) -> SavedVersion | CheckedDocument:
    """Check a document against the CRM's properties and stages, then against the platforms' own targets, and store it; it is
    not active yet. Each mistake is told with its path and the nearest right word, and what is legal but unwise as a warning.
    `dry_run` only checks.
    """  # noqa: D205 one paragraph for the contract's page
    try:
        saved = await _versions(request).save(
            source,
            body.document,
            actor=actor_of(request),
            is_dry_run=body.dry_run,
            proves_targets=body.check_targets,
        )
    except VersionUnknown as unknown:
        raise unknown_version(unknown) from unknown
    except VersionRefused as refused:
        raise _refused(refused) from refused
    warnings = [WarningView(path=f"document.{one.path}", message=one.message) for one in saved.warnings]
    if saved.view is None:
        response.status_code = 200
        return CheckedDocument(warnings=warnings)
    return SavedVersion(**_document(saved.view).model_dump(), warnings=warnings)


@doors.get(
    "/{source}/versions/{version}",
    dependencies=[Depends(no_query)],
    summary="One version",
    responses={200: {"content": {"application/json": {"example": VERSION}}}, **UNKNOWN},
)
async def version_door(request: Request, source: Source, version: Number) -> VersionDocument:
    """A version with its document; it never changes."""
    try:
        return _document(await _versions(request).get(source, version))
    except VersionUnknown as unknown:
        raise unknown_version(unknown) from unknown


@doors.get(
    "/{source}/versions/{version}/diff",
    summary="What a version changes",
    responses={200: {"content": {"application/json": {"example": DIFF}}}, **UNKNOWN},
)
async def diff_door(request: Request, source: Source, version: Number, query: Annotated[DiffQuery, Query()]) -> DiffView:
    """Every place where it differs from another version; milestones are compared by their names."""
    try:
        changes = await _versions(request).diff(source, version, query.against)
    except VersionUnknown as unknown:
        raise unknown_version(unknown) from unknown
    views = [ChangeView(path=one.path, before=one.before, after=one.after) for one in changes]
    return DiffView(version=version, against=query.against, changes=views)


@doors.post(
    "/{source}/versions/{version}/activate",
    dependencies=[MAY_CHANGE, Depends(no_query)],
    summary="Activate a version, or roll back to one",
    responses={
        200: {"content": {"application/json": {"example": ACTIVATED}}},
        **responses(
            ProblemKind.FORBIDDEN,
            ProblemKind.NOT_FOUND,
            ProblemKind.PRECONDITION_FAILED,
            ProblemKind.PRECONDITION_REQUIRED,
            *OF_NO_BODY,
        ),
    },
)
async def activate_door(
    request: Request, response: Response, source: Source, version: Number, if_match: IfMatch = None
) -> ActivatedView:
    """From now on leads are judged by this version. `If-Match` names the version that the caller believes active (`"0"` where
    none is), so that two people do not undo each other unseen. Nothing that was sent is sent again.
    """  # noqa: D205 one paragraph for the contract's page
    seen = _seen(if_match)
    try:
        done = await _versions(request).activate(source, version, seen, actor=actor_of(request))
    except VersionUnknown as unknown:
        raise unknown_version(unknown) from unknown
    except VersionChanged as changed:
        raise Problem(ProblemKind.PRECONDITION_FAILED, f"{sentence(changed)[:-1]}; look at it and ask again.") from changed
    except VersionRefused as refused:
        raise _refused(refused) from refused
    response.headers["ETag"] = tag_of(done.version)
    return ActivatedView(version=done.version, before=done.before, reads_more=done.reads_more)


def _versions(request: Request) -> MappingVersions:
    return house_of(request.app.state).open().mapping_versions()


def _document(view: VersionView) -> VersionDocument:
    return VersionDocument(**VersionSummary.of(view).model_dump(), document=dict(view.document))


def _seen(if_match: str | None) -> int | None:
    """The version that If-Match names, None where it names none."""
    text = seen_tag(if_match)
    if text is None:
        raise unseen("the version that you believe active", "GET /v1/mappings/{source}")
    if not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004 longer is no version
        raise Problem(ProblemKind.PRECONDITION_FAILED, "No version has this ETag; take it from GET /v1/mappings/{source}.")
    return int(text) or None


def unknown_version(unknown: VersionUnknown) -> Problem:
    """There is no such source or version."""
    return Problem(ProblemKind.NOT_FOUND, sentence(unknown))


def _refused(refused: VersionRefused) -> Problem:
    return invalid([Mistake(one.path, one.message, one.nearest) for one in refused.mistakes], "body.document")
