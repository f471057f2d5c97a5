"""What an org knows before anyone configures it: objects with their standard fields, stages and lead statuses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a picklist."""

    value: str
    label: str = ""
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Field:
    """A field's definition. `type` is the vendor's: id, string, email, phone, picklist, currency, datetime, reference ..."""

    name: str
    type: str = "string"
    label: str = ""
    length: int = 255
    choices: tuple[Choice, ...] = ()
    is_custom: bool = False
    is_calculated: bool = False
    is_filterable: bool = True
    is_sortable: bool = True
    is_nillable: bool = True
    is_updateable: bool = True
    refers_to: str = ""  # an object's name
    relationship: str = ""  # the name by which paths go there


@dataclass(frozen=True, slots=True)
class Stage:
    """A sales stage. Probability is in percent; won or lost stages are closed."""

    name: str
    probability: float
    is_won: bool = False
    is_closed: bool = False
    label: str = ""
    forecast: str = "Pipeline"
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Status:
    """A lead status; leads can be converted to those with `is_converted` only."""

    name: str
    is_converted: bool = False
    is_default: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class ObjectType:
    """An object: the first characters of its ids and, where it is a history, the object and the field it hangs on."""

    name: str
    prefix: str
    fields: tuple[Field, ...]
    history_of: str = ""
    parent_field: str = ""
    has_bin: bool = True


DEFAULT_STAGES = (
    Stage("Prospecting", 10),
    Stage("Qualification", 10),
    Stage("Needs Analysis", 20),
    Stage("Proposal/Price Quote", 75),
    Stage("Negotiation/Review", 90),
    Stage("Closed Won", 100, is_won=True, is_closed=True, forecast="Closed"),
    Stage("Closed Lost", 0, is_closed=True, forecast="Omitted"),
)
DEFAULT_STATUSES = (
    Status("Open - Not Contacted", is_default=True),
    Status("Working - Contacted"),
    Status("Closed - Converted", is_converted=True),
    Status("Closed - Not Converted"),
)


def _read_only(name: str, kind: str = "string", **more: bool) -> Field:
    return replace(Field(name, kind, is_updateable=False), **more)  # type: ignore[arg-type]  # flags of a Field


def _texts(*names: str, kind: str = "string") -> tuple[Field, ...]:
    return tuple(Field(name, kind) for name in names)


def _to(name: str, refers_to: str, *, is_updateable: bool = True) -> Field:
    return Field(name, "reference", refers_to=refers_to, relationship=name.removesuffix("Id"), is_updateable=is_updateable)


_SYSTEM = (
    _read_only("Id", "id", is_nillable=False),
    _read_only("IsDeleted", "boolean", is_nillable=False),
    _read_only("CreatedDate", "datetime", is_nillable=False),
    _to("CreatedById", "User", is_updateable=False),
    _read_only("LastModifiedDate", "datetime", is_nillable=False),
    _read_only("SystemModstamp", "datetime", is_nillable=False),
)
_OWNED = (*_SYSTEM, _to("OwnerId", "User"))
_MERGED = Field("MasterRecordId", "reference", is_updateable=False)
_NAME = (*_texts("FirstName", "LastName"), _read_only("Name", is_calculated=True))
_PHONES = _texts("Phone", "MobilePhone", kind="phone")
_SOURCES = (Choice("Web"), Choice("Phone Inquiry"), Choice("Partner Referral"), Choice("Other"))
_LEAD_SOURCE = Field("LeadSource", "picklist", "Lead Source", choices=_SOURCES)
_CONSENT = Field("HasOptedOutOfEmail", "boolean", "Email Opt Out")


def _address(prefix: str = "") -> tuple[Field, ...]:
    return _texts(*(f"{prefix}{part}" for part in ("Street", "City", "State", "PostalCode", "Country", "CountryCode")))


