"""What a Salesforce and a Pipedrive account say of themselves, hand-written from the vendors' own defaults."""

from connectors.contract.records import ObjectKind
from connectors.contract.source import Option, PipelineSchema, PropertySchema, PropertyType, SourceSchema, StageSchema

TEXT, ENUM, MONEY, PHONE = PropertyType.TEXT, PropertyType.ENUM, PropertyType.MONEY, PropertyType.PHONE
BOOLEAN, DATE, DATETIME = PropertyType.BOOLEAN, PropertyType.DATE, PropertyType.DATETIME
GCLID_KEY = "9dc80c50d78a15643bfc4ca79d76156a73a1ca0e"
CONSENT_KEY = "1f0c9a6f7c1b4f0e8a55d1d3b7f1b2c3d4e5f607"
SOURCE_KEY = "aa0c9a6f7c1b4f0e8a55d1d3b7f1b2c3d4e5f6aa"


def prop(
    name: str,
    label: str = "",
    kind: PropertyType = TEXT,
    *options: tuple[str, str],
    currency_property: str | None = None,
    is_custom: bool = False,
    is_writable: bool = False,
) -> PropertySchema:
    return PropertySchema(
        name,
        label or name,
        kind,
        tuple(Option(value, text) for value, text in options),
        currency_property,
        is_custom=is_custom,
        is_writable=is_writable,
    )


def by_name(*properties: PropertySchema) -> dict[str, PropertySchema]:
    return {one.name: one for one in properties}


def salesforce_schema(*, with_consent: bool = False) -> SourceSchema:
    """A developer org with GCLID__c on Lead and Opportunity, the default stages and lead statuses."""
    statuses = ("Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted", "Unqualified")
    consent = [prop("Ad_Consent__c", "Ad Consent", BOOLEAN, is_custom=True)] if with_consent else []
    lead = by_name(
        prop("Email"),
        prop("Phone", "Phone", PHONE),
        prop("MobilePhone", "Mobile Phone", PHONE),
        prop("FirstName", "First Name"),
        prop("LastName", "Last Name"),
        prop("PostalCode", "Zip/Postal Code"),
        prop("City"),
        prop("State", "State/Province"),
        prop("Country"),
        prop("LeadSource", "Lead Source", ENUM, ("Web", "Web"), ("Google Ads", "Google Ads"), ("Facebook", "Facebook")),
        prop("HasOptedOutOfEmail", "Email Opt Out", BOOLEAN),
        prop("GCLID__c", "GCLID", is_custom=True),
        prop("GCLID_Uploaded__c", "GCLID Uploaded", is_custom=True),
        prop("Status", "Lead Status", ENUM, *((one, one) for one in statuses)),
        *consent,
    )
    contact = by_name(
        prop("Email"),
        prop("MobilePhone", "Mobile Phone", PHONE),
        prop("MailingPostalCode", "Mailing Zip/Postal Code"),
        prop("HasOptedOutOfEmail", "Email Opt Out", BOOLEAN),
    )
    deal = by_name(
        prop("StageName", "Stage", ENUM),
        prop("Amount", "Amount", MONEY, currency_property="CurrencyIsoCode"),
        prop("CurrencyIsoCode", "Currency", ENUM),
        prop("ExpectedRevenue", "Expected Amount", MONEY),
        prop("GoogleClickId__c", "Google Click ID", is_custom=True),
    )
    stages = (
        ("Prospecting", 0.1), ("Qualification", 0.1), ("Needs Analysis", 0.2), ("Value Proposition", 0.5),
        ("Id. Decision Makers", 0.6), ("Proposal/Price Quote", 0.75), ("Negotiation/Review", 0.9),
    )  # fmt: skip
    pipeline = PipelineSchema(
        "StageName",
        "Opportunity stages",
        ObjectKind.DEAL,
        "StageName",
        (
            *(StageSchema(name, name, chance) for name, chance in stages),
            StageSchema("Closed Won", "Closed Won", 1.0, is_won=True),
            StageSchema("Closed Lost", "Closed Lost", 0.0, is_lost=True),
            StageSchema("Verbal yes", "Verbal yes", 0.95, is_archived=True),
        ),
    )
    return SourceSchema(
        "00D000000000001AAA",
        "USD",
        "America/Los_Angeles",
        {ObjectKind.LEAD: lead, ObjectKind.CONTACT: contact, ObjectKind.DEAL: deal},
        (pipeline,),
        notices=("The history of Lead.Status is not tracked: switch on Field History Tracking.",),
    )


def pipedrive_schema(*, with_chances: bool = False) -> SourceSchema:
    """A new company with its default pipeline, and custom fields that are known by their labels only."""
    contact = by_name(
        prop("first_name", "First name"),
        prop("last_name", "Last name"),
        prop("email", "Email"),
        prop("phone", "Phone", PHONE),
        prop("marketing_status", "Marketing status", ENUM, ("subscribed", "Subscribed"), ("no_consent", "No consent")),
        prop(CONSENT_KEY, "Consent to ads", ENUM, ("1", "No"), ("2", "Yes, granted"), is_custom=True),
    )
    lead = by_name(prop("title", "Title"), prop(GCLID_KEY, "GCLID", is_custom=True))
    deal = by_name(
        prop("stage_id", "Stage", ENUM),
        prop("value", "Value", MONEY, currency_property="currency"),
        prop("currency", "Currency", ENUM),
        prop("status", "Status", ENUM, ("open", "Open"), ("won", "Won"), ("lost", "Lost")),
        prop(GCLID_KEY, "GCLID", is_custom=True),
        prop(SOURCE_KEY, "Lead source", ENUM, ("31", "Trade fair"), ("32", "Ads"), is_custom=True),
    )
    names = ("Qualified", "Contact Made", "Demo Scheduled", "Proposal Made", "Negotiations Started")
    stages = tuple(
        StageSchema(str(place + 1), name, 0.26 + 0.16 * place if with_chances else 1.0) for place, name in enumerate(names)
    )
    return SourceSchema(
        "7781234",
        "EUR",
        "Europe/Berlin",
        {ObjectKind.CONTACT: contact, ObjectKind.LEAD: lead, ObjectKind.DEAL: deal},
        (
            PipelineSchema("1", "Sales", ObjectKind.DEAL, "stage_id", stages),
            PipelineSchema("2", "Old", ObjectKind.DEAL, "stage_id", (StageSchema("9", "Won back"),), is_archived=True),
        ),
        names_by_label=True,
    )
