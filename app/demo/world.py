"""A company's pipeline as a list of happenings in its CRM (pure, fixed by a seed). The people are made up."""

import csv
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

DATA = Path(__file__).parent / "data"
DEALS_END = datetime(2017, 12, 31, tzinfo=UTC)
SHARE_GCLID = 0.45
SHARE_EMAIL_ONLY = 0.25
SHARE_PHONE_ONLY = 0.10
SHARE_NO_CONSENT = 0.06
SHARE_BAD_EMAIL = 0.03
SHARE_EDITED_AMOUNT = 0.04
SHARE_REOPENED = 0.02
SHARE_SECOND_PERSON = 0.10
PEOPLE_WITHOUT_A_DEAL = 2.5


class What(StrEnum):
    """What happens in the CRM."""

    CREATE = "create"
    UPDATE = "update"
    ASSOCIATE = "associate"


@dataclass(frozen=True, slots=True)
class Happening:
    """One act of somebody in the CRM. `key` names the record in this world, `other` a second one (associate)."""

    at: datetime
    what: What
    kind: str
    key: str
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    other: str = ""


@dataclass(slots=True)
class World:
    """Happenings in the order of time, and the clicks that the ad platform knows."""

    happenings: list[Happening] = field(default_factory=list)
    clicks: dict[str, datetime] = field(default_factory=dict)


def pipeline_rows() -> list[dict[str, str]]:
    """The data set's opportunities, with the misspelt product mended."""
    with (DATA / "sales_pipeline.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{**row, "product": "GTX Pro" if row["product"] == "GTXPro" else row["product"]} for row in rows]


def build_world(*, seed: int, ends_at: datetime, days: int, most_deals: int | None = None) -> World:
    """The last `days` of the pipeline, shifted so that it ends at `ends_at`."""
    shift = ends_at.replace(hour=0, minute=0, second=0, microsecond=0) - DEALS_END
    begins_at = ends_at - timedelta(days=days)
    world = World()
    rows = [row for row in pipeline_rows() if row["engage_date"] and _day(row["engage_date"]) + shift >= begins_at]
    for number, row in enumerate(rows[:most_deals]):
        luck = random.Random(f"{seed}:{row['opportunity_id']}")
        _add_deal(world, luck, row, shift, ends_at, number)
        for extra in range(int(PEOPLE_WITHOUT_A_DEAL) + (luck.random() < PEOPLE_WITHOUT_A_DEAL % 1)):
            at = begins_at + (ends_at - begins_at) * luck.random()
            _add_person(world, luck, f"x{number}-{extra}", at, ends_at, qualifies_at=None)
    world.happenings = sorted((one for one in world.happenings if one.at <= ends_at), key=lambda one: one.at)
    return world


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _moment(luck: random.Random, day: datetime) -> datetime:
    return day + timedelta(hours=8, seconds=luck.randrange(9 * 3600))


def _add_deal(
    world: World, luck: random.Random, row: Mapping[str, str], shift: timedelta, ends_at: datetime, number: int
) -> None:
    key = row["opportunity_id"]
    engaged = _moment(luck, _day(row["engage_date"]) + shift)
    created = engaged - timedelta(days=luck.uniform(1, 30))
    people = [f"p{number}"] + ([f"q{number}"] if luck.random() < SHARE_SECOND_PERSON else [])
    for person in people:
        _add_person(world, luck, person, created, ends_at, qualifies_at=created + (engaged - created) * luck.uniform(0.2, 0.9))
    deal = {"dealname": f"{row['product']} {key}", "pipeline": "default", "dealstage": "appointmentscheduled", "amount": ""}
    made = engaged - timedelta(hours=2)
    world.happenings.append(Happening(made, What.CREATE, "deals", key, deal))
    world.happenings.extend(Happening(made, What.ASSOCIATE, "deals", key, {}, person) for person in people)
    world.happenings.append(Happening(engaged, What.UPDATE, "deals", key, {"dealstage": "qualifiedtobuy"}))
    if row["close_date"]:
        world.happenings.extend(_closing(luck, row, key, shift, engaged))


def _closing(luck: random.Random, row: Mapping[str, str], key: str, shift: timedelta, engaged: datetime) -> Iterator[Happening]:
    closed = max(_moment(luck, _day(row["close_date"]) + shift), engaged + timedelta(hours=1))
    if row["deal_stage"] != "Won":
        yield Happening(closed, What.UPDATE, "deals", key, {"dealstage": "closedlost"})
        return
    won = {"dealstage": "closedwon", "amount": row["close_value"]}
    yield Happening(closed, What.UPDATE, "deals", key, won)
    if luck.random() < SHARE_EDITED_AMOUNT:
        edited = str(round(float(row["close_value"]) * luck.uniform(0.8, 1.2)))
        yield Happening(closed + timedelta(days=luck.uniform(0.1, 3)), What.UPDATE, "deals", key, {"amount": edited})
    if luck.random() < SHARE_REOPENED:
        again = closed + timedelta(days=luck.uniform(1, 5))
        yield Happening(again, What.UPDATE, "deals", key, {"dealstage": "contractsent"})
        yield Happening(again + timedelta(days=luck.uniform(0.1, 2)), What.UPDATE, "deals", key, won)


def _add_person(
    world: World, luck: random.Random, key: str, created: datetime, ends_at: datetime, *, qualifies_at: datetime | None
) -> None:
    email = f"{key}@customer{luck.randrange(400)}.example.com"
    phone = f"+44 20 7946 {luck.randrange(1000):04d}"
    properties = {
        "firstname": luck.choice(("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald")),
        "lastname": luck.choice(("Meier", "Okafor", "Silva", "Novak", "Tanaka", "Ferrari")),
        "country": luck.choice(("US", "US", "US", "GB", "DE")),
        "lifecyclestage": "lead",
        "ads_consent": "no" if luck.random() < SHARE_NO_CONSENT else "yes",
    }
    draw = luck.random()
    if draw < SHARE_GCLID:
        click = f"Cj0KCQ{luck.getrandbits(160):040x}"
        world.clicks[click] = created - timedelta(days=luck.uniform(0, 14))
        properties |= {"hs_google_click_id": click, "email": email}
    elif draw < SHARE_GCLID + SHARE_EMAIL_ONLY:
        properties["email"] = email if luck.random() > SHARE_BAD_EMAIL else "not an address"
    elif draw < SHARE_GCLID + SHARE_EMAIL_ONLY + SHARE_PHONE_ONLY:
        properties["phone"] = phone
    world.happenings.append(Happening(created, What.CREATE, "contacts", key, properties))
    if qualifies_at is not None and qualifies_at <= ends_at:
        qualified = {"lifecyclestage": "salesqualifiedlead"}
        world.happenings.append(Happening(qualifies_at, What.UPDATE, "contacts", key, qualified))
