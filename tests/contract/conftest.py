"""Every test of a room like this runs on every simulated CRM."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.ad_stage import AdStage
from tests.contract.ad_stages import AD_STAGES
from tests.contract.crm_stage import Clock, CrmStage
from tests.contract.reading import Reading
from tests.contract.stages import STAGES

BEGINS_AT = datetime(2026, 11, 20, 8, tzinfo=UTC)


@pytest.fixture(params=sorted(STAGES))
def stage(request: pytest.FixtureRequest) -> CrmStage:
    """A CRM with nobody in it."""
    return STAGES[request.param](Clock(BEGINS_AT))


@pytest.fixture
async def reading(stage: CrmStage) -> Reading:
    """Its source, with what the mapping needs selected."""
    made = Reading(stage)
    await made.select()
    stage.clock.go_on(timedelta(0))
    return made


@pytest.fixture(params=sorted(AD_STAGES))
def ad(request: pytest.FixtureRequest) -> AdStage:
    """An ad account that has counted nothing yet."""
    return AD_STAGES[request.param](Clock(BEGINS_AT))