def _field_history(name: str, of: str, parent_field: str) -> ObjectType:
    fields = (
        *_SYSTEM[:4],
        _to(parent_field, of, is_updateable=False),
        _read_only("Field", "picklist"),
        _read_only("OldValue", "anyType", is_filterable=False, is_sortable=False),
        _read_only("NewValue", "anyType", is_filterable=False, is_sortable=False),
        _read_only("DataType", "picklist"),
    )
    return ObjectType(name, "017", fields, history_of=of, parent_field=parent_field)


_LEAD = (
    *_OWNED,
    _MERGED,
    *_NAME,
    *_texts("Company", "Title", "Website"),
    Field("Email", "email", length=80),
    *_PHONES,
    *_address(),
    Field("Status", "picklist", "Lead Status", is_nillable=False),
    _LEAD_SOURCE,
    _CONSENT,
    _read_only("IsConverted", "boolean", is_nillable=False),
    _read_only("ConvertedDate", "date"),
    *(_to(f"Converted{one}Id", one, is_updateable=False) for one in ("Contact", "Opportunity", "Account")),
)
_CONTACT = (
    *_OWNED,
    _MERGED,
    *_NAME,
    _to("AccountId", "Account"),
    *_texts("Title", "Department"),
    Field("Email", "email", length=80),
    *_PHONES,
    *_address("Mailing"),
    _LEAD_SOURCE,
    _CONSENT,
)
_OPPORTUNITY = (
    *_OWNED,
    Field("Name", length=120, is_nillable=False),
    _to("AccountId", "Account"),
    _to("ContactId", "Contact"),
    Field("StageName", "picklist", "Stage", is_nillable=False),
    Field("Amount", "currency"),
    Field("Probability", "percent", "Probability (%)"),
    _read_only("ExpectedRevenue", "currency"),
    Field("CloseDate", "date", "Close Date", is_nillable=False),
    _read_only("IsClosed", "boolean", is_nillable=False),
    _read_only("IsWon", "boolean", is_nillable=False),
    Field("ForecastCategory", "picklist", is_updateable=False),
    Field("Type", "picklist", choices=(Choice("New Customer"), Choice("Existing Customer - Upgrade"))),
    _LEAD_SOURCE,
    Field("CampaignId", "reference"),
    _read_only("LastStageChangeDate", "datetime"),
)
_ACCOUNT = (
    *_OWNED,
    _MERGED,
    Field("Name", is_nillable=False),
    *_texts("Industry", "Website"),
    Field("Phone", "phone"),
    *_address("Billing"),
)
_ROLE = (
    *_SYSTEM,
    _to("OpportunityId", "Opportunity", is_updateable=False),
    _to("ContactId", "Contact", is_updateable=False),
    Field("Role", "picklist", choices=(Choice("Decision Maker"), Choice("Evaluator"), Choice("Influencer"))),
    Field("IsPrimary", "boolean", is_nillable=False),
)
_STAGE_ROW = (
    *_SYSTEM[:1],
    *_texts("ApiName", "MasterLabel", "ForecastCategoryName"),
    Field("SortOrder", "int"),
    *(Field(name, "boolean", is_nillable=False) for name in ("IsActive", "IsClosed", "IsWon")),
    Field("DefaultProbability", "percent"),
    *_SYSTEM[5:],
)
_STAGE_HISTORY = (
    *_SYSTEM[:4],
    *_SYSTEM[5:],
    _to("OpportunityId", "Opportunity", is_updateable=False),
    *(_read_only(name, "picklist") for name in ("StageName", "ForecastCategory")),
    *(_read_only(name, "currency") for name in ("Amount", "ExpectedRevenue", "PrevAmount")),
    *(_read_only(name, "date") for name in ("CloseDate", "PrevCloseDate")),
    _read_only("Probability", "percent"),
)

