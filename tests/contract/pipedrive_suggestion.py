"""A simulated Pipedrive company on which a suggested mapping is tried: one person becomes a customer over all stages."""

from datetime import datetime, timedelta

import httpx

from connectors.simulators.pipedrive import Company, create_pipedrive
from tests.contract.crm_stage import BASE, Clock


def opened(at: datetime) -> tuple[dict[str, str], httpx.AsyncClient, Clock, Company]:
    """Settings, client, clock and the company, with the fields that our README asks for."""
    clock, company = Clock(at), Company(has_limits=False)
    company.define_field("deal", "gclid", "text")
    company.define_field("person", "Lead status", "enum", ["New", "Qualified"])
    http = httpx.AsyncClient(transport=httpx.ASGITransport(create_pipedrive(company, clock)))
    return {"base_url": BASE, "api_token": company.tokens[0]}, http, clock, company


def played(company: Company, clock: Clock) -> None:
    """A lead of the inbox is converted, its deal goes through the pipeline's stages and is won."""
    at = clock.go_on(timedelta(minutes=1))
    person = company.create_person({"name": "Jane Doe", "emails": "jane@example.com"}, at)
    [code] = company.catalogue.custom("person")
    company.update("person", person, {code: 1}, clock.go_on(timedelta(minutes=1)))
    company.update("person", person, {code: 2}, clock.go_on(timedelta(minutes=1)))
    lead = company.create_lead({"title": "Jane", "person_id": person, "value": {"amount": 100, "currency": "EUR"}}, clock.at)
    deal = company.convert_lead(lead, clock.go_on(timedelta(minutes=1)))
    for stage in company.catalogue.stages_of(1)[1:]:
        company.move(deal, stage.id, clock.go_on(timedelta(minutes=1)))
    company.win(deal, clock.go_on(timedelta(minutes=1)))
    clock.go_on(timedelta(minutes=10))
