"""Each import contract is seen to fail: a direction that nothing keeps is a wish."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# An import that must not be, by the contract that must see it: importing module -> imported module.
LAYERS = "Rooms of the service look down only"
PLANTED = [
    (LAYERS, "app.secrets", "app.leases"),
    (LAYERS, "app.config", "app.leases"),
    (LAYERS, "app.telemetry", "app.connections"),
    (LAYERS, "app.db.ids", "app.mapping"),
    (LAYERS, "app.mapping", "app.outbox"),
    (LAYERS, "app.outbox", "app.connections"),
    (LAYERS, "app.connections", "app.leases"),
    (LAYERS, "app.leases", "app.ingest"),
    (LAYERS, "app.mapping", "app.reports"),
    (LAYERS, "app.outbox", "app.dispatch"),
    (LAYERS, "app.reports", "app.bootstrap"),
    (LAYERS, "app.dispatch", "app.bootstrap"),
    (LAYERS, "app.ingest", "app.bootstrap"),
    (LAYERS, "app.bootstrap", "app.api"),
    (LAYERS, "app.bootstrap", "app.scheduler"),
    (LAYERS, "app.scheduler", "app.main"),
    (LAYERS, "app.api", "app.main"),
    (LAYERS, "app.main", "app.demo"),
    (LAYERS, "app.demo", "app.cli"),
    ("Connectors know nothing of the service", "connectors.registry", "app.db"),
    ("The contract is standard library only and knows nobody", "connectors.contract.records", "orjson"),
    ("The contract is standard library only and knows nobody", "connectors.contract.results", "connectors.http"),
    ("Vendors do not know each other", "connectors.crm.hubspot", "connectors.ads.google"),
    ("Only the registry names vendors, only bootstrap opens it", "app.ingest", "connectors.registry"),
    ("Only the registry names vendors, only bootstrap opens it", "connectors.http", "connectors.crm.hubspot"),
    ("Simulators import nothing of the connectors", "connectors.simulators.faults", "connectors.contract"),
    ("Only ingest and privacy hash people", "app.dispatch", "connectors.identity"),
    ("httpx is spoken only where requests are sent", "app.api", "httpx"),
    ("Pure modules import no I/O", "app.mapping.engine", "sqlalchemy"),
    ("Pure modules import no I/O", "app.outbox.policy", "app.db"),
    ("Pure modules import no I/O", "app.mapping.suggest_places", "app.db"),
    ("What translates a vendor sends nothing", "connectors.crm.pipedrive.records", "connectors.http.client"),
    ("What translates a vendor sends nothing", "connectors.crm.salesforce.webhook", "httpx"),
]
_VERDICT = re.compile(r"^(?P<name>.+?) (?P<verdict>KEPT|BROKEN)$", re.MULTILINE)


def _file(tree: Path, module: str) -> Path:
    path = tree.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _lint(tree: Path) -> str:
    """What import-linter says of a tree."""
    program = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    environ = {**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(program, cwd=tree, capture_output=True, text=True, check=False, env=environ)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The linter's report on a copy of the code in which every forbidden import was planted."""
    tree = tmp_path_factory.mktemp("planted")
    for name in ("app", "connectors"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    for _, importer, imported in PLANTED:
        with _file(tree, importer).open("a", encoding="utf-8") as file:
            file.write(f"\nimport {imported}\n")
    return _lint(tree)


def test_every_contract_breaks_where_its_direction_is_broken(report: str) -> None:
    """A contract that stays green whatever is imported keeps nothing."""
    verdicts = {found["name"].strip(): found["verdict"] for found in _VERDICT.finditer(report)}

    assert set(verdicts) == {contract for contract, _, _ in PLANTED}, report
    assert set(verdicts.values()) == {"BROKEN"}, report


@pytest.mark.parametrize(("contract", "importer", "imported"), PLANTED)
def test_the_forbidden_import_is_named(report: str, contract: str, importer: str, imported: str) -> None:
    """The report leads to the very line that looks the wrong way."""
    assert re.search(rf"{re.escape(importer)} -> {re.escape(imported)} \(l\.\d+\)", report), f"{contract}\n{report}"
