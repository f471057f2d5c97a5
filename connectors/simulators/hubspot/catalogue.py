"""What every portal comes with: object types, properties, options, pipelines, association types and scopes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class ObjectType:
    """An object type: its path name, its id in webhooks, its singular and its own property names."""

    name: str
    type_id: str
    singular: str
    created: str
    cursor: str
    defaults: tuple[str, ...]
    stage: str | None = None
    pipeline: str | None = None


OBJECT_TYPES = {
    one.name: one
    for one in (
        ObjectType(
            "contacts", "0-1", "contact", "createdate", "lastmodifieddate", ("createdate", "email", "firstname", "lastname")
        ),
        ObjectType("companies", "0-2", "company", "createdate", "hs_lastmodifieddate", ("createdate", "domain", "name")),
        ObjectType(
            "deals",
            "0-3",
            "deal",
            "createdate",
            "hs_lastmodifieddate",
            ("amount", "closedate", "createdate", "dealname", "dealstage", "pipeline"),
            stage="dealstage",
            pipeline="pipeline",
        ),
        ObjectType(
            "leads",
            "0-136",
            "lead",
            "hs_createdate",
            "hs_lastmodifieddate",
            ("hs_createdate", "hs_lead_name"),
            stage="hs_pipeline_stage",
            pipeline="hs_pipeline",
        ),
    )
}
_ALIASES = {alias: one.name for one in OBJECT_TYPES.values() for alias in (one.name, one.singular, one.type_id)}


def object_type_of(alias: str) -> ObjectType | None:
    """An object type by its plural, its singular or its type id."""
    name = _ALIASES.get(alias.lower())
    return OBJECT_TYPES[name] if name else None


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of an enumeration."""

    value: str
    label: str
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Property:
    """A property's definition. `type` is HubSpot's: bool, date, datetime, enumeration, number, phone_number, string."""

    name: str
    type: str = "string"
    label: str = ""
    options: tuple[Option, ...] = ()
    is_calculated: bool = False
    is_read_only: bool = False
    is_unique: bool = False
    is_custom: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage; a probability of 1.0 is won, 0.0 is lost."""

    id: str
    label: str
    probability: float = 0.0
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline with its stages in display order."""

    id: str
    label: str
    stages: tuple[Stage, ...]
    is_archived: bool = False

    def stage(self, stage_id: str | None) -> Stage | None:
        """One of its stages by id."""
        return next((stage for stage in self.stages if stage.id == stage_id), None)


def _options(*pairs: str) -> tuple[Option, ...]:
    return tuple(Option(value, label) for value, _, label in (pair.partition("=") for pair in pairs))


LIFECYCLE_STAGES = _options(
    "subscriber=Subscriber",
    "lead=Lead",
    "marketingqualifiedlead=Marketing Qualified Lead",
    "salesqualifiedlead=Sales Qualified Lead",
    "opportunity=Opportunity",
    "customer=Customer",
    "evangelist=Evangelist",
    "other=Other",
)
LEAD_STATUSES = _options(
    "NEW=New",
    "OPEN=Open",
    "IN_PROGRESS=In Progress",
    "OPEN_DEAL=Open Deal",
    "UNQUALIFIED=Unqualified",
    "ATTEMPTED_TO_CONTACT=Attempted to Contact",
    "CONNECTED=Connected",
    "BAD_TIMING=Bad Timing",
)
_SOURCES = _options(
    "ORGANIC_SEARCH=Organic Search",
    "PAID_SEARCH=Paid Search",
    "EMAIL_MARKETING=Email Marketing",
    "SOCIAL_MEDIA=Organic Social",
    "REFERRALS=Referrals",
    "OTHER_CAMPAIGNS=Other Campaigns",
    "DIRECT_TRAFFIC=Direct Traffic",
    "OFFLINE=Offline Sources",
    "PAID_SOCIAL=Paid Social",
)


def _strings(group: str, *names: str) -> list[Property]:
    return [Property(name, group=group) for name in names]


def _typed(group: str, **types: str) -> list[Property]:
    return [Property(name, kind, group=group) for name, kind in types.items()]


