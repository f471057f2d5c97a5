"""Reading and making what an ad account holds: accounts, campaigns, conversion rules. Errors are those of refusals.py."""

from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from urllib.parse import quote

from connectors.ads.linkedin.errors import RULE_MEND
from connectors.ads.linkedin.refusals import read_fault
from connectors.contract.errors import Effect, RequestRefused, UnexpectedReply
from connectors.http.client import HttpClient
from connectors.http.reply import Reply
from connectors.upload.json_values import as_list, as_object, as_text

PAGE = 100
# A list that never ends is a fault of the vendor's, not a large account.
MOST_PAGES = 200

JsonObject = Mapping[str, object]


class Api:
    """GET and POST below one account. Queries are written by hand: Rest.li wants its brackets plain and its URNs escaped."""

    def __init__(self, http: HttpClient, headers: Mapping[str, str]) -> None:
        self._http = http
        self._headers = headers

    async def read(self, path: str) -> JsonObject:
        """A JSON object. Raises ConnectorError."""
        reply = await self._http.read("GET", path, headers=self._headers)
        if reply.status >= HTTPStatus.BAD_REQUEST:
            raise _refused(reply)
        return reply.json_object()

    async def create_rule(self, body: Mapping[str, object]) -> str:
        """Make a conversion rule; its id."""
        reply = await self._http.send(
            "POST", "/rest/conversions?autoAssociationType=ALL_CAMPAIGNS", json=body, headers=self._headers
        )
        if reply.status >= HTTPStatus.BAD_REQUEST:
            raise _refused(reply)
        made = reply.headers.get("x-restli-id", "") or rule_id(as_object(reply.body))
        if not made:
            raise UnexpectedReply("LinkedIn made a rule and gave no id", effect=Effect.UNKNOWN, status=reply.status)
        return made.rpartition(":")[2]

    async def change_rule(self, rule: str, account_urn: str, changes: Mapping[str, object]) -> None:
        """Set fields of a conversion rule."""
        reply = await self._http.send(
            "POST",
            f"/rest/conversions/{rule}?account={escaped(account_urn)}",
            json={"patch": {"$set": changes}},
            headers={**self._headers, "X-RestLi-Method": "PARTIAL_UPDATE"},
        )
        if reply.status >= HTTPStatus.BAD_REQUEST:
            raise _refused(reply)

    async def rules(self, account_urn: str) -> Sequence[JsonObject]:
        """All conversion rules of the account."""
        found: list[JsonObject] = []
        for page in range(MOST_PAGES):
            query = f"q=account&account={escaped(account_urn)}&start={page * PAGE}&count={PAGE}"
            rows = [as_object(one) for one in as_list((await self.read(f"/rest/conversions?{query}")).get("elements"))]
            found += rows
            if len(rows) < PAGE:
                return found
        raise _endless("conversion rules")

    async def campaigns(self, account_id: str) -> AsyncIterator[JsonObject]:
        """All campaigns of the account, whatever their state."""
        token = ""
        for _ in range(MOST_PAGES):
            after = f"&pageToken={quote(token, safe='')}" if token else ""
            body = await self.read(f"/rest/adAccounts/{account_id}/adCampaigns?q=search&pageSize={PAGE}{after}")
            for one in as_list(body.get("elements")):
                yield as_object(one)
            token = as_text(as_object(body.get("metadata")).get("nextPageToken"))
            if not token:
                return
        raise _endless("campaigns")

    async def account(self, account_id: str) -> JsonObject | None:
        """The account among those that the token reaches, None where it reaches others only."""
        token = ""
        for _ in range(MOST_PAGES):
            after = f"&pageToken={quote(token, safe='')}" if token else ""
            body = await self.read(f"/rest/adAccounts?q=search&pageSize={PAGE}{after}")
            for one in map(as_object, as_list(body.get("elements"))):
                if str(one.get("id", "")).rpartition(":")[2] == account_id:
                    return one
            token = as_text(as_object(body.get("metadata")).get("nextPageToken"))
            if not token:
                return None
        raise _endless("accounts")


def escaped(urn: str) -> str:
    """A URN inside a query: its colons are escaped."""
    return quote(urn, safe="")


def rule_id(rule: JsonObject) -> str:
    """A rule's bare id."""
    return str(rule.get("id", "")).rpartition(":")[2]


def _refused(reply: Reply) -> RequestRefused:
    fault = read_fault(reply)
    return RequestRefused(f"LinkedIn: {fault.code} {fault.message}; {RULE_MEND}", code=fault.code, status=reply.status)


def _endless(what: str) -> UnexpectedReply:
    return UnexpectedReply(f"LinkedIn's list of {what} does not end", effect=Effect.NONE)
