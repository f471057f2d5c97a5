"""`leadloop check [NAME] [--test-event CODE]`: proves connections, with the mend where one fails. Works beside `serve`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from app.bootstrap.checking import CheckRefused
from app.bootstrap.services import Services
from app.reports.status import webhook_url
from connectors.contract.findings import Finding, FindingStatus

MARKS = {
    FindingStatus.OK: "[green]ok[/]",
    FindingStatus.FAILED: "[red]failed[/]",
    FindingStatus.UNPROVEN: "[yellow]unproven[/]",
    FindingStatus.WARNING: "[yellow]warning[/]",
}


def check_command(open_up: Callable[[], Awaitable[Services]]) -> Callable[..., None]:
    """The command, on services that `open_up` opens."""

    def check(
        name: Annotated[str | None, typer.Argument(help="One connection's name; all without it.")] = None,
        test_event: Annotated[
            str | None,
            typer.Option(help="Then send a test event under this code of the platform's test page; needs a destination's NAME."),
        ] = None,
    ) -> None:
        """Prove connections: token, account, scopes and each milestone's target, with the mend where one fails."""
        if test_event is not None and name is None:
            raise CheckRefused("--test-event needs the name of a destination: leadloop check NAME --test-event CODE")
        if test_event is not None and not test_event.strip():
            raise CheckRefused("--test-event is empty; the platform's page of test events shows the code")
        raise typer.Exit(asyncio.run(_check(open_up, name, None if test_event is None else test_event.strip())))

    return check


async def _check(open_up: Callable[[], Awaitable[Services]], name: str | None, code: str | None) -> int:
    services = await open_up()
    try:
        addresses = {row.name: webhook_url(row, services.webhook_address()) for row in await services.sources()}
        results = await (services.check_all() if name is None else services.check_named(name, code))
        for one, findings in results:
            Console().print(f"[bold]{escape(one)}[/]")
            if addresses.get(one):
                Console().print(escape(f"  webhook address: {_address(addresses[one])}"), highlight=False, soft_wrap=True)
            _tell(findings)
        return 1 if any(finding.status is FindingStatus.FAILED for _, findings in results for finding in findings) else 0
    finally:
        await services.close()


def _tell(findings: Sequence[Finding]) -> None:
    for finding in findings:
        mend = f" -> {finding.mend}" if finding.mend else ""
        said = escape(f"{finding.subject}: {finding.message}{mend}")
        Console().print(f"  {MARKS[finding.status]} {said}", highlight=False)


def _address(url: str | None) -> str:
    """A bare path says what is missing."""
    text = url or ""
    return f"{text} (behind the public address: set LEADLOOP_PUBLIC_URL)" if text.startswith("/") else text
