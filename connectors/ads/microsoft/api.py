"""Calls to Microsoft's three services for one account, with the headers that each of them wants."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from connectors.ads.microsoft.refusals import faults_of
from connectors.contract.errors import RequestRefused
from connectors.http.client import HttpClient
from connectors.http.reply import Reply
from connectors.upload.json_values import as_list, as_object

CAMPAIGN = "/CampaignManagement/v13"
CUSTOMER = "/CustomerManagement/v13"
REPORTING = "/Reporting/v13"

GOAL_FIELDS = "GoalCategory, IsEnhancedConversionsEnabled, AttributionModelType"

JsonObject = Mapping[str, object]


class Api:
    """One client for each host, all behind one token."""

    def __init__(self, campaign: HttpClient, customer: HttpClient, reporting: HttpClient, headers: Mapping[str, str]) -> None:
        self._clients = {CAMPAIGN: campaign, CUSTOMER: customer, REPORTING: reporting}
        self._headers = headers

    async def send(self, path: str, body: object) -> Reply:
        """Upload to the Campaign Management service, once. Raises ConnectorError where the call failed."""
        return await self._clients[CAMPAIGN].send("POST", CAMPAIGN + path, json=body, headers=self._headers)

    async def read(self, service: str, path: str, body: object) -> JsonObject:
        """Ask a service. Raises ConnectorError."""
        return _answer(await self._clients[service].read("POST", service + path, json=body, headers=self._headers))

    async def goals(self) -> Sequence[JsonObject]:
        """All offline conversion goals of the account."""
        body = {
            "ConversionGoalIds": None,
            "ConversionGoalTypes": "OfflineConversion",
            "ReturnAdditionalFields": GOAL_FIELDS,
        }
        answer = await self.read(CAMPAIGN, "/ConversionGoals/QueryByIds", body)
        return [as_object(one) for one in as_list(answer.get("ConversionGoals")) if one]

    async def save_goals(self, goals: Sequence[JsonObject], *, are_new: bool) -> JsonObject:
        """Make or change goals; the answer's `PartialErrors` name those that were refused."""
        method = "POST" if are_new else "PUT"
        body = {"ConversionGoals": list(goals)}
        return _answer(
            await self._clients[CAMPAIGN].send(method, CAMPAIGN + "/ConversionGoals", json=body, headers=self._headers)
        )


def _answer(reply: Reply) -> JsonObject:
    if reply.status >= HTTPStatus.BAD_REQUEST:
        fault = next(iter(faults_of(reply.body)), None)
        said = "" if fault is None else f"{fault.text} {fault.message}"
        raise RequestRefused(f"Microsoft refuses: {said}".strip(), code=fault.text if fault else "", status=reply.status)
    return reply.json_object()
