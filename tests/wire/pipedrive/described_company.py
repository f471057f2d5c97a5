"""A company that can be described: fields of every type, two pipelines, a currency of its own."""

from typing import Any

from tests.wire.pipedrive.fake_company import CONSENT, GCLID, Company, lead_id

ME = {
    "id": 1,
    "company_id": 54235233,
    "company_name": "Acme",
    "company_domain": "acme",
    "default_currency": "EUR",
    "timezone_name": "Europe/Berlin",
    "is_you": True,
    "access": [{"app": "sales", "admin": True}, {"app": "global", "admin": True}],
}


def field_json(code: str, kind: str, name: str | None = None, **more: Any) -> dict[str, Any]:
    is_custom = len(code) == 40
    found = {"field_code": code, "field_name": name or code.title(), "field_type": kind, "is_custom_field": is_custom}
    return {**found, "options": None, "subfields": None, **more}


def stage(number: int, order: int, pipeline: int = 1, **more: Any) -> dict[str, Any]:
    found = {"id": number, "name": f"Stage {number}", "order_nr": order, "pipeline_id": pipeline, "deal_probability": 100}
    return {**found, "is_deleted": False, **more}


def pipeline(number: int, order: int, **more: Any) -> dict[str, Any]:
    found = {"id": number, "name": f"Pipeline {number}", "order_nr": order, "is_deleted": False}
    return {**found, "is_deal_probability_enabled": True, **more}


def currency(code: str, *, is_custom: bool = False) -> dict[str, Any]:
    return {"code": code, "name": code, "is_custom_flag": is_custom, "decimal_points": 2, "active_flag": True}


def described_company() -> Company:
    """A company with fields, pipelines and currencies of every sort."""
    found = Company()
    options = [{"id": 11, "label": "Yes"}, {"id": 12, "label": "No"}]
    deal_fields = [
        field_json("title", "varchar", "Title"),
        field_json("value", "monetary", "Deal value"),
        field_json("status", "status", "Status"),
        field_json("stage_id", "stage", "Stage"),
        field_json("add_time", "date", "Deal created"),
        field_json(GCLID, "text", "GCLID"),
        field_json(CONSENT, "enum", "Ads consent", options=options),
        field_json("c" * 39 + "3", "monetary", "ARR"),
        field_json("d" * 39 + "4", "varchar", "Sync status"),
        field_json("e" * 39 + "5", "address", "Site"),
    ]
    person_fields = [
        field_json("name", "varchar"),
        field_json("emails", "varchar", "Email"),
        field_json("phone", "phone", "Phone"),
        field_json("postal_address", "address", "Postal address"),
        field_json(CONSENT, "set", "Ads consent", options=options),
    ]
    lead_fields = [
        {"key": "title", "name": "Title", "field_type": "varchar", "options": None},
        {"key": GCLID, "name": "GCLID", "field_type": "text", "options": None},
    ]
    found.metadata = {
        "v1/users/me": ME,
        "v2/dealFields": deal_fields,
        "v2/personFields": person_fields,
        "v1/leadFields": lead_fields,
        "v1/leadLabels": [{"id": lead_id(90), "name": "Hot", "color": "red"}],
        "v2/pipelines": [pipeline(2, 2, is_deal_probability_enabled=False, is_deleted=True), pipeline(1, 1)],
        "v2/stages": [stage(3, 2, deal_probability=60), stage(1, 1, deal_probability=0), stage(9, 1, 2, is_deleted=True)],
        "v1/currencies": [currency("EUR"), currency("USD"), currency("SEATS", is_custom=True), currency("BTC")],
    }
    return found