def _calculated(group: str, **types: str) -> list[Property]:
    return [Property(name, kind, is_calculated=True, is_read_only=True, group=group) for name, kind in types.items()]


def _system(of: ObjectType, group: str) -> list[Property]:
    names = {of.created: "datetime", of.cursor: "datetime", "hs_object_id": "number", "hs_merged_object_ids": "enumeration"}
    return [Property(name, kind, is_read_only=True, group=group) for name, kind in names.items()]


def _contacts() -> list[Property]:
    group = "contactinformation"
    return [
        *_system(OBJECT_TYPES["contacts"], group),
        Property("email", is_unique=True, group=group),
        *_strings(
            group, "hs_additional_emails", "firstname", "lastname", "address", "city", "state", "zip", "country", "company"
        ),
        *_typed(group, phone="phone_number", mobilephone="phone_number", hs_calculated_phone_number="phone_number"),
        *_strings("conversioninformation", "hs_google_click_id", "hs_facebook_click_id", "hs_linkedin_click_id"),
        Property("hs_analytics_source", "enumeration", options=_SOURCES, group="analyticsinformation"),
        Property("hs_latest_source", "enumeration", options=_SOURCES, group="analyticsinformation"),
        *_strings("analyticsinformation", "hs_analytics_source_data_1", "hs_analytics_source_data_2", "hs_analytics_first_url"),
        *_strings("analyticsinformation", "hs_latest_source_data_1", "hs_latest_source_data_2"),
        *_typed("analyticsinformation", hs_analytics_first_timestamp="datetime", hs_latest_source_timestamp="datetime"),
        *_typed(group, hs_legal_basis="enumeration", hs_email_optout="bool", hubspotscore="number"),
        *_typed(group, hubspot_owner_id="enumeration"),
        *_calculated(group, num_associated_deals="number"),
        Property("lifecyclestage", "enumeration", "Lifecycle Stage", LIFECYCLE_STAGES, group=group),
        Property("hs_lead_status", "enumeration", "Lead Status", LEAD_STATUSES, group=group),
    ]


def _companies() -> list[Property]:
    group = "companyinformation"
    return [
        *_system(OBJECT_TYPES["companies"], group),
        Property("domain", is_unique=True, group=group),
        *_strings(group, "name", "address", "city", "state", "zip", "country", "industry"),
        *_typed(group, phone="phone_number", annualrevenue="number", numberofemployees="number", hubspot_owner_id="enumeration"),
        Property("lifecyclestage", "enumeration", "Lifecycle Stage", LIFECYCLE_STAGES, group=group),
    ]


def _deals() -> list[Property]:
    group = "dealinformation"
    return [
        *_system(OBJECT_TYPES["deals"], group),
        *_strings(group, "dealname", "closed_lost_reason", "closed_won_reason"),
        *_typed(group, amount="number", deal_currency_code="enumeration", hs_exchange_rate="number", closedate="datetime"),
        Property("dealstage", "enumeration", "Deal Stage", group=group),
        *_typed(group, pipeline="enumeration", dealtype="enumeration", hubspot_owner_id="enumeration"),
        *_calculated(group, hs_is_closed="bool", hs_is_closed_won="bool", hs_deal_stage_probability="number"),
        *_calculated(group, num_associated_contacts="number", amount_in_home_currency="number"),
        *_calculated(group, hs_closed_amount="number", hs_closed_amount_in_home_currency="number"),
    ]


def _leads() -> list[Property]:
    group = "leadinformation"
    return [
        *_system(OBJECT_TYPES["leads"], group),
        *_strings(group, "hs_lead_name"),
        *_typed(group, hs_lead_type="enumeration", hs_lead_label="enumeration", hubspot_owner_id="enumeration"),
        *_typed(group, hs_pipeline="enumeration", hs_pipeline_stage="enumeration"),
    ]


def default_properties() -> dict[str, dict[str, Property]]:
    """The properties of a new portal, by object type and name."""
    lists = {"contacts": _contacts(), "companies": _companies(), "deals": _deals(), "leads": _leads()}
    return {name: {one.name: labelled(one) for one in properties} for name, properties in lists.items()}


