"""Which simulated CRMs there are: what passes on one must pass on all."""

from collections.abc import Mapping
from typing import Protocol

import pytest

from tests.contract.crm_stage import Ability, Clock, CrmStage
from tests.contract.hubspot_stage import HubSpotStage
from tests.contract.pipedrive_stage import PipedriveStage
from tests.contract.salesforce_stage import SalesforceStage


class MakesAStage(Protocol):
    """A class of stages."""

    abilities: frozenset[Ability]

    def __call__(self, clock: Clock) -> CrmStage: ...


STAGES: Mapping[str, MakesAStage] = {
    "hubspot": HubSpotStage,
    "pipedrive": PipedriveStage,
    "salesforce": SalesforceStage,
}


def on_stages_with(ability: Ability) -> pytest.MarkDecorator:
    """Only on the CRMs that have it."""
    return pytest.mark.parametrize(
        "stage", sorted(name for name, made in STAGES.items() if ability in made.abilities), indirect=True
    )
