"""The Google Ads API beside the Data Manager: queries, conversion actions, adjustments of one account."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from connectors.ads.google.ads_refusals import read_ads_fault
from connectors.ads.google.settings import GoogleSettings
from connectors.contract.errors import Effect, RequestRefused, UnexpectedReply
from connectors.http.client import HttpClient
from connectors.http.reply import Reply
from connectors.upload.json_values import as_list, as_object

SCOPE = "https://www.googleapis.com/auth/adwords"
GRANT_MEND = (
    "for retractions, spend and provisioning grant the scope https://www.googleapis.com/auth/adwords too, enable the Google Ads"
    " API in the credential's Cloud project, and give the credential access to the account"
)

JsonObject = Mapping[str, object]


class AdsApi:
    """Calls below `customers/{account}`. Raises ConnectorError where a call failed."""

    def __init__(self, http: HttpClient, settings: GoogleSettings) -> None:
        self._http = http
        self.version = settings.ads_api_version
        self._root = f"/{settings.ads_api_version}/customers/{settings.account_id}"
        self._headers = {"login-customer-id": settings.login_account_id} if settings.login_account_id else {}

    async def rows(self, query: str) -> Sequence[JsonObject]:
        """All rows of a query: the answer is an array of chunks."""
        path = f"{self._root}/googleAds:searchStream"
        reply = await self._http.read("POST", path, json={"query": query}, headers=self._headers, budget="ads")
        if reply.status >= HTTPStatus.BAD_REQUEST:
            raise _refused(reply)
        if not isinstance(reply.body, list):
            raise UnexpectedReply("Google's query answered with no array of chunks", effect=Effect.NONE, status=reply.status)
        return [as_object(row) for chunk in reply.body for row in as_list(as_object(chunk).get("results"))]

    async def create_actions(self, actions: Sequence[JsonObject]) -> JsonObject:
        """Make conversion actions; those that are refused stand in `partialFailureError`."""
        body = {"operations": [{"create": one} for one in actions], "partialFailure": True}
        reply = await self._http.send(
            "POST", f"{self._root}/conversionActions:mutate", json=body, headers=self._headers, budget="ads"
        )
        if reply.status >= HTTPStatus.BAD_REQUEST:
            raise _refused(reply)
        return reply.json_object()

    async def adjust(self, body: JsonObject) -> Reply:
        """Upload adjustments, once."""
        path = f"{self._root}:uploadConversionAdjustments"
        return await self._http.send("POST", path, json=body, headers=self._headers, budget="ads")


def _refused(reply: Reply) -> RequestRefused:
    code, message = read_ads_fault(reply.body)
    return RequestRefused(f"Google Ads refuses: {code} {message}".strip(), code=code, status=reply.status)
