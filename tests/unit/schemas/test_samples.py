"""Samples of JSON Schemas."""

from __future__ import annotations

import json

import pytest

from sagemaker_inference._schemas.samples import NoSampleError, sample


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, 1),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "integer", "maximum": -2}, -2),
        ({"type": "integer", "minimum": -9, "exclusiveMaximum": -2}, -9),
        ({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 2}, 1.5),
        ({"type": "number", "minimum": 0, "maximum": 5}, 1.0),
        ({"type": ["boolean", "null"]}, True),
        ({"type": "string"}, "text"),
        ({"type": "string", "minLength": 6}, "texttt"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "string", "pattern": "^[0-9]+$"}, "1"),
        ({"type": "string", "pattern": "^[A-Z]{2}-[0-9]{2}$"}, "AA-11"),
        ({"type": "string", "format": "ipv6network"}, "2001:db8::/64"),
        ({"type": "string", "contentMediaType": "application/json"}, "{}"),
        (
            {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"type": "array", "items": {"const": 5}},
            },
            "[5]",
        ),
        ({"type": "string", "pattern": "^[A-Z]+$", "minLength": 3}, "AAA"),
        ({"type": "integer", "exclusiveMinimum": 3, "multipleOf": 3}, 6),
        ({"type": "integer", "minimum": 4, "multipleOf": 3}, 6),
        ({"type": "integer", "maximum": -3, "multipleOf": 7}, -7),
        ({"type": "integer", "minimum": 2**60 + 1}, 2**60 + 1),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, 0.25),
        ({"type": "number", "minimum": 2.25, "maximum": 2.35, "multipleOf": 0.1}, 2.3),
        ({"enum": ["b", "a"]}, "b"),
        ({"type": "integer", "default": 5}, 5),
        ({"type": "integer", "default": None}, 1),
        ({"type": ["integer", "null"], "default": None}, None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}, None),
        ({"type": "string", "pattern": "^a$", "default": ""}, "a"),
        ({"type": "string", "pattern": "^b?$", "default": "b"}, "b"),
        ({"type": "string", "pattern": "[", "default": "b"}, "b"),
        ({"const": 0}, 0),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"type": "array"}, [1.0]),
        ({"type": "array", "maxItems": 0}, []),
        ({"type": "array", "minItems": 2, "items": {"const": 5}}, [5, 5]),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}]}, [1, 2]),
        ({"type": "object"}, {}),
        ({"type": "object", "additionalProperties": {"const": 1}}, {"name": 1}),
        (
            {
                "type": "object",
                "additionalProperties": {"const": 1},
                "propertyNames": {"format": "date"},
            },
            {"2026-01-31": 1},
        ),
        ({"type": "object", "properties": {"a": {"default": None}}}, {"a": None}),
        ({"type": "object", "properties": {"a": {}, "b": {"const": 1}}}, {"b": 1}),
    ],
)
def test_a_sample_fits_its_schema(schema, value):
    assert sample(schema, {}) == value


def test_a_type_that_contains_itself_has_a_sample_if_it_may_end():
    node = {"type": "object", "properties": {"next": {"type": "array", "items": {"$ref": "#/N"}}}}
    text = json.dumps(sample({"$ref": "#/N"}, {"N": node}))
    assert 1 <= text.count("next") <= 4
    endless = {**node, "required": ["next"], "properties": {"next": {"$ref": "#/N"}}}
    patterns = [{"type": "string", "pattern": pattern} for pattern in ("(?<x>", "^a(?<!a)$")]
    none = {"type": "integer", "minimum": 4, "maximum": 5, "multipleOf": 3}
    halves = {"type": "integer", "exclusiveMaximum": 1, "multipleOf": 0.5}
    for schema in ({"$ref": "#/N"}, {}, none, halves, *patterns):
        with pytest.raises(NoSampleError):
            sample(schema, {"N": endless})


def test_a_field_that_is_not_required_is_left_out_below_many_others():
    schema = {"type": "object", "properties": {"b": {"type": "boolean"}}}
    for _ in range(6):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    found = sample(schema, {})
    for _ in range(6):
        found = found["a"]
    assert found == {}
