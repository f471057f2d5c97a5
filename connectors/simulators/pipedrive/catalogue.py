"""What a company is set up with: fields, pipelines, stages, currencies, users and lead labels, with Pipedrive's own defaults."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

FIELD_TYPES = frozenset(
    [
        "varchar",
        "text",
        "double",
        "phone",
        "date",
        "daterange",
        "time",
        "timerange",
        "set",
        "enum",
        "varchar_auto",
        "address",
        "monetary",
        "org",
        "people",
        "user",
    ]
)
LEAD_SOURCES = (
    "Manually created",
    "Deal",
    "Web forms",
    "Prospector",
    "Leadbooster",
    "Live chat",
    "Import",
    "Website visitors",
    "Workflow automation",
    "API",
)


@dataclass(frozen=True, slots=True)
class Option:
    """A choice of an `enum` or `set` field, or of a status."""

    id: int | str
    label: str
    color: str | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A field of deals (leads share them), persons or organizations. The code of a custom one is 40 hex digits."""

    code: str
    name: str
    type: str
    options: tuple[Option, ...] = ()
    is_custom: bool = False
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline; ids of its stages are unique in the whole company."""

    id: int
    name: str
    order_nr: int
    is_deleted: bool = False
    is_deal_probability_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a pipeline."""

    id: int
    name: str
    pipeline_id: int
    order_nr: int
    deal_probability: int = 100
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency that amounts may have; a custom one is a unit of the company's own and no money."""

    id: int
    code: str
    name: str
    decimal_points: int = 2
    symbol: str = ""
    is_custom: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """A user with or without the rights of an administrator, who sees everything."""

    id: int
    name: str
    email: str
    is_admin: bool = True


@dataclass(frozen=True, slots=True)
class Label:
    """A label of leads."""

    id: str
    name: str
    color: str


@dataclass(slots=True)
class Catalogue:
    """All of it, by id or code."""

    fields: dict[str, dict[str, Field]] = field(default_factory=dict)
    pipelines: dict[int, Pipeline] = field(default_factory=dict)
    stages: dict[int, Stage] = field(default_factory=dict)
    removed_stages: dict[int, Stage] = field(default_factory=dict)
    currencies: dict[str, Currency] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    _custom: dict[str, dict[str, Field]] = field(default_factory=dict)

    def custom(self, kind: str) -> Mapping[str, Field]:
        """The custom fields of a kind by code; a lead has the deals'."""
        return self._custom.get("deal" if kind == "lead" else kind, {})

    def define(self, kind: str, made: Field) -> None:
        """Take in a custom field, or replace one."""
        of = "deal" if kind == "lead" else kind
        self.fields[of][made.code] = made
        self._custom.setdefault(of, {})[made.code] = made

    def drop(self, kind: str, code: str) -> None:
        """Delete a custom field; its values are seen no more."""
        of = "deal" if kind == "lead" else kind
        del self.fields[of][code], self._custom[of][code]

    def of(self, kind: str) -> dict[str, Field]:
        """All fields of a kind by code; a lead has the deals'."""
        return self.fields["deal" if kind == "lead" else kind]

    def stages_of(self, pipeline_id: int) -> list[Stage]:
        """The stages of a pipeline in their order."""
        return sorted((one for one in self.stages.values() if one.pipeline_id == pipeline_id), key=lambda one: one.order_nr)

    def add_pipeline(self, name: str, stages: Sequence[str], chances: Sequence[int] = ()) -> Pipeline:
        """A new pipeline with stages of these names, each with its chance in percent (100 until somebody sets it)."""
        pipeline = Pipeline(max(self.pipelines, default=0) + 1, name, len(self.pipelines) + 1)
        self.pipelines[pipeline.id] = pipeline
        for order, stage in enumerate(stages, start=1):
            number = max([*self.stages, *self.removed_stages], default=0) + 1
            chance = chances[order - 1] if chances else 100
            self.stages[number] = Stage(number, stage, pipeline.id, order, chance)
        return pipeline

    def rename(self, kind: str, code: str, name: str) -> None:
        """Give a custom field another name; its code stays."""
        self.define(kind, replace(self.of(kind)[code], name=name))


