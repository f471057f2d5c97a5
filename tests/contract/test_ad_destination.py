"""What every ad platform's connector must do, on every platform: one result for each row, in order, and nothing counted twice."""

from dataclasses import replace

import pytest

from connectors.contract.conversions import DeliveryKind, Identifier
from connectors.contract.errors import ConnectorError, Effect, UnexpectedReply
from connectors.contract.results import (
    Accepted,
    AlreadyThere,
    Later,
    NotProcessed,
    Rejected,
    Retry,
    TargetRefused,
    Unsupported,
)
from connectors.simulators.faults import Fault, FaultKind, answer, garbage
from tests.contract.ad_reading import DAY, connected, one_form, outcome, row, rows, sent_through
from tests.contract.ad_stage import AdStage

TAKEN = (Accepted, AlreadyThere)


async def test_one_result_for_each_row_in_order(ad: AdStage) -> None:
    """The dispatcher settles by place: a result too few or out of order would settle somebody else's conversion."""
    async with connected(ad) as destination:
        good = one_form(ad, destination, rows(ad, 5))
        given = [good[0], replace(good[1], occurred_at=ad.clock() + DAY), good[2], replace(good[3], identifiers={}), good[4]]

        results = await destination.upload(given, ad.clock())

        assert [type(one) for one in results] == [Accepted, Later, Accepted, Rejected, Accepted]
        assert [ad.counted(one) for one in given] == [1, 0, 1, 0, 1]
        assert ad.requests() == 1


async def test_an_empty_batch_asks_nothing(ad: AdStage) -> None:
    """Nothing valid left is no reason to bother the platform, or to be refused by it."""
    async with connected(ad) as destination:
        assert list(await destination.upload([], ad.clock())) == []
        results = await destination.upload([row(ad, identifiers={})], ad.clock())

        assert [type(one) for one in results] == [Rejected]
        assert ad.requests() == 0


async def test_a_bad_row_costs_its_neighbours_nothing(ad: AdStage) -> None:
    """Among others one row is refused by the platform: it alone is, the rest is counted once."""
    async with connected(ad) as destination:
        given = one_form(ad, destination, rows(ad, 7))
        code = ad.final_codes[0]
        ad.refuse(given[3], code)

        found = await sent_through(destination, given, ad.clock())

        assert isinstance(found.pop(given[3].conversion_id), Rejected)
        assert {type(one) for one in found.values()} <= set(TAKEN)
        assert [ad.counted(one) for one in given] == [1, 1, 1, 0, 1, 1, 1]


