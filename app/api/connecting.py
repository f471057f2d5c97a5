"""What the doors to sources and to destinations share: settings that are shown, and how a change is refused."""

from collections.abc import Mapping, Sequence
from typing import Annotated, NoReturn

from fastapi import Path, Request, Response
from pydantic import BaseModel, Field

from app.api.etags import seen_tag, tag_of, unseen
from app.api.gate import actor_of
from app.api.house import house_of
from app.api.models import ConnectionBody
from app.api.problems import OF_A_BODY, Problem, ProblemKind, invalid, responses, sentence
from app.bootstrap.connecting import ConnectionChanged, ConnectionOrder, ConnectionShown, ConnectionUnseen, OrderRefused
from app.bootstrap.failures import NameUnknown
from app.connections.repository import ConnectionRefused, Role
from app.connections.settings import SettingsRefused
from connectors.contract.errors import ConnectorError
from connectors.contract.findings import Finding, FindingStatus

REFUSALS = (OrderRefused, ConnectionUnseen, ConnectionChanged, ConnectionRefused, SettingsRefused, ConnectorError)
Name = Annotated[str, Path(max_length=200, description="The connection's name", openapi_examples={"usual": {"value": "google"}})]
UNKNOWN = responses(ProblemKind.NOT_FOUND, ProblemKind.INVALID)
OF_AN_ORDER = responses(
    ProblemKind.FORBIDDEN,
    ProblemKind.CONFLICT,
    ProblemKind.PRECONDITION_FAILED,
    ProblemKind.PRECONDITION_REQUIRED,
    ProblemKind.UPSTREAM,
    *OF_A_BODY,
)


class SettingsView(BaseModel):
    """A connection's settings without its credentials."""

    name: str
    kind: str
    mode: str
    settings: Mapping[str, str]
    credentials: Sequence[str] = Field(description="Which credentials are there; they are shown to nobody")

    @classmethod
    def of(cls, name: str, shown: ConnectionShown) -> "SettingsView":
        """As it is shown."""
        return cls(
            name=name,
            kind=shown.kind,
            mode=shown.mode.value,
            settings=dict(shown.settings),
            credentials=list(shown.credentials),
        )


class FindingView(BaseModel):
    """One thing that was checked."""

    subject: str
    status: FindingStatus
    message: str
    mend: str


class CheckView(BaseModel):
    """What a check found. `is_clean`: nothing failed; what could not be tested without doing it is `unproven`."""

    is_clean: bool
    findings: Sequence[FindingView]

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> "CheckView":
        """As it is shown."""
        views = [FindingView(subject=one.subject, status=one.status, message=one.message, mend=one.mend) for one in findings]
        return cls(is_clean=all(one.status is not FindingStatus.FAILED for one in findings), findings=views)


async def put_connection(
    request: Request, response: Response, role: Role, name: str, body: ConnectionBody, if_match: str | None
) -> SettingsView:
    """Make or change one, and show it; 201 where it is new."""
    connecting = house_of(request.app.state).open().connecting()
    order = ConnectionOrder(body.kind, body.settings, body.mode)
    try:
        is_new = await connecting.put(role, name, order, seen_tag(if_match), actor=actor_of(request))
    except REFUSALS as error:
        refuse(error, f"/v1/{role}s/{name}")
    response.status_code = 201 if is_new else 200
    return await show_connection(request, response, role, name)


async def show_connection(request: Request, response: Response, role: Role, name: str) -> SettingsView:
    """One connection's settings, with its ETag."""
    shown = await house_of(request.app.state).open().connecting().shown(role)
    if name not in shown:
        raise not_found(NameUnknown(str(role), name, shown))
    response.headers["ETag"] = tag_of(shown[name].tag)
    return SettingsView.of(name, shown[name])


async def check_connection(request: Request, role: Role, name: str, test_code: str | None = None) -> CheckView:
    """Prove one connection of this role."""
    services = house_of(request.app.state).open()
    try:
        return CheckView.of(await services.check_one(role, name, test_code))
    except NameUnknown as unknown:
        raise not_found(unknown) from unknown


def not_found(unknown: NameUnknown) -> Problem:
    """No connection has this name."""
    return Problem(ProblemKind.NOT_FOUND, sentence(unknown))


def refuse(error: Exception, where: str) -> NoReturn:
    """Say why an order was not carried out."""
    match error:
        case OrderRefused():
            raise invalid(error.mistakes, "body") from error
        case ConnectionUnseen():
            raise unseen("what you have seen of it", f"GET {where}") from error
        case ConnectionChanged():
            raise Problem(ProblemKind.PRECONDITION_FAILED, f"{sentence(error)[:-1]}; look at it and ask again.") from error
        case ConnectionRefused() | SettingsRefused():
            raise Problem(ProblemKind.CONFLICT, sentence(error)) from error
        case ConnectorError():
            said = f"The CRM could not be asked which account this is: {error.message}. Nothing was stored; ask again."
            raise Problem(ProblemKind.UPSTREAM, said) from error
        case _:
            raise error
