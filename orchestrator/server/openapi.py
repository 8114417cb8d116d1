"""OpenAPI 3.1 from the table of operations and the pydantic models of their bodies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator.server import models as m
from orchestrator.server.endpoints import Operation

Json = Any  # plain JSON
_PARAM = re.compile(r"{(\w+)(?::\w+)?}")
_REASONS = {400: "The body is malformed", 401: "Nobody is signed in", 403: "Not allowed", 404: "There is no such thing"}
_REASONS |= {
    410: "It has ended",
    409: "It conflicts with what is there",
    413: "The body is too large",
    415: "The body is not JSON",
}
_REASONS |= {422: "The body or a parameter does not fit", 429: "Too many requests", 503: "Not now"}


def document_of(operations: Sequence[Operation], version: str) -> Json:
    """The whole document."""
    used = {model for op in operations for model in (op.takes, op.gives) if isinstance(model, type)} | {m.Problem}
    ordered: list[type[BaseModel]] = sorted(used, key=lambda model: model.__name__)
    _, definitions = models_json_schema(
        [(model, "validation") for model in ordered], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Json] = {}
    for op in operations:
        paths.setdefault(_PARAM.sub(r"{\1}", op.path), {})[op.method.lower()] = _operation(op)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "orchestrator",
            "version": version,
            "description": "Runs of served workflows, the requests to people in them, and everything around both.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key"},
                "session": {"type": "apiKey", "in": "cookie", "name": "orchestrator_session"},
            },
        },
        "security": [{"key": []}, {"session": []}],
    }


def _operation(op: Operation) -> Json:
    out: dict[str, Json] = {
        "operationId": op.name,
        "summary": op.summary,
        "tags": [op.tag],
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in _PARAM.findall(op.path)
            ),
            *(
                {"name": p.name, "in": p.place, "description": p.about, "schema": p.schema or {"type": "string"}}
                for p in op.params
            ),
        ],
        "responses": {str(op.status): _given(op)},
    }
    if op.access.is_public:
        out["security"] = []
    else:
        roles = sorted(op.access.roles)
        out["description"] = f"Needs {'one of the roles ' + ', '.join(roles) if roles else 'any account'}."
    if op.takes is not None:
        out["requestBody"] = {"content": {"application/json": {"schema": _ref(op.takes)}}}
    for status in sorted({*op.problems, *_usual(op)}):
        out["responses"][str(status)] = {
            "description": _REASONS[status],
            "content": {"application/problem+json": {"schema": _ref(m.Problem)}},
        }
    return out


def _usual(op: Operation) -> set[int]:
    found = {429} if op.access.is_public else {401, 403, 429}
    if op.takes is not None:
        found |= {400, 413, 415, 422}
    return found


def _given(op: Operation) -> Json:
    match op.gives:
        case None if op.status == 204:
            return {"description": "Done"}
        case None:
            return {"description": "Done", "content": {"application/json": {"schema": {}}}}
        case str():
            return {"description": "Done", "content": {op.gives: {"schema": {"type": "string"}}}}
    content = {"application/json": {"schema": _ref(op.gives)}}
    if op.gives is m.EventsAnswer:
        content |= {
            "text/event-stream": {"schema": {"type": "string"}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        }
    return {"description": "Done", "content": content}


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
