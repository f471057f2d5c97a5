"""Every code of Meta that the facts name, with what must come of it for a lone event."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.ads.meta.errors import PERMISSIONS, REFUSALS
from connectors.simulators.faults import answer
from tests.contract.crm_stage import Clock
from tests.contract.meta_stage import MetaStage
from tests.wire.error_words import fact_rows, uploaded
from tests.wire.meta.meta_rig import error

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
Code = tuple[int, int | None]


def each(outcome: str, *codes: Code) -> dict[Code, str]:
    return dict.fromkeys(codes, outcome)


ROW_SUBCODES = (2804003, 2804009, 2804050, 2804001, 2804007, 2804016, 2804017, 2804019, 2804048, 2804043)
# Of events that Leadloop never sends; they end like other refused events.
OF_MESSAGING = (2804063, 2804066, 2804087, 2804116, 2804118, 2804132)
GATEWAYS = (408, 429, 500, 502, 503, 504)
TABLE: dict[Code, str] = {
    **each("Retry {}", (1, None), (1, 99)),
    **each("Unavailable {} none", (2, None), (5000, None), (21009, None)),
    **each("RateLimited {} 300 s", (4, None), (4, 1504022), (4, 1504039), (17, None), (17, 2446079), (32, None)),
    **each("RateLimited {} 300 s", (613, None), (613, 1487742), (80000, None), (80003, None), (80004, None), (80014, None)),
    **each("RateLimited {} 3600 s", (341, None), (368, None)),
    **each("AuthenticationFailed {}", (190, None), (190, 460), (190, 463), (102, None), (104, None), (100, 33)),
    **each("AuthenticationFailed {}", (3, None), (10, None), (200, None), (294, None), (299, None)),
    **each("Rejected {}", (100, None), *((100, subcode) for subcode in (*ROW_SUBCODES, *OF_MESSAGING))),
}


@pytest.fixture
def stage() -> MetaStage:
    return MetaStage(Clock(NOW))


@pytest.mark.parametrize(("code", "outcome"), TABLE.items())
async def test_what_a_code_comes_to(stage: MetaStage, code: Code, outcome: str) -> None:
    """A lone event is judged; of two nobody is, as Meta never says which one it means."""
    text = str(code[0]) if code[1] is None else f"{code[0]}/{code[1]}"
    fault = answer(400, error(*code))
    told = outcome.format(text)

    assert await uploaded(stage, fault) == [told]
    both = await uploaded(stage, fault, 2)
    assert both == ([f"NotProcessed {text}"] * 2 if told.startswith(("Rejected", "Retry")) else [told])
    assert stage.total_counted() == 0


def test_every_code_of_the_facts_has_a_row(shared: Path) -> None:
    """A code or subcode that is in no row was never thought about."""
    named: set[Code] = set()
    for cell, *_ in fact_rows(shared, "ads_meta.md", "## 8."):
        code, _, subcodes = cell.partition(" / ")
        if subcodes:
            named |= {(int(code), int(one)) for one in re.findall(r"\d+", subcodes)} or {(int(code), None)}
        elif not cell.startswith(("HTTP", "any", "unknown")):
            named |= {(int(one), None) for one in re.findall(r"\d+", re.sub(r"\(.*?\)", "", cell))}
            # `17 (2446079)`: subcodes that are seen with a code.
            for code, notes in re.findall(r"(\d+) \((.*?)\)", cell):
                named |= {(int(code), int(one)) for one in re.findall(r"\d+", notes) if one != code}

    assert named == set(TABLE)


def test_every_code_of_the_connector_has_a_row() -> None:
    """A code of the connector's table that no test names could mean anything."""
    of_paths = {(2500, None)}

    assert {code for code in REFUSALS if code[0] not in PERMISSIONS} - of_paths <= set(TABLE)


def test_every_status_of_the_facts_has_a_row(shared: Path) -> None:
    """What stands before Meta answers with these and knows no codes."""
    (cell,) = [cell for cell, *_ in fact_rows(shared, "ads_meta.md", "## 8.") if cell.startswith("HTTP")]

    assert set(re.findall(r"\d\w\w", cell)) == {str(one) if one < 500 else "5xx" for one in GATEWAYS}


@pytest.mark.parametrize(("code", "outcome"), TABLE.items())
async def test_what_meta_calls_passing_passes_whatever_its_code(stage: MetaStage, code: Code, outcome: str) -> None:
    """`is_transient` overrules the meaning of a code, but for a throttle, which says how long to stay away."""
    text = str(code[0]) if code[1] is None else f"{code[0]}/{code[1]}"
    told = outcome if outcome.startswith("RateLimited") else "Unavailable {} none"

    assert await uploaded(stage, answer(400, error(*code, is_transient=True)), 2) == [told.format(text)]


@pytest.mark.parametrize("code", [(2, None), (1, 99), (100, 2804003), (5000, None), (4242, None)])
async def test_after_a_5xx_nobody_knows_what_was_stored(stage: MetaStage, code: Code) -> None:
    """Whatever the code is: a row of such a batch is not rejected, and the batch goes again inside of the dedup window."""
    (told,) = await uploaded(stage, answer(500, error(*code)), 2)

    assert told.startswith("Unavailable")
    assert told.endswith("unknown")


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refused_token_is_one_whatever_its_status(stage: MetaStage, status: int) -> None:
    """Meta answers 190 with 400 as well as with 401."""
    assert await uploaded(stage, answer(status, error(190, 463))) == ["AuthenticationFailed 190/463"]


async def test_an_unknown_code_costs_a_lone_row_nothing(stage: MetaStage) -> None:
    """Meta publishes no list."""
    assert await uploaded(stage, answer(400, error(4242, 7))) == ["Retry 4242/7 (unknown)"]


@pytest.mark.parametrize("status", GATEWAYS)
async def test_a_gateway_s_answer_judges_nobody(stage: MetaStage, status: int) -> None:
    """What stands before Meta knows no codes."""
    (told,) = await uploaded(stage, answer(status, {"message": "says nothing"}))

    assert told.startswith("RateLimited" if status == 429 else "Unavailable")
