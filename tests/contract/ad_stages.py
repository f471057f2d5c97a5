"""Which simulated ad platforms there are: what passes on one must pass on all."""

from collections.abc import Mapping
from typing import Protocol

from tests.contract.ad_stage import AdAbility, AdStage
from tests.contract.crm_stage import Clock
from tests.contract.google_stage import GoogleStage
from tests.contract.linkedin_stage import LinkedInStage
from tests.contract.meta_stage import MetaStage
from tests.contract.microsoft_stage import MicrosoftStage
from tests.contract.tiktok_stage import TikTokStage


class MakesAnAdStage(Protocol):
    """A class of stages."""

    abilities: frozenset[AdAbility]

    def __call__(self, clock: Clock) -> AdStage: ...


AD_STAGES: Mapping[str, MakesAnAdStage] = {
    "google": GoogleStage,
    "linkedin": LinkedInStage,
    "meta": MetaStage,
    "microsoft": MicrosoftStage,
    "tiktok": TikTokStage,
}
