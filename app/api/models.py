"""What the doors take: query parameters and bodies, strict, with unknown names refused. Nothing is coerced."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, StrictBool, StrictStr, WithJsonSchema, model_validator

from app.access.keys import KeyRole
from app.api.given import Currency, Cursor, Day, Given, Instant, Limit, Number, Plain, Word, exactly_one, whole
from app.bootstrap.preview_model import Origin
from app.bootstrap.previewing import MOST_DAYS, MOST_RECORDS, PreviewOrder
from app.bootstrap.replaying import BATCH, MOST_EXAMINED
from app.config import ConnectionMode
from app.outbox.replay import REPLAYED_BY_FILTER, Resolution
from app.outbox.states import DeliveryState, Reason
from app.reports.funnel_model import Base
from connectors.contract.records import ObjectKind

LONGEST_CLUE = 320
MOST_SETTINGS = 50
LONGEST_SETTING = 20_000


Id = Annotated[int, Field(ge=1, le=2**53 - 1), BeforeValidator(whole)]
# The other states are refused with what to do about them.
Replayed = Annotated[DeliveryState, WithJsonSchema({"type": "string", "enum": list(REPLAYED_BY_FILTER)})]


class DeliveryQuery(Given):
    """Which deliveries to list."""

    state: list[DeliveryState] = Field(default=[], max_length=10, description="One state, or several by repeating it")
    reason: list[Reason] = Field(default=[], max_length=30, description="One reason code, or several by repeating it")
    code: Word | None = Field(default=None, description="The platform's own error code")
    destination: Word | None = Field(default=None, description="A destination's name")
    source: Word | None = Field(default=None, description="A source's name")
    milestone: Word | None = Field(default=None, description="A milestone's name")
    since: Instant | None = Field(default=None, description="Owed at or after this instant")
    until: Instant | None = Field(default=None, description="Owed before this instant")
    limit: Limit = Field(default=50, description="Rows of a page")
    cursor: Cursor | None = Field(default=None, description="`next` of the page before, with the same filters")


class RunQuery(Given):
    """Which runs to list."""

    kind: Literal["pull", "backfill", "drain", "apply"] | None = Field(default=None, description="What was done")
    state: Literal["done", "failed"] | None = Field(default=None, description="How it ended")
    source: Word | None = Field(default=None, description="A source's name")
    destination: Word | None = Field(default=None, description="A destination's name")
    limit: Limit = Field(default=50, description="Rows of a page")
    cursor: Cursor | None = Field(default=None, description="`next` of the page before, with the same filters")


class TraceQuery(Given):
    """Where to look."""

    source: Word | None = Field(default=None, description="A source's name; needed where several know the ref")


class ReplayFilter(Given):
    """Which deliveries to replay: at least their state."""

    state: Annotated[list[Replayed], Field(min_length=1, max_length=4)] = Field(
        description="`rejected`, `expired`, `skipped` or `shadowed`"
    )
    reason: list[Reason] = Field(default=[], max_length=30)
    code: Word | None = None
    destination: Word | None = None
    source: Word | None = None
    milestone: Word | None = None
    before: Instant | None = Field(default=None, description="Stopped before this instant")


class ReplayBody(Given):
    """What to replay: `ids` or `filter`. `resolution` decides `uncertain` deliveries, by their ids only."""

    model_config = ConfigDict(json_schema_extra=exactly_one(("ids", "filter"), {"resolution": "ids", "cursor": "filter"}))

    ids: Annotated[list[Id], Field(min_length=1, max_length=BATCH)] | None = None
    filter: ReplayFilter | None = None
    resolution: Resolution | None = None
    dry_run: StrictBool = False
    limit: Annotated[int, Field(ge=1, le=MOST_EXAMINED), BeforeValidator(whole)] = Field(
        default=MOST_EXAMINED, description="Deliveries to look at in this call; `next` goes on from there"
    )
    cursor: Cursor | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "ReplayBody":
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give either `ids` or `filter`")
        if self.resolution is not None and self.ids is None:
            raise ValueError("`resolution` is a decision on single deliveries: name them in `ids`")
        if self.cursor is not None and self.filter is None:
            raise ValueError("`cursor` goes with `filter` only")
        return self


class KeyBody(Given):
    """A key to be made."""

    role: KeyRole = Field(description="What it may do: `viewer`, `operator` or `admin`")
    expires_at: Instant | None = Field(default=None, description="From when it opens nothing; without it, until it is revoked")


class ReportQuery(Given):
    """A funnel's period, base, filters, and what it is broken down by."""

    since: Day | None = Field(default=None, description="First day (UTC), like 2026-11-01; 90 days back without it")
    until: Day | None = Field(default=None, description="Last day (UTC), included; today without it")
    base: Base = Field(
        default=Base.COHORT, description="`cohort`: by people's creation; `period`: by when they reached a milestone"
    )
    by: Annotated[StrictStr, Field(pattern=r"^(campaign|platform|dimension:.{1,100})$")] | None = Field(
        default=None, description="`campaign`, `platform` or `dimension:NAME`"
    )
    platform: Word | None = Field(default=None, description="Only this platform")
    campaign_id: Word | None = Field(default=None, description="Only this campaign's id")
    dimension: Annotated[StrictStr, Field(pattern=r"^[^=\x00]{1,100}=[^\x00]{0,200}$")] | None = Field(
        default=None, description="Only people with this value, like `country=US`"
    )
    source: Word | None = Field(default=None, description="A source's name")
    currency: Currency | None = Field(default=None, description="Report in this currency, converted by the stored rates")
    limit: Limit = Field(default=50, description="Rows before all others are added up")