async def test_one_bad_row_among_the_most_that_go(ad: AdStage) -> None:
    """A full request with one wrong row: one of thousands must not hold up the others."""
    async with connected(ad) as destination:
        most = destination.limits.rows
        given = one_form(ad, destination, rows(ad, most))
        ad.refuse(given[most // 3], ad.final_codes[0])

        found = await sent_through(destination, given, ad.clock())

        assert isinstance(found.pop(given[most // 3].conversion_id), Rejected)
        assert {type(one) for one in found.values()} <= set(TAKEN)
        assert ad.total_counted() == most - 1


async def test_more_rows_than_go_are_not_lost(ad: AdStage) -> None:
    """What does not fit is not processed, and said so."""
    async with connected(ad) as destination:
        most = destination.limits.rows
        given = one_form(ad, destination, rows(ad, most + 2))

        results = await destination.upload(given, ad.clock())

        assert sum(isinstance(one, Accepted) for one in results) == most
        assert [type(one) for one in results[most:]] == [NotProcessed, NotProcessed]


async def test_a_refused_batch_that_names_nobody_processes_nobody(ad: AdStage) -> None:
    """The dispatcher halves it; a guess would reject a good conversion."""
    async with connected(ad) as destination:
        given = one_form(ad, destination, rows(ad, 3))
        ad.plan.script(ad.faults.batch_refused)

        results = await destination.upload(given, ad.clock())

        assert {type(one) for one in results} == {NotProcessed}
        assert ad.total_counted() == 0


async def test_the_same_id_twice_is_counted_once(ad: AdStage) -> None:
    """In one request the second copy waits or is dropped by the platform; two of them would be money counted twice."""
    async with connected(ad) as destination:
        one = row(ad)

        results = await destination.upload([one, one], ad.clock())

        assert len(results) == 2
        assert isinstance(results[0], Accepted)
        assert isinstance(results[1], NotProcessed | Accepted | AlreadyThere)
        assert ad.counted(one) == 1


async def test_a_wrong_target_stops_one_milestone(ad: AdStage) -> None:
    """One rule, action or goal that is wrong must not stop the account, nor cost the rows of the others."""
    async with connected(ad) as destination:
        good, bad = one_form(ad, destination, [row(ad, 1), row(ad, 2, target=ad.wrong_target())])

        found = await sent_through(destination, [good, bad], ad.clock())

        assert isinstance(found[bad.conversion_id], TargetRefused)
        assert isinstance(found[good.conversion_id], Accepted)
        assert (ad.counted(good), ad.counted(bad)) == (1, 0)


async def test_an_unknown_code_is_never_final(ad: AdStage) -> None:
    """A code that nobody has seen may pass: it is tried again, and told as unknown."""
    async with connected(ad) as destination:
        one = row(ad)
        ad.plan.script(ad.faults.unknown)

        (result,) = await destination.upload([one], ad.clock())

        assert isinstance(result, Retry)
        assert not result.is_known
        assert isinstance((await destination.upload([one], ad.clock()))[0], Accepted)


@pytest.mark.parametrize("place", range(10))
async def test_a_final_code_is_final_and_a_passing_one_is_not(ad: AdStage, place: int) -> None:
    """Ten codes that pass lose nothing, ten that never will are not tried again."""
    async with connected(ad) as destination:
        for codes, kinds in ((ad.final_codes, (Rejected,)), (ad.passing_codes, (Retry, Later))):
            if place >= len(codes):
                continue
            one = row(ad, place + 1)
            ad.refuse(one, codes[place])
            found = await outcome(destination, [one], ad.clock())
            if isinstance(found, ConnectorError):
                assert codes is ad.passing_codes, found.message
            else:
                assert isinstance(found[0], kinds), codes[place]
            assert ad.counted(one) == 0
            ad.relent()
            if codes is ad.passing_codes:
                ad.clock.go_on(DAY / 2)
                assert isinstance((await destination.upload([one], ad.clock()))[0], TAKEN)


@pytest.mark.parametrize("body", [{}, {"elements": []}, [], {"code": 7}, "", None, 0, {"events_received": 1}])
async def test_a_200_is_never_taken_for_delivered(ad: AdStage, body: object) -> None:
    """A reply that does not add up settles nothing: nobody knows what was counted."""
    async with connected(ad) as destination:
        ad.plan.script(answer(200, body))
        given = one_form(ad, destination, rows(ad, 3))
        found = await outcome(destination, given, ad.clock())

        if isinstance(found, ConnectorError):
            assert found.effect is Effect.UNKNOWN
        else:
            assert {type(one) for one in found} <= {NotProcessed, Retry}, body


async def test_garbage_settles_nothing(ad: AdStage) -> None:
    """A proxy that gave up halfway says nothing of what was done."""
    async with connected(ad) as destination:
        ad.plan.script(garbage())

        with pytest.raises(UnexpectedReply) as caught:
            await destination.upload([row(ad)], ad.clock())

        assert caught.value.effect is Effect.UNKNOWN


async def test_nothing_personal_is_told(ad: AdStage) -> None:
    """What a platform writes may quote what was sent: no message, no repr may hold it."""
    async with connected(ad) as destination:
        given = one_form(ad, destination, rows(ad, 2))
        secrets = [value for one in given for value in one.identifiers.values()] + list(ad.settings().values())
        secrets = [text for text in secrets if len(text) > 12 and "://" not in text]
        told: list[str] = [repr(given)]
        quoting = f"bad value {' '.join(secrets)} here"
        for status in (200, 400, 422, 500):
            body = {"message": quoting, "error": {"message": quoting, "code": 1}, "code": 1, "Message": quoting}
            ad.plan.script(Fault(FaultKind.ANSWER, False, status, {}, str(body).replace("'", '"').encode()))
            found = await outcome(destination, given, ad.clock())
            told += [repr(found), str(found), getattr(found, "message", "")]

        assert [secret for secret in secrets if any(secret in text for text in told)] == []


async def test_a_correction_that_nobody_takes_is_refused_here(ad: AdStage) -> None:
    """`upload` takes conversions only; a correction sent as one would count a second time."""
    async with connected(ad) as destination:
        results = await destination.upload([row(ad, kind=DeliveryKind.RETRACT)], ad.clock())

        assert isinstance(results[0], Rejected | Unsupported)
        assert ad.requests() == 0


def test_limits_are_whole(ad: AdStage) -> None:
    """Limits are data that policy, API and docs read: what they name must fit together."""
    from connectors import registry  # noqa: PLC0415 the limits are the class's

    limits = registry.DESTINATIONS[ad.kind].limits

    assert limits.click_identifiers <= limits.identifiers
    assert limits.apart <= limits.identifiers
    assert (limits.age_identifiers or frozenset()) <= limits.identifiers
    assert all(one <= limits.identifiers for one in limits.sufficient)
    assert limits.rows > 0
    assert limits.target_settings == frozenset(name for name, _ in ad.target("qualified_lead").settings)
    assert set(ad.person(1)) <= limits.identifiers
    assert any(set(one) <= set(ad.person(1)) for one in limits.sufficient)
    assert Identifier.EMAIL_SHA256 in limits.identifiers or ad.kind in ("google", "microsoft")
