"""What an edit must have seen: `If-Match` against an object's ETag, so that two people do not undo each other unseen."""

from typing import Annotated

from fastapi import Header

from app.api.problems import Problem, ProblemKind

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=100, description="The object's ETag, as it was seen before"),
]


def tag_of(value: str | int) -> str:
    """As the header ETag says it."""
    return f'"{value}"'


def seen_tag(if_match: str | None) -> str | None:
    """What If-Match names, None without it."""
    return None if if_match is None else if_match.strip().removeprefix("W/").strip('"')


def unseen(what: str, where: str) -> Problem:
    """428: nothing was said of what was seen."""
    return Problem(ProblemKind.PRECONDITION_REQUIRED, f"Name {what} in the header `If-Match`: the ETag of {where}.")
