"""A program that judges recorded exchanges by Pipedrive's OpenAPI: `pipedrive_judge.py SHARED < exchanges > verdicts`.

Bodies go through `referee/openapi_request.py`; the query, which that program does not look at, is judged here by the
same documents.
"""

import contextlib
import io
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import yaml

PREFIXES = {"/api/v2": "openapi-v2.yaml", "/api/v1": "openapi-v1.yaml", "/v1": "openapi-v1.yaml"}
OAUTH = {"/oauth/token": "openapi-v1.yaml", "/oauth/token/": "openapi-v1.yaml"}
# A lead's custom fields are flat (v1) and cannot be listed by any schema; the form's refresh_token is missing in the document.
LOOSE = {("PATCH", "/leads/{id}"), ("POST", "/oauth/token"), ("POST", "/oauth/token/")}

_parsed: dict[str, Any] = {}
_load = yaml.load


def load_once(text: str, Loader: Any) -> Any:  # noqa: N803 yaml's own name
    """The referee parses its document at each call; here once is enough."""
    if text not in _parsed:
        _parsed[text] = _load(text, Loader=Loader)
    return _parsed[text]


def operation(spec: Path, path: str) -> tuple[str, Any]:
    """The template of a path, the fewest parameters first, and what the document says of it."""
    paths = load_once(spec.read_text(encoding="utf-8"), yaml.CSafeLoader)["paths"]
    fitting = [one for one in paths if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", one), path)]
    best = min(fitting, key=lambda one: one.count("{"), default="")
    return best, paths.get(best, {})


def judged(shared: Path, exchange: dict[str, Any]) -> list[str]:
    """The reasons against one exchange."""
    prefix = next((one for one in PREFIXES if exchange["path"].startswith(one + "/")), "")
    name = PREFIXES.get(prefix) or OAUTH.get(exchange["path"])
    if name is None:
        return [f"no document has {exchange['path']}"]
    spec = shared / "specs" / "pipedrive" / name
    template, methods = operation(spec, exchange["path"].removeprefix(prefix))
    found = methods.get(exchange["method"].lower())
    if found is None:
        return [f"no document has {exchange['method']} {exchange['path']}"]
    call = [str(spec), exchange["method"], template]
    reasons = [*query_reasons(found, methods, exchange), *header_reasons(found, exchange)]
    if exchange["sent"] is not None:
        strict = [] if (exchange["method"], template) in LOOSE else ["--strict"]
        reasons += refereed(shared, [*call, "-", *strict], exchange["sent"])
    elif found.get("requestBody", {}).get("required"):
        reasons.append("the body is missing")
    status = str(exchange["status"])
    if status in found["responses"] and found["responses"][status].get("content"):
        reasons += refereed(shared, [*call, "-", f"--response={status}"], exchange["got"])
    elif exchange["status"] < 300:
        reasons.append(f"status {status} is not documented")
    return [f"{exchange['method']} {template}: {one}" for one in reasons]


def query_reasons(found: Any, methods: Any, exchange: dict[str, Any]) -> list[str]:
    """What is wrong with a query by the parameters that the document lists."""
    listed = [*found.get("parameters", []), *methods.get("parameters", [])]
    known = {one["name"]: one for one in listed if one["in"] == "query"}
    reasons = []
    for name, value in parse_qsl(exchange["query"], keep_blank_values=True):
        if name not in known:
            reasons.append(f"query has no parameter {name}")
            continue
        schema = known[name].get("schema", {})
        is_list = "comma" in known[name].get("description", "")
        if schema.get("type") == "integer" and not re.fullmatch(r"-?\d+", value):
            reasons.append(f"query {name}: {value} is no integer")
        if schema.get("type") == "boolean" and value not in ("true", "false"):
            reasons.append(f"query {name}: {value} is no boolean")
        parts = [part.split(" ")[0] for part in value.split(",")] if is_list else [value]
        reasons += [f"query {name}: {part} is none of the choices" for part in parts if part not in schema.get("enum", [part])]
    given = dict(parse_qsl(exchange["query"]))
    return reasons + [f"query lacks {name}" for name, one in known.items() if one.get("required") and name not in given]


def header_reasons(found: Any, exchange: dict[str, Any]) -> list[str]:
    """Whether the caller showed a token by one of the documented headers."""
    schemes = {name for one in found.get("security", []) for name in one}
    headers = {"api_key": "x-api-token", "oauth2": "authorization", "basic_authentication": "authorization"}
    wanted = {headers[name] for name in schemes}
    return [] if not wanted or wanted & set(exchange["headers"]) else [f"none of the headers {sorted(wanted)}"]


def refereed(shared: Path, arguments: list[str], body: Any) -> list[str]:
    """What the referee prints against a body; empty where it accepts."""
    said = io.StringIO()
    sys.argv = [str(shared / "referee" / "openapi_request.py"), *arguments]
    sys.stdin = io.StringIO(json.dumps(body))
    code: Any = 2
    with contextlib.redirect_stdout(said):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            code = end.code
    return [] if code == 0 else [line.strip() for line in said.getvalue().splitlines()[1:] or [said.getvalue()]]


def main() -> None:
    """Judge what comes by stdin."""
    shared, exchanges = Path(sys.argv[1]), json.load(sys.stdin)
    setattr(yaml, "load", load_once)  # noqa: B010 the referee calls it by this name
    verdicts = [judged(shared, exchange) for exchange in exchanges]
    sys.stdout.write(json.dumps(verdicts))


if __name__ == "__main__":
    main()
