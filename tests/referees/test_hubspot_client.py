"""HubSpot's own client reads the simulator: what it understands, HubSpot would have said."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uvicorn

from connectors.simulators.hubspot import OAuthApp, Portal, Subscription, create_hubspot

hubspot = pytest.importorskip("hubspot", reason="hubspot-api-client lives in an environment of its own (make test-referees)")

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
HISTORY = {"properties": ["dealname", "dealstage", "amount"], "properties_with_history": ["dealstage"]}


@contextmanager
def served(portal: Portal) -> Iterator[str]:
    app = create_hubspot(portal, lambda: START + timedelta(days=1))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off", date_header=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def portal() -> Portal:
    return Portal(has_limits=False)


@pytest.fixture
def client(portal: Portal) -> Iterator[Any]:
    with served(portal) as url:
        yield hubspot.HubSpot(access_token=portal.tokens[0], host=url)


def test_deals_are_read_with_their_history(portal: Portal, client: Any) -> None:
    """Stage history with its instants is what every conversion is made of."""
    from hubspot.crm.deals import BatchReadInputSimplePublicObjectId, SimplePublicObjectId  # noqa: PLC0415 only where it is installed

    one = portal.create("deals", {"dealname": "Acme", "dealstage": "appointmentscheduled", "amount": "10.5"}, START)
    portal.update("deals", one, {"dealstage": "closedwon"}, START + timedelta(hours=2, milliseconds=7))
    inputs = [SimplePublicObjectId(id=one), SimplePublicObjectId(id="404")]

    batch = client.crm.deals.batch_api.read(BatchReadInputSimplePublicObjectId(inputs=inputs, **HISTORY))
    single = client.crm.deals.basic_api.get_by_id(one, properties=["dealname"], properties_with_history=["dealstage"])
    listed = client.crm.deals.get_all(properties=["dealname"])

    entries = batch.results[0].properties_with_history["dealstage"]
    assert batch.results[0].properties == {"dealname": "Acme", "dealstage": "closedwon", "amount": "10.5"}
    assert [(entry.value, entry.source_type) for entry in entries] == [
        ("closedwon", "CRM_UI"),
        ("appointmentscheduled", "CRM_UI"),
    ]
    assert entries[0].timestamp == START + timedelta(hours=2, milliseconds=7)
    assert (batch.num_errors, batch.errors[0].context) == (1, {"ids": ["404"]})
    assert single.properties["dealname"] == "Acme"
    assert [each.id for each in listed] == [one]


def test_search_pages_through_a_window(portal: Portal, client: Any) -> None:
    """The client's own request form must be read as ours is, and its paging must end."""
    from hubspot.crm.deals import PublicObjectSearchRequest  # noqa: PLC0415 only where it is installed

    made = [portal.create("deals", {"dealname": str(number)}, START + timedelta(seconds=number)) for number in range(250)]
    window = {"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": str(int(START.timestamp() * 1000))}
    asked = {
        "filter_groups": [{"filters": [window]}],
        "sorts": [{"propertyName": "hs_lastmodifieddate", "direction": "ASCENDING"}],
        "properties": ["dealname"],
        "limit": 200,
    }

    first = client.crm.deals.search_api.do_search(PublicObjectSearchRequest(**asked))
    second = client.crm.deals.search_api.do_search(PublicObjectSearchRequest(**asked, after=first.paging.next.after))

    assert (first.total, [one.id for one in first.results + second.results]) == (250, made)
    assert second.paging is None


