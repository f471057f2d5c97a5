"""A HubSpot account with many old deals, served over a real socket by a process of its own.

`python -m tests.e2e.backfill_stage DEALS` prints the port when it is ready.
"""

import socket
import sys
from datetime import UTC, datetime, timedelta

import uvicorn

from connectors.simulators.hubspot import Portal, create_hubspot

TOKEN = "pat-na1-0a0a0a0a-0000-4000-8000-0123456789ab"
FIRST_AT = datetime(2025, 1, 1, tzinfo=UTC)
DEALS_A_CONTACT = 10
BETWEEN = timedelta(seconds=90)
OPEN, QUALIFIED = {"pipeline": "default", "dealstage": "appointmentscheduled"}, {"dealstage": "qualifiedtobuy", "amount": "900"}


def _now() -> datetime:
    return datetime.now(UTC)


def portal_of(deals: int) -> Portal:
    """Every deal was qualified an hour after its creation; every tenth brings a contact of its own."""
    portal = Portal(portal_id=62515, tokens=(TOKEN,), has_limits=False)
    contact = ""
    for number in range(deals):
        at = FIRST_AT + number * BETWEEN
        if number % DEALS_A_CONTACT == 0:
            named = {"email": f"p{number}@people.example", "lifecyclestage": "salesqualifiedlead"}
            contact = portal.create("contacts", named, at)
        deal = portal.create("deals", OPEN, at)
        portal.associate(deal, contact)
        portal.update("deals", deal, QUALIFIED, at + timedelta(hours=1))
    return portal


def main() -> None:
    """Serve until the process is ended."""
    app = create_hubspot(portal_of(int(sys.argv[1])), _now)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # so that asyncio sets TCP_NODELAY
    listening.bind(("127.0.0.1", 0))
    listening.listen(100)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False, date_header=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
