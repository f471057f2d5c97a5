"""What FastAPI leaves out of the contract: the schema of problems, and the nulls of examples; and what it puts in too much."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from app.api.problems import ProblemBody

NULL = {"type": "null"}
REF = "#/components/schemas/"


def finish_contract(app: FastAPI) -> None:
    """Have `app.openapi` tell the whole: problems, which every door refers to and none returns; and no query holds a null."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        problem = ProblemBody.model_json_schema(ref_template=REF + "{model}")
        schemas |= problem.pop("$defs", {})
        schemas["ProblemBody"] = problem
        for operation in (one for path in document["paths"].values() for one in path.values()):
            for parameter in operation.get("parameters", ()):
                _without_null(parameter["schema"])
            for content in _contents(operation):
                _complete(content, schemas)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the contract


def _without_null(schema: dict[str, Any]) -> None:
    """A parameter that may be left out is not therefore empty text."""
    choices = [one for one in schema.get("anyOf", ()) if one != NULL]
    if len(choices) == 1:
        del schema["anyOf"]
        schema |= choices[0]


def _contents(operation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for body in (*bodies, *operation["responses"].values()):
        yield from body.get("content", {}).values()


def _complete(content: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Examples lose their nulls on the way into the contract, and would not fit their schema without."""
    schema = content.get("schema", {})
    if "example" in content:
        _with_nulls(content["example"], schema, schemas)
    for example in content.get("examples", {}).values():
        _with_nulls(example["value"], schema, schemas)


def _with_nulls(value: object, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> None:
    if "$ref" in schema:
        schema = schemas[str(schema["$ref"]).removeprefix(REF)]
    for choice in schema.get("anyOf", ()):
        _with_nulls(value, choice, schemas)
    if isinstance(value, list):
        for one in value:
            _with_nulls(one, schema.get("items", {}), schemas)
    if not isinstance(value, dict):
        return
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if NULL in properties[name].get("anyOf", ()):
            value.setdefault(name, None)
    more = schema.get("additionalProperties")
    for name, one in value.items():
        _with_nulls(one, properties.get(name, more if isinstance(more, dict) else {}), schemas)