def test_associations_are_read_with_labels(portal: Portal, client: Any) -> None:
    """Who belongs to a deal, and in which role, decides whose click is credited."""
    from hubspot.crm.associations.v4 import (  # noqa: PLC0415 only where it is installed
        BatchInputPublicFetchAssociationsBatchRequest,
        PublicFetchAssociationsBatchRequest,
    )

    one, lonely = portal.create("deals", {}, START), portal.create("deals", {}, START)
    person = portal.create("contacts", {"email": "ada@example.com"}, START)
    portal.associate(one, person, "Decision maker")
    asked = [PublicFetchAssociationsBatchRequest(id=each) for each in (one, lonely)]

    batch = client.crm.associations.v4.batch_api.get_page(
        "deals", "contacts", BatchInputPublicFetchAssociationsBatchRequest(inputs=asked)
    )
    listed = client.crm.associations.v4.basic_api.get_page("deals", one, "contacts")
    labels = client.crm.associations.v4.schema.definitions_api.get_all("deals", "contacts")

    kinds = batch.results[0].to[0].association_types
    assert (batch.results[0]._from.id, batch.results[0].to[0].to_object_id) == (one, person)
    assert [(kind.type_id, kind.category, kind.label) for kind in kinds] == [
        (3, "HUBSPOT_DEFINED", None),
        (101, "USER_DEFINED", "Decision maker"),
    ]
    assert batch.errors[0].context["fromObjectId"] == [lonely]
    assert listed.results[0].to_object_id == person
    assert [label.type_id for label in labels.results] == [3, 101]


def test_metadata_fits_the_clients_models(portal: Portal, client: Any) -> None:
    """The client checks required fields of pipelines, properties and owners as it reads them."""
    portal.add_owner("owner@example.com", "Ada", "Byron")

    pipeline = client.crm.pipelines.pipelines_api.get_all("deals").results[0]
    stage = client.crm.properties.core_api.get_by_name("contacts", "lifecyclestage")
    names = {one.name for one in client.crm.properties.core_api.get_all("deals").results}
    owner = client.crm.owners.owners_api.get_page().results[0]

    assert {one.id: one.metadata["probability"] for one in pipeline.stages}["closedwon"] == "1.0"
    assert "salesqualifiedlead" in [option.value for option in stage.options]
    assert {"dealstage", "amount", "hs_is_closed_won"} <= names
    assert owner.email == "owner@example.com"


def test_leads_are_read_with_their_stage_and_their_contact() -> None:
    """A lead and its contact are one person, and its stage is a milestone."""
    from hubspot.crm.associations.v4 import (  # noqa: PLC0415 only where it is installed
        BatchInputPublicFetchAssociationsBatchRequest,
        PublicFetchAssociationsBatchRequest,
    )
    from hubspot.crm.objects.leads import (  # noqa: PLC0415 only where it is installed
        BatchReadInputSimplePublicObjectId,
        SimplePublicObjectId,
    )

    portal = Portal(has_limits=False, has_leads=True)
    lead = portal.create("leads", {"hs_lead_name": "Ada", "hs_pipeline_stage": "new-stage-id"}, START)
    person = portal.create("contacts", {"email": "ada@example.com"}, START)
    portal.associate(lead, person, "Primary", from_type="leads")
    portal.update("leads", lead, {"hs_pipeline_stage": "qualified-stage-id"}, START + timedelta(hours=1))
    asked = {"properties": ["hs_lead_name"], "properties_with_history": ["hs_pipeline_stage"]}
    linked = BatchInputPublicFetchAssociationsBatchRequest(inputs=[PublicFetchAssociationsBatchRequest(id=lead)])

    with served(portal) as url:
        client = hubspot.HubSpot(access_token=portal.tokens[0], host=url)
        inputs = [SimplePublicObjectId(id=lead)]
        (row,) = client.crm.objects.leads.batch_api.read(BatchReadInputSimplePublicObjectId(inputs=inputs, **asked)).results
        (link,) = client.crm.associations.v4.batch_api.get_page("leads", "contacts", linked).results[0].to
        pipeline = client.crm.pipelines.pipelines_api.get_all("leads").results[0]

    assert [one.value for one in row.properties_with_history["hs_pipeline_stage"]] == ["qualified-stage-id", "new-stage-id"]
    assert (link.to_object_id, [one.label for one in link.association_types]) == (person, [None, "Primary"])
    assert "qualified-stage-id" in [stage.id for stage in pipeline.stages]


