"""What every connector does when the call fails: the right error, with what is known of its effect, and one try only."""

from datetime import timedelta

import pytest

from connectors.contract.errors import AuthenticationFailed, Effect, RateLimited, Unavailable
from connectors.contract.results import Accepted, AlreadyThere
from connectors.simulators.faults import refused, reset, server_error, timeout
from tests.contract.ad_reading import DAY, able, connected, one_form, row, rows
from tests.contract.ad_stage import AdAbility, AdStage


@able(AdAbility.OAUTH)
async def test_an_expired_token_is_renewed_once(ad: AdStage) -> None:
    """Tokens run out every hour or month: nobody should notice."""
    async with connected(ad, oauth=True) as destination:
        await destination.upload([row(ad, 1)], ad.clock())
        before = ad.refreshes()
        ad.expire_tokens()

        (result,) = await destination.upload([row(ad, 2)], ad.clock())

        assert isinstance(result, Accepted)
        assert ad.refreshes() == before + 1
        assert ad.total_counted() == 2


@able(AdAbility.OAUTH)
async def test_a_token_that_is_refused_after_its_renewal_is_told(ad: AdStage) -> None:
    """One refresh, then a person must act; a loop would lock the account."""
    async with connected(ad, oauth=True) as destination:
        ad.plan.script(ad.faults.expired_token, ad.faults.expired_token, when=lambda call: "oken" not in call.path)

        with pytest.raises(AuthenticationFailed) as caught:
            await destination.upload([row(ad)], ad.clock())

        assert caught.value.effect is Effect.NONE
        assert ad.total_counted() == 0


@able(AdAbility.OAUTH)
async def test_a_grant_that_was_taken_back_asks_a_person(ad: AdStage) -> None:
    """No refresh mends it."""
    async with connected(ad, oauth=True) as destination:
        ad.revoke_grant()

        with pytest.raises(AuthenticationFailed):
            await destination.upload([row(ad)], ad.clock())


@pytest.mark.parametrize("which", ["expired_token", "refused"])
async def test_refused_credentials_stop_the_connection(ad: AdStage, which: str) -> None:
    """A token that cannot be renewed, or that lacks a right: nothing is tried again until a check is clean."""
    async with connected(ad) as destination:
        ad.plan.script(getattr(ad.faults, which), None)

        with pytest.raises(AuthenticationFailed) as caught:
            await destination.upload(one_form(ad, destination, rows(ad, 2)), ad.clock())

        assert caught.value.effect is Effect.NONE
        assert ad.total_counted() == 0


@pytest.mark.parametrize("which", ["throttled", "throttled_with_wait"])
async def test_throttling_waits(ad: AdStage, which: str) -> None:
    """With the wait that the platform names, without one with a usual one; and it counts no try."""
    async with connected(ad) as destination:
        ad.plan.script(getattr(ad.faults, which))

        with pytest.raises(RateLimited) as caught:
            await destination.upload([row(ad)], ad.clock())

        assert caught.value.effect is Effect.NONE
        if which == "throttled_with_wait":
            assert caught.value.retry_after is not None
            assert caught.value.retry_after >= timedelta(seconds=120)


@pytest.mark.parametrize(
    ("fault", "effect"),
    [
        (server_error(500), Effect.UNKNOWN),
        (server_error(502), Effect.UNKNOWN),
        (server_error(503), Effect.UNKNOWN),
        (server_error(504), Effect.UNKNOWN),
        (timeout(), Effect.UNKNOWN),
        (timeout(has_effect=True), Effect.UNKNOWN),
        (reset(), Effect.UNKNOWN),
        (reset(has_effect=True), Effect.UNKNOWN),
        (refused(), Effect.NONE),
    ],
    ids=["500", "502", "503", "504", "timeout", "timeout_after", "reset", "reset_after", "no_connection"],
)
async def test_an_outage_is_told_with_its_effect(ad: AdStage, fault: object, effect: Effect) -> None:
    """Whether the platform may have acted decides if a repetition is safe. Uploads are sent once, whatever happens."""
    async with connected(ad) as destination:
        ad.plan.script(fault, None)  # type: ignore[arg-type]  # a fault

        with pytest.raises(Unavailable) as caught:
            await destination.upload([row(ad)], ad.clock())

        assert caught.value.effect is effect
        assert len(ad.plan.met) == 1
        assert ad.total_counted() <= 1


@able(AdAbility.DEDUPS)
async def test_a_repetition_inside_the_window_counts_once(ad: AdStage) -> None:
    """The answer was lost after the effect: the same content again, under the same id, is dropped by the platform."""
    async with connected(ad) as destination:
        window = destination.limits.dedup_window
        assert window is not None
        given = one_form(ad, destination, rows(ad, 3))
        ad.plan.script(timeout(has_effect=True))
        with pytest.raises(Unavailable):
            await destination.upload(given, ad.clock())

        ad.clock.go_on(min(window, DAY) - timedelta(hours=1))
        results = await destination.upload(given, ad.clock())

        assert {type(one) for one in results} <= {Accepted, AlreadyThere}
        assert [ad.counted(one) for one in given] == [1, 1, 1]


async def test_without_dedup_nobody_promises_a_repetition(ad: AdStage) -> None:
    """Where no document says that a second copy is dropped, limits say so: one repetition at most, then a person decides."""
    async with connected(ad) as destination:
        limits = destination.limits

        assert (AdAbility.DEDUPS in ad.abilities) == (limits.dedup_window is not None)
        assert limits.dedup_window is not None or limits.unproven_repeats <= 1


async def test_more_faults_in_the_vendors_words(ad: AdStage) -> None:
    """Each of them passes: nothing is lost, nothing counted twice, the next try goes."""
    async with connected(ad) as destination:
        for number, (name, fault) in enumerate(sorted(ad.faults.more.items())):
            one = row(ad, number + 1)
            ad.plan.script(fault)

            with pytest.raises((Unavailable, RateLimited)):
                await destination.upload([one], ad.clock())

            ad.clock.go_on(timedelta(minutes=6))
            assert isinstance((await destination.upload([one], ad.clock()))[0], Accepted), name
            assert ad.counted(one) == 1
