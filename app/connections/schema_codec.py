"""A source's schema as JSON text and back (pure)."""

from collections.abc import Mapping

import orjson

from connectors.contract.records import ObjectKind
from connectors.contract.source import Option, PipelineSchema, PropertySchema, PropertyType, SourceSchema, StageSchema

_Json = Mapping[str, object]


def encode_schema(schema: SourceSchema) -> str:
    """JSON text with stable key order."""
    return orjson.dumps(schema, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS).decode()


def decode_schema(text: str) -> SourceSchema:
    """Read what encode_schema wrote."""
    raw = _object(orjson.loads(text))
    return SourceSchema(
        account_ref=str(raw["account_ref"]),
        currency=str(raw["currency"]),
        time_zone=str(raw["time_zone"]),
        properties={
            ObjectKind(kind): {name: _property(_object(value)) for name, value in _object(values).items()}
            for kind, values in _object(raw["properties"]).items()
        },
        pipelines=tuple(_pipeline(_object(value)) for value in _list(raw["pipelines"])),
        person_labels=tuple(str(label) for label in _list(raw["person_labels"])),
        record_urls={ObjectKind(kind): str(url) for kind, url in _object(raw["record_urls"]).items()},
        # A schema that was stored before these were there has none of them.
        currencies=tuple(str(code) for code in _list(raw.get("currencies", []))),
        notices=tuple(str(notice) for notice in _list(raw.get("notices", []))),
        names_by_label=bool(raw.get("names_by_label")),
    )


def time_zone_of(text: str) -> str:
    """The account's zone alone, without reading the rest."""
    return str(_object(orjson.loads(text))["time_zone"])


def _property(raw: _Json) -> PropertySchema:
    currency_property, max_length = raw["currency_property"], raw.get("max_length")
    return PropertySchema(
        name=str(raw["name"]),
        label=str(raw["label"]),
        type=PropertyType(str(raw["type"])),
        options=tuple(Option(str(_object(option)["value"]), str(_object(option)["label"])) for option in _list(raw["options"])),
        currency_property=None if currency_property is None else str(currency_property),
        has_history=bool(raw["has_history"]),
        is_custom=bool(raw.get("is_custom")),
        is_writable=bool(raw.get("is_writable")),
        max_length=max_length if isinstance(max_length, int) else None,
    )


def _pipeline(raw: _Json) -> PipelineSchema:
    return PipelineSchema(
        id=str(raw["id"]),
        label=str(raw["label"]),
        kind=ObjectKind(str(raw["kind"])),
        stage_property=str(raw["stage_property"]),
        stages=tuple(_stage(_object(value)) for value in _list(raw["stages"])),
        is_archived=bool(raw["is_archived"]),
    )


def _stage(raw: _Json) -> StageSchema:
    probability = raw["probability"]
    return StageSchema(
        id=str(raw["id"]),
        label=str(raw["label"]),
        probability=float(probability) if isinstance(probability, int | float) else None,
        is_won=bool(raw["is_won"]),
        is_lost=bool(raw["is_lost"]),
        is_archived=bool(raw["is_archived"]),
    )


def _object(value: object) -> _Json:
    if not isinstance(value, Mapping):
        raise TypeError("the stored schema is not what encode_schema writes")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("the stored schema is not what encode_schema writes")
    return value
