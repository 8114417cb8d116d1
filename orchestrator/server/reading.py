"""Reads what clients send: JSON bodies into models, query parameters into numbers and lists. Malformed input is a problem."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from orchestrator.server.problems import Refused

Model = TypeVar("Model", bound=BaseModel)


async def read_body(request: Request, model: type[Model]) -> Model:
    """The JSON body as a model; an empty body counts as `{}`. Raises: Refused 400, 413, 415, 422."""
    value = await read_json(request)
    try:
        return model.model_validate(value if value is not None else {})
    except ValidationError as error:
        raise body_problem(error) from error


async def read_json(request: Request) -> Any:  # plain JSON
    """The JSON body; None if there is none."""
    raw = await request.body()
    if not raw.strip():
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Refused(415, "body.type", "the body must be JSON", "send it with `Content-Type: application/json`")
    return parse_json(raw)


def parse_json(raw: bytes) -> Any:  # plain JSON
    """Strict JSON. Raises: Refused 400 that says where it is wrong."""
    try:
        value = json.loads(raw, parse_constant=_no_constant)
        if b"\\u" in raw:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # lone surrogates cannot be kept or sent
    except json.JSONDecodeError as error:
        raise Refused(
            400, "body.malformed", f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise Refused(400, "body.malformed", "the body is not JSON that can be taken: " + _reason(error)) from error
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _reason(error: BaseException) -> str:
    match error:
        case RecursionError():
            return "it is nested too deeply"
        case UnicodeError():
            return "it is not UTF-8"
    return str(error)[:200]


def body_problem(error: ValidationError) -> Refused:
    """What a model did not take, as a problem."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:20]
    details = [{"path": ".".join(str(part) for part in item["loc"]), "message": item["msg"]} for item in found]
    shown = "; ".join(f"{d['path']}: {d['message']}" if d["path"] else d["message"] for d in details[:5])
    return Refused(
        422, "body.invalid", f"the body does not fit: {shown}", "see /api/openapi.json for its shape", details=details
    )


def query_int(request: Request, name: str, default: int, *, low: int, high: int) -> int:
    """A whole number of the query string. Raises: Refused 422."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    try:
        value = int(text)
    except ValueError:
        raise Refused(422, "query", f"`{name}` must be a whole number, not {text[:40]!r}") from None
    if not low <= value <= high:
        raise Refused(422, "query", f"`{name}` must be from {low} to {high}, not {value}")
    return value


def query_float(request: Request, name: str) -> float | None:
    """A number of the query string. Raises: Refused 422."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value != value or value in (float("inf"), float("-inf")):
        raise Refused(422, "query", f"`{name}` must be a number, not {text[:40]!r}")
    return value


def query_list(request: Request, name: str, choices: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """A parameter that may be repeated or hold commas. Raises: Refused 422 for a value that is not a choice."""
    values = tuple(part for text in request.query_params.getlist(name) for part in text.split(",") if part)
    for value in values:
        if choices is not None and value not in choices:
            raise Refused(422, "query", f"`{name}` cannot be {value[:40]!r}; it is one of {', '.join(choices)}")
    return values


def query_flag(request: Request, name: str) -> bool:
    """A yes or no of the query string. Raises: Refused 422."""
    text = request.query_params.get(name, "").lower()
    if text in ("", "0", "false", "no"):
        return False
    if text in ("1", "true", "yes"):
        return True
    raise Refused(422, "query", f"`{name}` must be true or false, not {text[:40]!r}")
