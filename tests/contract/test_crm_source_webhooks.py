"""What every CRM source must do about webhooks, and about the account itself."""

from dataclasses import replace

import pytest

from connectors.contract.findings import FindingStatus
from connectors.contract.records import RecordRef
from connectors.contract.source import WebhookRefused
from tests.contract.crm_stage import Ability, CrmStage, Step
from tests.contract.reading import DEAL, MINUTE, Reading, entered, later, refs_of
from tests.contract.stages import on_stages_with


async def test_a_webhook_names_the_record_and_the_account(stage: CrmStage, reading: Reading) -> None:
    """What the hint says is read afresh; the account routes it."""
    person = stage.add_person(later(stage), "ann@customer.example.com")
    deal = stage.add_deal(later(stage), person=person)
    stage.webhooks()
    stage.move(deal, Step.OPPORTUNITY, later(stage))

    hints = [hint for request in stage.webhooks() for hint in reading.parsed(request)]

    assert {(hint.ref, hint.account_ref) for hint in hints} == {(RecordRef(DEAL, deal), stage.account_ref)}
    (read,) = (one for one in await reading.fetch(RecordRef(DEAL, deal)) if one.ref.kind is DEAL)
    name, value = stage.value_of(Step.OPPORTUNITY)
    assert (stage.clock(), value) in [(one.entered_at, one.value) for one in read.entries if one.property == name]


async def test_a_forged_webhook_is_refused(stage: CrmStage, reading: Reading) -> None:
    """Whoever knows the address must not make us believe anything: another body, another secret, no secret."""
    stage.add_deal(later(stage), Step.OPPORTUNITY)
    (request, *_) = stage.webhooks()
    bare = replace(request, headers={"content-type": "application/json"})

    refused = [
        reading.answer(request, ("another secret", "user:another")),
        reading.answer(request, ()),
        reading.answer(bare),
    ]
    if Ability.SIGNED_WITH_TIME in stage.abilities:
        refused.append(reading.answer(replace(request, body=request.body.replace(b"1", b"2"))))

    assert all(isinstance(one, WebhookRefused) and one.status == 401 for one in refused)
    assert reading.parsed(request)


@on_stages_with(Ability.SIGNED_WITH_TIME)
async def test_a_stale_webhook_is_refused(stage: CrmStage, reading: Reading) -> None:
    """What was captured once must not be played again for ever."""
    stage.add_deal(later(stage), Step.OPPORTUNITY)
    (request, *_) = stage.webhooks()

    later(stage, 6 * MINUTE)

    assert isinstance(reading.answer(request), WebhookRefused)


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[[]]", b'{"a": 1}', b"<x", b"\xff\xfe", b"[" * 3000])
async def test_a_webhook_of_garbage_is_no_crash(stage: CrmStage, reading: Reading, body: bytes) -> None:
    """Anybody may post anything."""
    stage.add_deal(later(stage), Step.OPPORTUNITY)
    (request, *_) = stage.webhooks()

    answer = reading.answer(replace(request, body=body))

    assert isinstance(answer, WebhookRefused) or answer == ()


async def test_duplicated_and_reordered_webhooks_hint_at_the_same_records(stage: CrmStage, reading: Reading) -> None:
    """Hints carry no values, so neither order nor number matters."""
    deals = [stage.add_deal(later(stage), Step.OPPORTUNITY) for _ in range(3)]
    for deal in deals:
        stage.move(deal, Step.WON, later(stage))
    sent = list(stage.webhooks())
    sent += [stage.again(request) for request in sent]

    hints = [hint for request in reversed(sent) for hint in reading.parsed(request)]
    await reading.fetch(*{hint.ref for hint in hints})

    assert {hint.ref.external_id for hint in hints} == set(deals)
    name, value = stage.value_of(Step.WON)
    won = [[what for _, what in entered(reading.store, RecordRef(DEAL, deal), name)].count(value) for deal in deals]
    assert won == [1, 1, 1]


async def test_what_no_webhook_told_is_found_by_the_poll(stage: CrmStage, reading: Reading) -> None:
    """Webhooks are hints; all of them may be lost."""
    since = stage.clock()
    deal = stage.add_deal(later(stage), Step.OPPORTUNITY)
    stage.webhooks()
    later(stage)

    pages = await reading.poll(since)

    assert refs_of(pages, DEAL) == [deal]


async def test_a_check_of_a_sound_account_finds_nothing_wrong(stage: CrmStage, reading: Reading) -> None:
    """And it counts nothing and changes nothing."""
    findings = await reading.crm.check(frozenset(reading.selection.objects))

    assert findings
    assert [one for one in findings if one.status is FindingStatus.FAILED] == []


async def test_the_description_has_all_that_a_form_needs(stage: CrmStage, reading: Reading) -> None:
    """Properties with labels and types, stages with what they mean, currency, zone, pages of records."""
    schema = await reading.crm.describe()

    for kind, name in stage.milestone_properties().values():
        assert schema.properties[kind][name].label
    stages = [one for pipeline in schema.pipelines if pipeline.kind is DEAL for one in pipeline.stages]
    statuses = [option.value for option in schema.properties[DEAL][stage.value_of(Step.WON)[0]].options]
    won = {one.id for one in stages if one.is_won} | ({"won"} & set(statuses))
    assert stage.value_of(Step.WON)[1] in won
    assert (schema.account_ref, len(schema.currency), schema.currency in schema.currencies) == (stage.account_ref, 3, True)
    assert schema.record_urls[DEAL].format(id="1").startswith("http")
    assert "/" in schema.time_zone or schema.time_zone == "UTC"