class BooksReportQuery(Given):
    """Which books to show."""

    since: Day | None = Field(default=None, description="First day (UTC) of the conversions; 90 days back without it")
    until: Day | None = Field(default=None, description="Last day (UTC), included; today without it")
    source: Word | None = Field(default=None, description="A source's name")
    destination: Word | None = Field(default=None, description="A destination's name")


class PageQuery(Given):
    """Which page of a list."""

    limit: Limit = Field(default=50, description="Rows of a page")
    cursor: Cursor | None = Field(default=None, description="`next` of the page before")


class DiffQuery(Given):
    """What to compare with."""

    against: Number = Field(description="The other version's number")


class VersionBody(Given):
    """A mapping document, to be stored as a new version."""

    document: dict[str, JsonValue] = Field(description="The mapping, as in a config file")
    dry_run: StrictBool = Field(default=False, description="Only check it")
    check_targets: StrictBool = Field(default=True, description="Ask the platforms whether they have its targets")


class ConnectionBody(Given):
    """A connection as it should be."""

    kind: Word = Field(description="`hubspot`, `salesforce`, `pipedrive`; `google`, `meta`, `linkedin`, `microsoft`, `tiktok`")
    settings: dict[Word, Annotated[Plain, Field(max_length=LONGEST_SETTING)] | None] = Field(
        max_length=MOST_SETTINGS,
        repr=False,
        description="Its settings, as its kind's README names them, each a text. What is left out is taken away, but"
        " credentials that are left out stay as they are; null takes one away",
    )
    mode: ConnectionMode | None = Field(default=None, description="As it was (`live` for a new one) without it")


class SchemaQuery(Given):
    """Which part of a schema."""

    object: ObjectKind | None = Field(default=None, description="Only this kind of record")


class ModeBody(Given):
    """Whether a connection works."""

    mode: ConnectionMode = Field(description="`live`; `shadow`: everything is built, nothing is sent; `paused`: it stands still")


class DestinationModeBody(ModeBody):
    """Whether a destination works, or one milestone there."""

    milestone: Word | None = Field(default=None, description="Only this milestone; the whole destination without it")


class CheckBody(Given):
    """How to check a destination."""

    test_code: Word | None = Field(
        default=None, description="Also send a test event under this code, which the platform does not count (Meta, TikTok)"
    )


class BackfillBody(Given):
    """What of the past to read."""

    since: Instant = Field(description="From this instant on")
    restart: StrictBool = Field(default=False, description="Give up one of another date that is under way")


class PastBody(Given):
    """What of the past to send."""

    since: Instant = Field(description="What happened from this instant on")
    dry_run: StrictBool = Field(default=True, description="Only tell what would go and what would not")


_PREVIEW = PreviewOrder()


class PreviewBody(Given):
    """What a preview looks at."""

    records: Annotated[int, Field(ge=1, le=MOST_RECORDS), BeforeValidator(whole)] = Field(
        _PREVIEW.records, description="At most so many records"
    )
    origin: Origin | None = Field(default=None, description="`stored` or `crm`; what is stored where something is, without it")
    days: Annotated[int, Field(ge=1, le=MOST_DAYS), BeforeValidator(whole)] = Field(
        _PREVIEW.days, description="Of the CRM: what changed in so many days"
    )
    restates: StrictBool = Field(default=False, description="Also what a reapply with restatements would correct")


class ReapplyBody(Given):
    """How to reapply."""

    restates: StrictBool = Field(default=False, description="Let values follow the version, and correct what was sent")


class RateQuery(Given):
    """Which rates."""

    base: Currency | None = Field(default=None, description="Only of this currency")
    quote: Currency | None = Field(default=None, description="Only in this currency")
    limit: Limit = Field(default=50, description="Rows of a page")
    cursor: Cursor | None = Field(default=None, description="`next` of the page before")


class RateItem(Given):
    """What one of `base` cost in `quote` on a day."""

    day: Day
    base: Currency
    quote: Currency
    rate: Word = Field(description="A decimal text, like 1.0845")


class RatesBody(Given):
    """Rates, all or none."""

    rates: Annotated[list[RateItem], Field(min_length=1, max_length=2000)]


