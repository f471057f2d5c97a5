"""What milestones need at a platform: found out from the mappings, planned, created once, and told to be written down."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import select

from app.bootstrap.failures import NameUnknown
from app.bootstrap.provisioning import ProvisionRefused, Want, wants_of
from app.connections import repository as connections
from app.connections.settings import seal_settings
from app.db.tables import audit
from app.mapping.document import MappingDocument, parse_document
from connectors import registry
from connectors.contract.conversions import Target
from connectors.contract.provisioning import Provision
from tests.api.rig import Rig, rig_on
from tests.fake_ads import KIND, FakeAccount, bare_platform, fake_platform

MILESTONES = ("lead", "qualified_lead", "closed_revenue", "disqualified")


def _document(targets: Mapping[str, object] | None, *names: str, currency: str = "USD") -> MappingDocument:
    value = {"model": "fixed", "amount": 50, "currency": currency}
    milestones = [
        {"name": name, "when": [{"object": "contact", "property": "stage", "enters": [name]}]}
        | ({"value": value} if name == "qualified_lead" else {})
        for name in names or MILESTONES
    ]
    return parse_document(
        {
            "identity": {"email": ["contact.email"]},
            "consent": {"not_required": True, "because": "a test"},
            "milestones": milestones,
            "destinations": {} if targets is None else {"ads": targets},
        }
    )


def _shown(wants: list[Want]) -> list[tuple[str, str | None, tuple[str, ...]]]:
    return [
        (one.wanted.milestone, None if one.wanted.target is None else one.wanted.target.get("goal"), one.unmapped)
        for one in wants
    ]


def test_a_mapping_that_does_not_name_the_destination_wants_all_but_what_is_lost() -> None:
    """The first set-up: nothing is there, and nobody knows an id yet."""
    wants = list(wants_of([("crm", _document(None))], "ads"))

    assert _shown(wants) == [(name, None, ("crm",)) for name in MILESTONES[:3]]
    assert [one.wanted.name for one in wants] == ["Leadloop: lead", "Leadloop: qualified lead", "Leadloop: closed revenue"]
    assert [(one.wanted.takes_value, one.wanted.currency) for one in wants] == [(False, None), (True, "USD"), (False, None)]


def test_what_is_mapped_is_wanted_and_null_is_not() -> None:
    """An operator who maps a milestone to null has decided: nothing may be created for it."""
    document = _document({"lead": None, "qualified_lead": {"goal": "Q"}, "disqualified": {"goal": "D"}, "send_when": "any"})

    assert _shown(list(wants_of([("crm", document)], "ads"))) == [("qualified_lead", "Q", ()), ("disqualified", "D", ())]


def test_two_sources_want_one_target_or_say_whose() -> None:
    """Two CRMs that send one milestone to one goal need one goal; to two goals, both; a CRM that names none takes the one."""
    names = ("qualified_lead",)
    same = [
        ("a", _document({"qualified_lead": {"goal": "Q"}}, *names)),
        ("b", _document({"qualified_lead": {"goal": "Q"}}, *names)),
    ]
    other = [same[0], ("b", _document({"qualified_lead": {"goal": "R"}}, *names, currency="EUR"))]
    lacking = [same[0], ("b", _document(None, *names, currency="EUR"))]

    assert _shown(list(wants_of(same, "ads"))) == [("qualified_lead", "Q", ())]
    assert _shown(list(wants_of(other, "ads"))) == [("a.qualified_lead", "Q", ()), ("b.qualified_lead", "R", ())]
    assert _shown(list(wants_of(lacking, "ads"))) == [("qualified_lead", "Q", ("b",))]
    both_lack = list(wants_of([("a", _document(None, *names)), ("b", _document(None, *names, currency="EUR"))], "ads"))
    assert _shown(both_lack) == [("qualified_lead", None, ("a", "b"))]
    assert both_lack[0].wanted.currency is None


@pytest.fixture
async def rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    """A house with one source, Google, and a destination of the fake kind that no mapping names yet."""
    async with rig_on(tmp_path, database_url) as one:
        async with one.services.database.write() as connection:
            sealed = seal_settings(one.services.keyring, {})
            await connections.upsert_destination(connection, "ads", KIND, sealed, None, 0)
        yield one


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> FakeAccount:
    """The account at the fake platform."""
    one = FakeAccount()
    monkeypatch.setattr(registry, "DESTINATIONS", {**registry.DESTINATIONS, KIND: fake_platform(one)})
    return one


async def test_provisioning_twice_creates_once_and_tells_what_to_write(rig: Rig, account: FakeAccount) -> None:
    """A second run after a lost connection must find what the first one made, and still tell what the mapping lacks."""
    work = rig.services.provisioning()
    account.goals["Leadloop: lead"] = "made by hand"

    plan = await work.plan("ads")
    assert account.goals.keys() == {"Leadloop: lead"}
    done = await work.provision("ads")
    again = await work.provision("ads")

    assert [one.action for one in plan.planned] == [Provision.KEEP, *[Provision.CREATE] * 3]
    assert (plan.has_work, again.has_work) == (True, False)
    assert [one.action for one in again.planned] == [Provision.KEEP] * 4
    wanted = {name: {"goal": f"Leadloop: {words}"} for name, words in _WORDS.items()}
    assert done.lines() == again.lines() == {"hubspot": wanted}
    async with rig.services.database.read() as connection:
        lines = (await connection.execute(select(audit).where(audit.c.action == "provisioned"))).all()
    assert [line.subject for line in lines] == [f"destinations.ads.{name}" for name in list(_WORDS)[1:]]


_WORDS = {
    "lead": "lead",
    "qualified_lead": "qualified lead",
    "opportunity": "opportunity",
    "closed_revenue": "closed revenue",
}


async def test_what_is_blocked_is_not_written_down(rig: Rig, account: FakeAccount) -> None:
    """A goal that takes nothing in must not get into the mapping as if it did."""
    account.frozen_goals.add("Leadloop: opportunity")

    done = await rig.services.provisioning().provision("ads")

    assert done.is_blocked
    assert "opportunity" not in done.lines()["hubspot"]


async def test_what_cannot_be_provisioned_says_what_a_person_does(
    rig: Rig, account: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks must know the next step, whatever is missing."""
    work = rig.services.provisioning()
    account.provision_fails = ValueError("set `customer_id`")

    with pytest.raises(ProvisionRefused, match="set `customer_id`"):
        await work.provision("ads")
    with pytest.raises(NameUnknown, match="did you mean 'ads'"):
        await work.plan("adz")
    monkeypatch.setattr(registry, "DESTINATIONS", {KIND: bare_platform(account)})
    with pytest.raises(ProvisionRefused, match="by hand"):
        await work.plan("ads")


def test_a_target_is_found_again_whatever_the_order_of_its_settings() -> None:
    """One target written twice is one."""
    assert Target.of({"a": "1", "b": "2"}) == Target.of({"b": "2", "a": "1"})
