"""An operation of a local OpenAPI 3 document as the parts of a request. Pure; reads no file and fetches no reference."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin

from orchestrator.plugin import parse_json

Json = Any  # plain JSON
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
MAX_DEPTH = 64
MAX_EVENTS = 400_000


@dataclass(frozen=True, slots=True)
class RequestParts:
    """What an operation sends."""

    method: str
    url: str
    query: dict[str, Json]
    headers: dict[str, str]


def read_document(text: str) -> Json:
    """A JSON or YAML document. Raises: ValueError."""
    if text.lstrip()[:1] in ("{", "["):
        return parse_json(text)
    import yaml

    depth = count = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            count += 1
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("aliases are not read; write the part out, or use $ref")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH or count > MAX_EVENTS:
                raise ValueError("the document is too large or nested too deep")
        return yaml.load(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as problem:
        raise ValueError(f"it is not YAML: {str(problem)[:200]}") from None
    except (RecursionError, KeyError, IndexError, AttributeError, TypeError) as problem:
        raise ValueError(f"it cannot be read: {problem}") from None


def request_parts(
    document: Json, operation: str, parameters: Mapping[str, Json], server: str | None, *, has_body: bool
) -> RequestParts:
    """The request of an operation with parameters filled in. Raises: ValueError saying what does not fit."""
    path, method, item, found = _operation(document, operation)
    declared = _parameters(document, item, found)
    unknown = [name for name in parameters if name not in declared]
    if unknown:
        near = difflib.get_close_matches(unknown[0], declared, 1)
        hint = f'; did you mean "{near[0]}"?' if near else f"; it has {', '.join(declared) or 'none'}"
        raise ValueError(f'operation {operation} has no parameter "{unknown[0]}"{hint}')
    missing = [n for n, p in declared.items() if (p.get("required") or p["in"] == "path") and n not in parameters]
    if missing:
        raise ValueError(f"operation {operation} needs {', '.join(missing)}")
    body = _follow(document, found.get("requestBody") or {})
    if body.get("required") and not has_body:
        raise ValueError(f"operation {operation} needs `json`")
    if has_body and not body:
        raise ValueError(f"operation {operation} takes no body")
    query: dict[str, Json] = {}
    headers: dict[str, str] = {}
    for name, value in parameters.items():
        match declared[name]["in"]:
            case "path":
                path = path.replace("{" + name + "}", quote(_text(value), safe=""))
            case "query":
                query[name] = _query_value(declared[name], value)
            case "header":
                headers[name] = _text(value)
            case other:
                raise ValueError(f'parameter "{name}" stands in {other}, which is not supported')
    return RequestParts(method.upper(), _base(document, server) + path, query, headers)


def _operation(document: Json, wanted: str) -> tuple[str, str, Json, Json]:
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise ValueError("it is no OpenAPI document: there is no `paths`")
    ids: list[str] = []
    for path, item in document["paths"].items():
        item = _follow(document, item)
        for method in METHODS:
            found = item.get(method) if isinstance(item, dict) else None
            if isinstance(found, dict) and "operationId" in found:
                if found["operationId"] == wanted:
                    return str(path), method, item, found
                ids.append(str(found["operationId"]))
    near = difflib.get_close_matches(wanted, ids, 1)
    raise ValueError(f'there is no operation "{wanted}"' + (f'; did you mean "{near[0]}"?' if near else ""))


def _parameters(document: Json, item: Json, operation: Json) -> dict[str, Json]:
    """Parameters by name; those of the operation replace those of the path."""
    found: dict[str, Json] = {}
    for part in (*(item.get("parameters") or ()), *(operation.get("parameters") or ())):
        parameter = _follow(document, part)
        if not isinstance(parameter, dict) or "name" not in parameter or "in" not in parameter:
            raise ValueError("a parameter has no `name` or `in`")
        found[str(parameter["name"])] = parameter
    return found


def _follow(document: Json, part: Json) -> Json:
    """What a local reference leads to. Raises: ValueError for any other reference."""
    for _ in range(16):
        if not isinstance(part, dict) or "$ref" not in part:
            return part
        reference = str(part["$ref"])
        if not reference.startswith("#/"):
            raise ValueError(f'reference "{reference}" leads out of the document')
        part = document
        for name in reference[2:].split("/"):
            key = name.replace("~1", "/").replace("~0", "~")
            if not isinstance(part, dict) or key not in part:
                raise ValueError(f'reference "{reference}" leads nowhere')
            part = part[key]
    raise ValueError("references go round in a circle")


def _base(document: Json, server: str | None) -> str:
    if server is not None:
        return server.rstrip("/")
    servers = document.get("servers") or ()
    first = servers[0] if isinstance(servers, list) and servers else {}
    url = str(first.get("url", ""))
    for name, variable in (first.get("variables") or {}).items():
        url = url.replace("{" + name + "}", str(variable.get("default", "")))
    if not urljoin(url, "/").startswith(("http://", "https://")):
        raise ValueError("it names no server with a full URL; give `server`")
    return url.rstrip("/")


def _query_value(parameter: Json, value: Json) -> Json:
    if isinstance(value, list) and parameter.get("explode") is False:
        return ",".join(_text(v) for v in value)
    return value if isinstance(value, list) else _text(value)


def _text(value: Json) -> str:
    if isinstance(value, list):
        return ",".join(_text(v) for v in value)
    if isinstance(value, dict):
        raise ValueError("an object cannot stand in a URL or header")
    return str(value).lower() if isinstance(value, bool) else str(value)
