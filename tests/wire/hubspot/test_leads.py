"""HubSpot's Leads object: who the person on a lead is, and what an account without leads sees."""

import json
from datetime import timedelta

import pytest

from connectors.contract.findings import FindingStatus
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import Hint, WebhookRequest, Window
from connectors.crm.hubspot.webhook import parse_webhook
from connectors.simulators.hubspot import Portal, Subscription
from tests.wire.hubspot.fake_account import NOW, SELECTION, Account
from tests.wire.hubspot.fake_account import read as read_account
from tests.wire.hubspot.portal_world import SELECTION as WITH_LEADS
from tests.wire.hubspot.portal_world import START, PortalWorld


def new_lead(world: PortalWorld, name: str = "Ada") -> str:
    return world.portal.create("leads", {"hs_lead_name": name, "hs_pipeline_stage": "new-stage-id"}, START)


async def test_a_lead_brings_its_contacts_the_primary_one_first() -> None:
    """Lead and contact are one person: the service joins them by the first, who must be known before the lead is."""
    world = PortalWorld()
    lead = new_lead(world)
    other, primary = (world.portal.create("contacts", {"email": f"{name}@example.com"}, START) for name in ("bob", "ada"))
    world.portal.associate(lead, other, from_type="leads")
    world.portal.associate(lead, primary, "Primary", from_type="leads")

    (page,) = await world.pages(ObjectKind.LEAD)

    people = page.records[-1].people
    assert [record.ref.kind for record in page.records] == [ObjectKind.CONTACT, ObjectKind.CONTACT, ObjectKind.LEAD]
    assert people is not None
    assert [(one.ref.external_id, one.is_primary) for one in people] == [(primary, True), (other, False)]


@pytest.mark.parametrize("label", ["Primary", "Lead with primary contact", "PRIMARY"])
async def test_hubspots_own_primary_label_is_known_by_its_words(label: str) -> None:
    """Its type id is not documented, and its wording may differ from account to account."""
    account = Account()
    account.put("leads", 1, NOW - timedelta(hours=1))
    for contact in ("21", "22"):
        account.put("contacts", contact, NOW)
        account.link(("leads", "contacts"), "1", contact, (608, None))
    account.links["leads", "contacts"]["1"][1]["associationTypes"].append(
        {"category": "HUBSPOT_DEFINED", "typeId": 999, "label": label}
    )

    (page,) = await read_account(account, Window(ObjectKind.LEAD, NOW - timedelta(days=1)), WITH_LEADS)

    people = page.records[-1].people
    assert people is not None
    assert [(one.ref.external_id, one.is_primary) for one in people] == [("22", True), ("21", False)]


async def test_a_lead_moves_through_its_pipeline() -> None:
    """A qualified lead is most often a stage of this object, with its pipeline and its instant."""
    world = PortalWorld()
    lead = new_lead(world)
    world.portal.update("leads", lead, {"hs_pipeline_stage": "qualified-stage-id"}, START + timedelta(hours=1))

    (page,) = await world.pages(ObjectKind.LEAD)

    (record,) = page.records
    assert [(one.value, one.pipeline, one.entered_at) for one in record.entries] == [
        ("new-stage-id", "lead-pipeline-id", START),
        ("qualified-stage-id", "lead-pipeline-id", START + timedelta(hours=1)),
    ]
    assert (record.stage, record.people) == ("qualified-stage-id", ())


async def test_lead_pipelines_are_described() -> None:
    """A form can only offer the stages that it knows."""
    schema = await PortalWorld().source.describe()

    (pipeline,) = [one for one in schema.pipelines if one.kind is ObjectKind.LEAD]
    assert (pipeline.stage_property, [stage.id for stage in pipeline.stages if stage.is_won]) == (
        "hs_pipeline_stage",
        ["qualified-stage-id"],
    )
    assert schema.notices == ()


async def test_an_account_without_leads_is_told_how_to_get_them() -> None:
    """Leads need a plan and a scope: the form hides them and says why, and nothing else fails."""
    world = PortalWorld(Portal(has_limits=False))

    schema = await world.source.describe()
    unread = {one.subject: one for one in await world.source.check()}
    needed = {one.subject: one for one in await world.source.check(frozenset({ObjectKind.LEAD}))}

    scope = "scope:crm.objects.leads.read"
    assert ObjectKind.LEAD not in schema.properties
    assert [notice for notice in schema.notices if "Sales Hub" in notice and "crm.objects.leads.read" in notice]
    assert (unread[scope].status, needed[scope].status) == (FindingStatus.UNPROVEN, FindingStatus.FAILED)
    assert "Sales Hub" in needed[scope].mend


async def test_webhooks_of_leads_are_hints_of_leads() -> None:
    """Leads have only the generic events, which name their kind by its type id."""
    world = PortalWorld()
    world.portal.subscribe(
        "https://leadloop.example/",
        "hush",
        [
            Subscription("object.propertyChange", "leads", "hs_pipeline_stage"),
            Subscription("object.deletion", "leads"),
            Subscription("object.restore", "leads"),
        ],
    )
    lead = new_lead(world)
    world.portal.archive("leads", lead, START)
    world.portal.restore("leads", lead, START)
    (sent,) = world.portal.drain_webhooks(NOW)
    request = WebhookRequest(sent.method, sent.url, {name.lower(): value for name, value in sent.headers.items()}, sent.body)

    hints = parse_webhook(request, ["hush"], NOW)

    assert len(json.loads(sent.body)) == 3
    assert hints == (Hint(RecordRef(ObjectKind.LEAD, lead), "62515", START),)
    assert ObjectKind.LEAD not in SELECTION.objects