def default_catalogue(currency: str) -> Catalogue:
    """What a new company has."""
    made = Catalogue({kind: {one.code: one for one in fields} for kind, fields in _default_fields()})
    made.add_pipeline("Pipeline", ["Qualified", "Contact Made", "Demo Scheduled", "Proposal Made", "Negotiations Started"])
    for number, (code, name, points, symbol) in enumerate(_CURRENCIES, start=1):
        made.currencies[code] = Currency(number, code, name, points, symbol)
    if currency not in made.currencies:
        raise ValueError(f"{currency} is no currency of a new company")
    for label, name, color in _LABELS:
        made.labels[label] = Label(label, name, color)
    return made


_CURRENCIES = (
    ("EUR", "Euro", 2, "€"),
    ("USD", "US Dollar", 2, "$"),
    ("GBP", "Pound Sterling", 2, "£"),
    ("JPY", "Japanese Yen", 0, "¥"),
    ("KWD", "Kuwaiti Dinar", 3, "KD"),
)
_LABELS = (
    ("f08b42a0-4e75-11ea-9643-03698ef1cfd6", "Hot", "red"),
    ("f08b42a1-4e75-11ea-9643-03698ef1cfd6", "Cold", "blue"),
    ("f08b69b0-4e75-11ea-9643-03698ef1cfd6", "Warm", "yellow"),
)
_STATUSES = tuple(Option(one, one.capitalize()) for one in ("open", "won", "lost", "deleted"))
_CHANNELS = (Option(52, "Ads"), Option(53, "Referral"))
_LABEL_OPTIONS = (Option(1, "Customer", "green"), Option(2, "Hot lead", "red"), Option(3, "Warm lead", "yellow"))
_DEAL_FIELDS = """id:ID:int title:Title:varchar owner_id:Owner:user creator_user_id:Creator:user person_id:Contact_person:people
org_id:Organization:org pipeline_id:Pipeline:double stage_id:Stage:stage value:Value:monetary currency:Currency:varchar
probability:Probability:int lost_reason:Lost_reason:varchar_options visible_to:Visible_to:visible_to add_time:Deal_created:date
update_time:Update_time:date stage_change_time:Last_stage_change:date won_time:Won_time:date lost_time:Lost_time:date
close_time:Deal_closed_on:date expected_close_date:Expected_close_date:date origin:Source_origin:varchar
origin_id:Source_origin_ID:varchar channel_id:Source_channel_ID:varchar"""
_PERSON_FIELDS = """id:ID:int name:Name:varchar first_name:First_name:varchar last_name:Last_name:varchar email:Email:varchar
phone:Phone:phone owner_id:Owner:user org_id:Organization:org add_time:Person_created:date update_time:Update_time:date
visible_to:Visible_to:visible_to postal_address:Postal_address:address job_title:Job_title:varchar birthday:Birthday:date"""
_ORGANIZATION_FIELDS = """id:ID:int name:Name:varchar owner_id:Owner:user address:Address:address website:Website:varchar
add_time:Organization_created:date update_time:Update_time:date"""


def _default_fields() -> Iterator[tuple[str, list[Field]]]:
    deals = [
        *_listed(_DEAL_FIELDS),
        Field("status", "Status", "status", _STATUSES),
        Field("channel", "Source channel", "enum", _CHANNELS),
        Field("label_ids", "Label", "set", _LABEL_OPTIONS),
        Field("source_lead_id", "Source lead", "lead", is_optional=True),
        Field("first_won_time", "First won time", "date", is_optional=True),
    ]
    marketing = tuple(Option(one, one) for one in ("no_consent", "unsubscribed", "subscribed", "archived"))
    persons = [*_listed(_PERSON_FIELDS), Field("label_ids", "Label", "set", _LABEL_OPTIONS)]
    persons.append(Field("marketing_status", "Marketing status", "enum", marketing, is_optional=True))
    yield "deal", deals
    yield "person", persons
    yield "organization", list(_listed(_ORGANIZATION_FIELDS))


def _listed(text: str) -> Iterator[Field]:
    for one in text.split():
        code, name, kind = one.split(":")
        yield Field(code, name.replace("_", " "), kind)