def labelled(one: Property) -> Property:
    """The property with a label made of its name, where it has none."""
    return one if one.label else replace(one, label=one.name.removeprefix("hs_").replace("_", " ").title())


def default_pipelines() -> dict[str, dict[str, Pipeline]]:
    """The pipelines of a new portal, by object type and id."""
    sales = Pipeline(
        "default",
        "Sales Pipeline",
        (
            Stage("appointmentscheduled", "Appointment Scheduled", 0.2),
            Stage("qualifiedtobuy", "Qualified To Buy", 0.4),
            Stage("presentationscheduled", "Presentation Scheduled", 0.6),
            Stage("decisionmakerboughtin", "Decision Maker Bought-In", 0.8),
            Stage("contractsent", "Contract Sent", 0.9),
            Stage("closedwon", "Closed Won", 1.0),
            Stage("closedlost", "Closed Lost", 0.0),
        ),
    )
    leads = Pipeline(
        "lead-pipeline-id",
        "Lead pipeline",
        (
            Stage("new-stage-id", "New", 0.1),
            Stage("attempting-stage-id", "Attempting", 0.2),
            Stage("connected-stage-id", "Connected", 0.5),
            Stage("qualified-stage-id", "Qualified", 1.0),
            Stage("unqualified-stage-id", "Disqualified", 0.0),
        ),
    )
    return {"deals": {sales.id: sales}, "leads": {leads.id: leads}}


@dataclass(frozen=True, slots=True)
class AssociationType:
    """What an association of two records is, seen from one side. The unlabelled type of a pair has the label None."""

    type_id: int
    label: str | None = None
    category: str = "HUBSPOT_DEFINED"


def default_association_types() -> dict[tuple[str, str], list[AssociationType]]:
    """Association types by (from type, to type)."""
    return {
        ("deals", "contacts"): [AssociationType(3)],
        ("contacts", "deals"): [AssociationType(4)],
        ("deals", "companies"): [AssociationType(341), AssociationType(5, "Primary")],
        ("companies", "deals"): [AssociationType(342), AssociationType(6, "Primary")],
        ("contacts", "companies"): [AssociationType(279), AssociationType(1, "Primary")],
        ("companies", "contacts"): [AssociationType(280), AssociationType(2, "Primary")],
        ("leads", "contacts"): [AssociationType(608), AssociationType(578, "Primary")],
        ("contacts", "leads"): [AssociationType(609), AssociationType(579, "Primary")],
    }


DEFAULT_SCOPES = frozenset(
    {
        "oauth",
        "crm.objects.contacts.read",
        "crm.objects.deals.read",
        "crm.objects.leads.read",
        "crm.objects.companies.read",
        "crm.objects.owners.read",
        "crm.schemas.contacts.read",
        "crm.schemas.deals.read",
        "crm.schemas.companies.read",
        "crm.objects.contacts.write",
        "crm.objects.deals.write",
        "crm.objects.leads.write",
        "crm.objects.companies.write",
        "crm.schemas.contacts.write",
        "crm.schemas.deals.write",
        "crm.schemas.companies.write",
    }
)


def scopes_to_read(object_types: Sequence[str]) -> list[str]:
    """The scopes that reading records of these types takes."""
    return [f"crm.objects.{name}.read" for name in object_types]


def scopes_to_write(object_types: Sequence[str]) -> list[str]:
    """The scopes that writing records of these types takes."""
    return [f"crm.objects.{name}.write" for name in object_types]


def scopes_to_define(object_types: Sequence[str]) -> list[str]:
    """The scopes that making properties of these types takes."""
    return [f"crm.objects.{name}.write" if name == "leads" else f"crm.schemas.{name}.write" for name in object_types]


def scopes_to_describe(object_type: str) -> list[str]:
    """The scopes that reading properties and pipelines of a type takes; leads have no schema scope of their own."""
    return [f"crm.objects.{object_type}.read" if object_type == "leads" else f"crm.schemas.{object_type}.read"]
