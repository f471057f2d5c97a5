"""Every test of a room like this runs on every simulated CRM."""

from datetime import UTC, datetime, timedelta

import pytest

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