def test_an_access_token_is_got_by_the_refresh_token() -> None:
    """The client asks as HubSpot's own page does: a form in the body, and what comes back opens the account."""
    from hubspot.oauth.exceptions import ApiException  # noqa: PLC0415 only where it is installed

    portal = Portal(has_limits=False, oauth=OAuthApp("client", "hush", "refresh-me"))
    asked = {"grant_type": "refresh_token", "client_id": "client", "client_secret": "hush"}
    with served(portal) as url:
        tokens = hubspot.HubSpot(host=url).oauth.tokens_api
        granted = tokens.create(refresh_token="refresh-me", **asked)
        opened = hubspot.HubSpot(access_token=granted.access_token, host=url).crm.deals.basic_api.get_page()
        portal.access.revoke()
        with pytest.raises(ApiException) as refused:
            tokens.create(refresh_token="refresh-me", **asked)

    assert (granted.expires_in, granted.refresh_token, granted.token_type) == (1800, "refresh-me", "bearer")
    assert opened.results == []
    assert (refused.value.status, "BAD_REFRESH_TOKEN" in refused.value.body) == (400, True)


def test_a_batch_is_written_and_answered_input_by_input(portal: Portal, client: Any) -> None:
    """A status that is written back must be matched to its record, and its refusal too."""
    from hubspot.crm.deals import (  # noqa: PLC0415 only where it is installed
        BatchInputSimplePublicObjectBatchInput,
        SimplePublicObjectBatchInput,
        SimplePublicObjectInput,
    )
    from hubspot.crm.properties import PropertyCreate  # noqa: PLC0415 only where it is installed
    from hubspot.crm.properties.exceptions import ApiException  # noqa: PLC0415 only where it is installed

    name = "leadloop_status"
    wanted = PropertyCreate(name=name, label="Ad sync", group_name="dealinformation", type="string", field_type="text")
    one = portal.create("deals", {"dealname": "Acme"}, START)
    inputs = [
        SimplePublicObjectBatchInput(id=each, properties={name: "sent"}, object_write_trace_id=f"trace {each}")
        for each in (one, "404")
    ]

    made = client.crm.properties.core_api.create("deals", wanted)
    with pytest.raises(ApiException) as again:
        client.crm.properties.core_api.create("deals", wanted)
    batch = client.crm.deals.batch_api.update(BatchInputSimplePublicObjectBatchInput(inputs=inputs))
    single = client.crm.deals.basic_api.update(one, SimplePublicObjectInput(properties={name: ""}))

    assert (made.name, made.hubspot_defined, made.modification_metadata.read_only_value) == (name, False, False)
    assert again.value.status == 409
    assert [(row.id, row.object_write_trace_id, row.properties[name]) for row in batch.results] == [(one, f"trace {one}", "sent")]
    assert (batch.num_errors, batch.errors[0].category) == (1, "OBJECT_NOT_FOUND")
    assert batch.errors[0].context["objectWriteTraceId"] == ["trace 404"]
    assert single.properties[name] == ""


def test_errors_are_read_as_errors(portal: Portal, client: Any) -> None:
    """A refusal's body must be of the form that the client knows."""
    from hubspot.crm.deals.exceptions import ApiException, UnauthorizedException  # noqa: PLC0415 only where it is installed

    with pytest.raises(ApiException) as lost:
        client.crm.deals.basic_api.get_by_id("404")
    portal.access.revoke()
    with pytest.raises(UnauthorizedException) as closed:
        client.crm.deals.basic_api.get_by_id("404")

    assert (lost.value.status, closed.value.status) == (404, 401)


def test_webhooks_pass_the_clients_own_check(portal: Portal) -> None:
    """The receiver is built against these signatures, so HubSpot's own checker must accept them."""
    from hubspot.utils.signature import Signature  # noqa: PLC0415 only where it is installed

    url, now = "https://leadloop.example/webhooks/crm/abc?x=1", datetime.now(UTC)
    portal.subscribe(url, "hush", [Subscription("object.propertyChange", "deals", "dealstage")])
    portal.create("deals", {"dealstage": "closedwon"}, START)

    request = portal.drain_webhooks(now)[0]

    timestamp = request.headers["X-HubSpot-Request-Timestamp"]
    given = request.headers["X-HubSpot-Signature-v3"]
    asked = {"http_uri": url, "http_method": "POST", "timestamp": timestamp, "signature_version": "v3"}
    assert Signature.is_valid(given, "hush", request.body.decode(), **asked)
    assert not Signature.is_valid(given, "other", request.body.decode(), **asked)
