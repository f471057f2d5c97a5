"""What every connector does with values, times, identifiers and consent: what would sink a request never gets into it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from connectors.contract.conversions import Consent, ConsentState, Identifier, Money
from connectors.contract.results import Accepted, Later, NotProcessed, Rejected
from tests.contract.ad_reading import DAY, HOUR, connected, row, without
from tests.contract.ad_stage import AdStage

BAD = "no such thing; (at all)"


@pytest.mark.parametrize(
    ("micros", "currency", "expected"),
    [
        (None, "", None),
        (0, "own", Decimal(0)),
        (100_000 + 200_000, "own", Decimal("0.30")),
        (1, "own", Decimal("0.00")),
        (999_999_999_990_000, "own", Decimal("999999999.99")),
        (1_234_000, "KWD", Decimal("1.23")),
        (1_500_000_000, "JPY", Decimal(1500)),
    ],
    ids=["none", "zero", "tenths", "less_than_a_cent", "huge", "three_decimals", "no_decimals"],
)
async def test_values_arrive_as_they_are(ad: AdStage, micros: int | None, currency: str, expected: Decimal | None) -> None:
    """A float would make 0.30000000000000004 of 0.1 + 0.2; each currency has its own minor unit."""
    async with connected(ad) as destination:
        named = ad.account_currency if currency == "own" else currency
        one = row(ad, money=None if micros is None else Money(micros, named))

        (result,) = await destination.upload([one], ad.clock())

        assert isinstance(result, Accepted)
        value = ad.value_of(one)
        if expected is None or value is None:
            assert value in (None, Decimal(0))
        else:
            assert round(value, 2) == expected


@pytest.mark.parametrize(
    "money", [Money(-1_000_000, "USD"), Money(10**20, "USD"), Money(1_000_000, "ZZZ"), Money(1_000_000, "eur")]
)
async def test_values_that_no_platform_counts_are_refused_here(ad: AdStage, money: Money) -> None:
    """They would cost a whole request, or be counted as something else."""
    async with connected(ad) as destination:
        results = await destination.upload([row(ad, money=money)], ad.clock())

        assert isinstance(results[0], Rejected)
        assert ad.requests() == 0


async def test_the_edges_of_the_age_window(ad: AdStage) -> None:
    """An hour inside goes, an hour outside is refused here: on some platforms it would sink its whole batch."""
    async with connected(ad) as destination:
        limits = destination.limits
        aged = limits.click_identifiers if limits.age_identifiers is None else limits.age_identifiers
        everything = ad.person(1)
        for number, (age, kept) in enumerate(
            [
                (limits.age_with_click, frozenset(aged)),
                (limits.age_without_click, frozenset(everything) - aged - limits.click_identifiers),
            ]
        ):
            identifiers = without(ad.person(number), frozenset(everything) - kept)
            if not any(one <= set(identifiers) for one in limits.sufficient):
                continue
            inside = ad.clock() - age + HOUR
            young = row(ad, number, identifiers=identifiers, occurred_at=inside, clicked_at=inside - timedelta(minutes=30))
            old = replace(young, conversion_id=f"old{number}old", occurred_at=ad.clock() - age - HOUR)

            results = [(await destination.upload([one], ad.clock()))[0] for one in (young, old)]

            assert [type(one) for one in results] == [Accepted, Rejected], kept
            assert (ad.counted(young), ad.counted(old)) == (1, 0)


async def test_what_is_ahead_of_us_waits(ad: AdStage) -> None:
    """CRMs date deals ahead; a platform refuses that with the whole request."""
    async with connected(ad) as destination:
        ahead = row(ad, occurred_at=ad.clock() + HOUR)

        (result,) = await destination.upload([ahead], ad.clock())

        assert isinstance(result, Later)
        assert result.until >= ahead.occurred_at
        assert ad.requests() == 0


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 11, 1, 5, 59, 59, 999_000, tzinfo=UTC),
        datetime(2026, 11, 1, 6, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    ],
)
async def test_instants_across_a_clock_change(ad: AdStage, at: datetime) -> None:
    """The same local hour comes twice; instants are UTC everywhere, so both are told apart."""
    ad.clock.at = at + 3 * DAY
    async with connected(ad) as destination:
        first = row(ad, 1, occurred_at=at, clicked_at=at - DAY)
        second = replace(first, conversion_id="ll" + "2" * 26, occurred_at=at + HOUR)

        results = [(await destination.upload([one], ad.clock()))[0] for one in (first, second)]

        assert [type(one) for one in results] == [Accepted, Accepted]
        assert (ad.counted(first), ad.counted(second)) == (1, 1)


async def test_each_identifier_may_be_missing(ad: AdStage) -> None:
    """Nobody has all of them: each alone suffices or is refused here, as `sufficient` says."""
    async with connected(ad) as destination:
        limits = destination.limits
        everything = sorted(ad.person(1))
        for number, kept in enumerate(everything):
            alone = row(ad, number + 1, identifiers={kept: ad.person(number + 1)[kept]})
            lacking = row(ad, 50 + number, identifiers=without(ad.person(50 + number), frozenset({kept})))

            (result,) = await destination.upload([alone], ad.clock())
            (other,) = await destination.upload([lacking], ad.clock())

            enough = any(one <= {kept} for one in limits.sufficient)
            assert isinstance(result, Accepted if enough else Rejected), kept
            assert isinstance(other, Accepted), kept
            assert (ad.counted(alone), ad.counted(lacking)) == (int(enough), 1)


async def test_a_bad_identifier_is_left_out_and_the_row_goes_with_the_rest(ad: AdStage) -> None:
    """A click id that a form cut short must not cost the conversion, nor its neighbours theirs."""
    async with connected(ad) as destination:
        limits = destination.limits
        for number, bad in enumerate(sorted(ad.person(1))):
            rest = without(ad.person(number + 1), frozenset({bad}))
            if not any(one <= set(rest) for one in limits.sufficient):
                continue
            one = row(ad, number + 1, identifiers={**rest, bad: BAD})

            (result,) = await destination.upload([one], ad.clock())

            assert isinstance(result, Accepted), bad
            assert ad.counted(one) == 1
            assert BAD not in str(ad.bodies()[-1])


async def test_only_a_bad_identifier_is_refused_here(ad: AdStage) -> None:
    """Nothing is left by which the platform could know the person."""
    async with connected(ad) as destination:
        for number, bad in enumerate(sorted(ad.person(1))):
            results = await destination.upload([row(ad, number, identifiers={bad: BAD})], ad.clock())

            assert isinstance(results[0], Rejected), bad
        assert ad.requests() == 0


@pytest.mark.parametrize("data", list(ConsentState))
@pytest.mark.parametrize("personal", list(ConsentState))
async def test_nothing_goes_without_consent(ad: AdStage, data: ConsentState, personal: ConsentState) -> None:
    """Denied and unknown are refused here, also where the platform has a field for them."""
    async with connected(ad) as destination:
        consent = Consent(data, personal)
        one = row(ad, consent=consent)

        (result,) = await destination.upload([one], ad.clock())

        assert isinstance(result, Accepted if consent.allows_sending else Rejected)
        assert ad.counted(one) == int(consent.allows_sending)


async def test_rows_of_another_form_do_not_sink_a_request(ad: AdStage) -> None:
    """Where leads of a form and of a site go in different requests, those of the other one wait and are not lost."""
    async with connected(ad) as destination:
        apart = destination.limits.apart
        first, second = row(ad, 1), row(ad, 2, identifiers=without(ad.person(2), apart))

        results = await destination.upload([first, second], ad.clock())

        waiting = [one for one, result in zip((first, second), results, strict=True) if isinstance(result, NotProcessed)]
        assert all(isinstance(one, Accepted | NotProcessed) for one in results)
        assert [type(one) for one in await destination.upload(waiting, ad.clock())] == [Accepted] * len(waiting)
        assert (ad.counted(first), ad.counted(second)) == (1, 1)


async def test_what_a_platform_does_not_take_is_not_sent(ad: AdStage) -> None:
    """Identifiers of other platforms stay where they are."""
    async with connected(ad) as destination:
        foreign = {one: f"foreign-{one.value}-0123456789" for one in Identifier if one not in destination.limits.identifiers}
        one = row(ad, identifiers={**ad.person(1), **foreign})

        (result,) = await destination.upload([one], ad.clock())

        assert isinstance(result, Accepted)
        assert "foreign-" not in str(ad.bodies())