class SpendQuery(Given):
    """Which spend."""

    platform: Word | None = Field(default=None, description="Only of this platform")
    campaign_id: Word | None = Field(default=None, description="Only of this campaign")
    since: Day | None = Field(default=None, description="First day")
    until: Day | None = Field(default=None, description="Last day, included")
    limit: Limit = Field(default=50, description="Rows of a page")
    cursor: Cursor | None = Field(default=None, description="`next` of the page before, with the same filters")


Count = Annotated[int, Field(ge=0, lt=10**15), BeforeValidator(whole)]


class SpendGiven(Given):
    """What one campaign cost on one day of its account."""

    platform: Annotated[StrictStr, Field(pattern="^[a-z][a-z0-9_]{0,39}$")]
    campaign_id: Word
    day: Day
    cost: Annotated[StrictStr, Field(pattern=r"^[0-9]{1,12}([.][0-9]{1,6})?$", description="A decimal text, like 412.50")]
    currency: Currency
    campaign_name: Word | None = None
    clicks: Count | None = None
    impressions: Count | None = None


class SpendBody(Given):
    """Rows of spend, all or none."""

    rows: Annotated[list[SpendGiven], Field(min_length=1, max_length=2000)]


class FindBody(Given):
    """One clue. An e-mail or phone is fingerprinted at once; it is neither logged nor stored nor told back."""

    model_config = ConfigDict(json_schema_extra=exactly_one(("ref", "email", "phone", "platform_id"), {"country": "phone"}))

    source: Word | None = None
    ref: Word | None = Field(default=None, description="`contact:123`, `deal:9`, a lead's id or a conversion's id")
    email: Annotated[Plain, Field(min_length=3, max_length=LONGEST_CLUE)] | None = Field(default=None, repr=False)
    phone: Annotated[Plain, Field(min_length=5, max_length=LONGEST_CLUE)] | None = Field(default=None, repr=False)
    country: Annotated[StrictStr, Field(pattern="^[A-Za-z]{2}$")] | None = Field(
        default=None, description="ISO 3166 alpha-2, to read a national phone number; else the mapping's `default_country`"
    )
    platform_id: Word | None = Field(
        default=None, description="The id that a platform shows for a conversion (Google `transactionId`, Meta `event_id`)"
    )

    @model_validator(mode="after")
    def _one_clue(self) -> "FindBody":
        if sum(clue is not None for clue in (self.ref, self.email, self.phone, self.platform_id)) != 1:
            raise ValueError("give exactly one of `ref`, `email`, `phone`, `platform_id`")
        if self.country is not None and self.phone is None:
            raise ValueError("`country` goes with `phone` only")
        return self


class PersonBody(Given):
    """One clue to a person. An e-mail, phone or form id is fingerprinted at once; it is neither logged nor told back."""

    model_config = ConfigDict(json_schema_extra=exactly_one(("ref", "email", "phone", "lead_form_id"), {"country": "phone"}))

    source: Word | None = Field(default=None, description="A source's name; needed with `ref` where there are several sources")
    ref: Word | None = Field(default=None, description="`contact:123`, `lead:9`, a lead's id or a conversion's id")
    email: Annotated[Plain, Field(min_length=3, max_length=LONGEST_CLUE)] | None = Field(default=None, repr=False)
    phone: Annotated[Plain, Field(min_length=5, max_length=LONGEST_CLUE)] | None = Field(default=None, repr=False)
    country: Annotated[StrictStr, Field(pattern="^[A-Za-z]{2}$")] | None = Field(
        default=None, description="ISO 3166 alpha-2, to read a national phone number; else the mapping's `default_country`"
    )
    lead_form_id: Word | None = Field(
        default=None, repr=False, description="The id that Meta, LinkedIn or TikTok gave to the lead of a form"
    )

    @model_validator(mode="after")
    def _one_clue(self) -> "PersonBody":
        if sum(clue is not None for clue in (self.ref, self.email, self.phone, self.lead_form_id)) != 1:
            raise ValueError("give exactly one of `ref`, `email`, `phone`, `lead_form_id`")
        if self.country is not None and self.phone is None:
            raise ValueError("`country` goes with `phone` only")
        return self


_MODELS = (
    DeliveryQuery,
    RunQuery,
    TraceQuery,
    ReplayFilter,
    ReplayBody,
    FindBody,
    PersonBody,
    KeyBody,
    PageQuery,
    DiffQuery,
    VersionBody,
    ConnectionBody,
    SchemaQuery,
    ModeBody,
    DestinationModeBody,
    CheckBody,
    BackfillBody,
    PastBody,
    PreviewBody,
    ReapplyBody,
    RateQuery,
    RateItem,
    RatesBody,
    SpendQuery,
    SpendGiven,
    SpendBody,
    ReportQuery,
    BooksReportQuery,
)
KNOWN_NAMES = tuple(dict.fromkeys(name for model in _MODELS for name in model.model_fields))
