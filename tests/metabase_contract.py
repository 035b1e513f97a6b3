"""Metabase's own OpenAPI description (trimmed to the paths that are used) as a judge of requests.

Two rules make it readable as it is printed: a required key that has a server default is not required, and `oneOf`
(printed for alternatives without what chooses between them) is `anyOf`. One rule makes it strict: an object is
closed, so that a misspelt key fails; what the server takes though the description leaves it out is listed in EXTRA.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

FILE = Path(__file__).parent / "data" / "metabase_openapi.json"

TAG = {
    "type": "object",
    "required": ["id", "name", "display-name", "type"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "name": {"type": "string"},
        "display-name": {"type": "string"},
        "type": {"enum": ["text", "number", "date", "boolean", "dimension"]},
        "dimension": {"type": "array", "prefixItems": [{"const": "field"}, {"type": "object"}, {"type": "integer"}]},
        "widget-type": {"type": "string"},
        "default": {},
        "required": {"type": "boolean"},
        "alias": {"type": "string"},
        "options": {"type": "object"},
    },
    "if": {"properties": {"type": {"const": "dimension"}}},
    "then": {"required": ["dimension", "widget-type"]},
}
QUERY = {
    "type": "object",
    "required": ["lib/type", "database", "stages"],
    "additionalProperties": False,
    "properties": {
        "lib/type": {"const": "mbql/query"},
        "database": {"type": "integer", "minimum": 1},
        "stages": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["lib/type", "native", "template-tags"],
                "additionalProperties": False,
                "properties": {
                    "lib/type": {"const": "mbql.stage/native"},
                    "native": {"type": "string", "minLength": 1},
                    "template-tags": {"type": "object", "additionalProperties": TAG},
                },
            },
        },
    },
}
ATTACHED = {
    "type": "object",
    "required": ["id", "dashboard_card_id", "include_csv", "include_xls"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "integer"},
        "dashboard_card_id": {"type": "integer"},
        "include_csv": {"type": "boolean"},
        "include_xls": {"type": "boolean"},
        "format_rows": {"type": "boolean"},
        "pivot_results": {"type": "boolean"},
    },
}
CHANNEL = {
    "type": "object",
    "required": ["enabled", "channel_type", "schedule_type", "recipients"],
    "additionalProperties": False,
    "properties": {
        "enabled": {"type": "boolean"},
        "channel_type": {"const": "email"},
        "schedule_type": {"enum": ["hourly", "daily", "weekly", "monthly"]},
        "schedule_hour": {"type": ["integer", "null"], "minimum": 0, "maximum": 23},
        "schedule_day": {"enum": ["mon", "tue", "wed", "thu", "fri", "sat", "sun", None]},
        "schedule_frame": {"enum": ["first", "mid", "last", None]},
        "recipients": {"type": "array", "items": {"type": "object", "minProperties": 1}, "minItems": 1},
        "details": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"attachment_only": {"type": "boolean"}, "include_pdf": {"type": "boolean"}},
        },
    },
}
DETAILS = {
    "type": "object",
    "required": ["host", "port", "dbname", "user", "password"],
    "additionalProperties": False,
    "properties": {
        "host": {"type": "string"},
        "port": {"type": "integer"},
        "dbname": {"type": "string"},
        "user": {"type": "string"},
        "password": {"type": "string"},
        "ssl": {"type": "boolean"},
        "ssl-mode": {"enum": ["allow", "prefer", "require", "verify-ca", "verify-full"]},
        "schema-filters-type": {"enum": ["all", "inclusion", "exclusion"]},
        "schema-filters-patterns": {"type": "string"},
    },
}
DASHCARD_EXTRA = {
    "card_id": {"type": ["integer", "null"], "minimum": 1},
    "dashboard_tab_id": {"type": ["integer", "null"]},
    "visualization_settings": {"type": "object"},
}
DATA_RULE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "view-data": {"const": "unrestricted"},
        "create-queries": {"enum": ["query-builder-and-native", "query-builder", "no"]},
    },
}
DATA_GRAPH = {
    "type": "object",
    "required": ["revision", "groups"],
    "additionalProperties": False,
    "properties": {
        "revision": {"type": "integer"},
        "groups": {
            "type": "object",
            "propertyNames": {"pattern": "^[1-9][0-9]*$"},
            "additionalProperties": {
                "type": "object",
                "propertyNames": {"pattern": "^[1-9][0-9]*$"},
                "additionalProperties": DATA_RULE,
            },
        },
    },
}
COLLECTION_GROUPS = {
    "type": "object",
    "propertyNames": {"pattern": "^[1-9][0-9]*$"},
    "additionalProperties": {"type": "object", "additionalProperties": {"enum": ["none", "read", "write"]}},
}
NO_BODY = {"type": "object", "maxProperties": 0}


@cache
def description() -> dict[str, Any]:
    """The description, read by the rules above."""
    found: dict[str, Any] = _read(json.loads(FILE.read_text(encoding="utf-8")))
    return found


def _read(node: Any, *, closing: bool = True) -> Any:
    if isinstance(node, list):
        return [_read(item, closing=closing) for item in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in node.items():
        if key == "allOf":
            # Parts of one object: closing one of them would refuse the keys of the others.
            found[key] = [_read(item, closing=False) for item in value]
        elif key == "oneOf":
            found["anyOf"] = _read(value)
        else:
            found[key] = _read(value)
    properties = found.get("properties")
    if isinstance(properties, dict) and found.get("type") == "object":
        defaulted = {name for name, schema in properties.items() if isinstance(schema, dict) and "default" in schema}
        found["required"] = [name for name in found.get("required", ()) if name not in defaulted]
        if closing and properties and "additionalProperties" not in found:
            found["additionalProperties"] = False
    return found


@cache
def _validator(method: str, template: str) -> jsonschema.Draft202012Validator:
    whole = description()
    operation = whole["paths"][template][method]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", NO_BODY)
    body = json.loads(json.dumps(body))
    _extended(method, template, body)
    for name in ("metabase.cache.api..cache-strategy.base.oss", "metabase.cache.api..cache-strategy.base.ee"):
        whole["components"]["schemas"].get(name, {}).pop("additionalProperties", None)
    return jsonschema.Draft202012Validator({**body, "components": whole["components"]})


def _extended(method: str, template: str, body: dict[str, Any]) -> None:
    """What the server's code takes and the description leaves open."""
    properties = body.get("properties", {})
    if template.startswith("/api/card") and "dataset_query" in properties:
        properties["dataset_query"] = QUERY
    if template == "/api/dashboard/{id}" and method == "put":
        properties["auto_apply_filters"] = {"type": "boolean"}
        cards = properties["dashcards"]["anyOf"][0]["items"]
        cards["properties"] |= DASHCARD_EXTRA
        cards["additionalProperties"] = False
    if template.startswith("/api/pulse"):
        properties["cards"] = {"type": "array", "items": ATTACHED}
        properties["channels"] = {"type": "array", "items": CHANNEL}
    if template.startswith("/api/database") and "details" in properties:
        properties["details"] = DETAILS
    if template == "/api/permissions/graph":
        body.clear()
        body |= DATA_GRAPH
    if template == "/api/collection/graph":
        properties["groups"] = COLLECTION_GROUPS


def template_of(path: str, method: str) -> str | None:
    """The description's path that a request is for."""
    for template in sorted(description()["paths"], key=lambda item: item.count("{")):
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and method in description()["paths"][template]:
            return str(template)
    return None


def complaints(method: str, path: str, body: Any) -> list[str]:
    """What is wrong with a request; empty when nothing is."""
    method = method.lower()
    template = template_of(path, method)
    if template is None:
        return [f"{method.upper()} {path} is not in the description"]
    if method == "get":
        return []
    found = _validator(method, template).iter_errors({} if body is None else body)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in found]