OBJECTS: Mapping[str, ObjectType] = {
    one.name: one
    for one in (
        ObjectType("Lead", "00Q", _LEAD),
        ObjectType("Contact", "003", _CONTACT),
        ObjectType("Opportunity", "006", _OPPORTUNITY),
        ObjectType("Account", "001", _ACCOUNT),
        ObjectType("OpportunityContactRole", "00K", _ROLE),
        ObjectType("OpportunityHistory", "008", _STAGE_HISTORY, "Opportunity", "OpportunityId"),
        _field_history("OpportunityFieldHistory", "Opportunity", "OpportunityId"),
        _field_history("LeadHistory", "Lead", "LeadId"),
        _field_history("ContactHistory", "Contact", "ContactId"),
        _field_history("AccountHistory", "Account", "AccountId"),
        ObjectType("OpportunityStage", "01J", _STAGE_ROW, has_bin=False),
        ObjectType(
            "LeadStatus",
            "01J",
            (
                *_SYSTEM[:1],
                *_texts("ApiName", "MasterLabel"),
                Field("SortOrder", "int"),
                *(Field(name, "boolean", is_nillable=False) for name in ("IsConverted", "IsDefault")),
                *_SYSTEM[5:],
            ),
            has_bin=False,
        ),
        ObjectType(
            "CurrencyType",
            "01L",
            (
                *_SYSTEM[:1],
                *_texts("IsoCode"),
                *(Field(name, "boolean", is_nillable=False) for name in ("IsCorporate", "IsActive")),
                *(Field("ConversionRate", "double"), Field("DecimalPlaces", "int")),
                *_SYSTEM[5:],
            ),
            has_bin=False,
        ),
        ObjectType(
            "Organization",
            "00D",
            (
                *_SYSTEM[:1],
                *_texts("Name", "OrganizationType", "DefaultLocaleSidKey", "TimeZoneSidKey", "InstanceName"),
                Field("IsSandbox", "boolean", is_nillable=False),
                *_SYSTEM[5:],
            ),
            has_bin=False,
        ),
        ObjectType(
            "User",
            "005",
            (*_SYSTEM[:1], *_texts("Name", "Username"), Field("Email", "email"), Field("IsActive", "boolean"), *_SYSTEM[5:]),
            has_bin=False,
        ),
        ObjectType(
            "FieldDefinition",
            "00N",
            (
                *_SYSTEM[:1],
                *_texts("QualifiedApiName"),
                Field("EntityDefinitionId", refers_to="EntityDefinition", relationship="EntityDefinition"),
                Field("IsFieldHistoryTracked", "boolean"),
            ),
            has_bin=False,
        ),
        ObjectType("EntityDefinition", "4ie", (*_SYSTEM[:1], *_texts("QualifiedApiName")), has_bin=False),
    )
}
FIELD_HISTORIES: Mapping[str, tuple[str, str]] = {
    one.history_of: (one.name, one.parent_field)
    for one in OBJECTS.values()
    if one.history_of and any(field.name == "OldValue" for field in one.fields)
}
CURRENCY = Field("CurrencyIsoCode", "picklist", "Currency ISO Code")
WITH_CURRENCY = frozenset({"Lead", "Contact", "Opportunity", "Account", "OpportunityHistory"})
PERSON_FIELDS = (
    _read_only("IsPersonAccount", "boolean", is_nillable=False),
    Field("PersonEmail", "email"),
    Field("PersonMobilePhone", "phone"),
    _to("PersonContactId", "Contact", is_updateable=False),
    *_texts("FirstName", "LastName"),
)


def fields_of(kind: ObjectType, *, has_currencies: bool, has_persons: bool) -> Iterable[Field]:
    """The standard fields of an object, as far as the org's features go."""
    yield from kind.fields
    if has_currencies and kind.name in WITH_CURRENCY:
        yield CURRENCY
    if has_persons and kind.name == "Account":
        yield from PERSON_FIELDS
    if has_persons and kind.name == "Contact":
        yield PERSON_FIELDS[0]
