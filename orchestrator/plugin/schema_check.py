"""Checks JSON values against JSON Schema without being harmed by either. No reference is ever fetched.

Invariants: a schema is judged once, when compiled (size, depth, references, patterns); patterns run in a linear engine;
`uniqueItems` is linear; the work for one value is bounded; a value is judged for size before its schema is.
"""

from __future__ import annotations

import contextvars
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from orchestrator.errors import StepError
from orchestrator.plugin.pattern_guard import pattern_problem

if TYPE_CHECKING:  # loaded when the first schema is compiled
    from jsonschema.protocols import Validator
    from pydantic_core import SchemaValidator

Json = Any  # plain JSON
MAX_SCHEMA_DEPTH = 64
MAX_SUBSCHEMAS = 5_000
MAX_VALUE_DEPTH = 100
MAX_VALUE_NODES = 100_000
MAX_CHECKS = 20_000
CHECKS_PER_NODE = 5
MAX_PROBLEMS = 50
_CHECKS_LEFT: contextvars.ContextVar[list[int] | None] = contextvars.ContextVar("checks_left", default=None)


class SchemaRefused(Exception):
    """A schema that will not be used; the message says which part and why."""


class _TooMuchWork(Exception):
    """Checking one value took more steps than any honest schema needs."""


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """One place where a value does not fit."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class CompiledSchema:
    """A schema that was judged harmless and is ready to check values."""

    def __init__(self, schema: Json, validator: Validator) -> None:
        self.schema = schema
        self._validator = validator

    def problems(self, value: Json) -> tuple[SchemaProblem, ...]:
        """Everything that does not fit, by place; empty if all is well."""
        shape, size = measure_value(value)
        if shape is not None:
            return (shape,)
        allowed = MAX_CHECKS + CHECKS_PER_NODE * size
        token = _CHECKS_LEFT.set([allowed])
        try:
            found = []
            for error in self._validator.iter_errors(value):
                found.append(_explain(error))
                if len(found) >= MAX_PROBLEMS:
                    break
        except (_TooMuchWork, RecursionError):
            return (SchemaProblem("", f"checking it takes more than {allowed} steps; simplify the schema"),)
        finally:
            _CHECKS_LEFT.reset(token)
        return tuple(sorted(found, key=lambda p: p.path))

    def is_valid(self, value: Json) -> bool:
        return not self.problems(value)


def compile_schema(schema: Json) -> CompiledSchema:
    """The schema, judged and compiled; cached by content. Raises: SchemaRefused."""
    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        raise SchemaRefused(f"the schema is not JSON: {problem}") from None
    return _compile(text)


@lru_cache(maxsize=512)
def _compile(text: str) -> CompiledSchema:
    schema = json.loads(text)
    judge_schema(schema)
    from jsonschema import SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = _validator_class()
    try:
        kind.check_schema(schema)
    except SchemaError as problem:
        place = "/".join(str(p) for p in problem.absolute_path)
        raise SchemaRefused(f"it is not JSON Schema: {place + ': ' if place else ''}{problem.message[:300]}") from None
    validator = kind(schema, registry=Registry(), format_checker=_format_checker())
    try:
        for reference in _references(schema):
            validator._resolver.lookup(reference)  # every reference must lead somewhere
    except Unresolvable as problem:
        raise SchemaRefused(f'reference "{problem.ref}" leads nowhere in this schema') from None
    return CompiledSchema(schema, validator)


def check_value(schema: Json, value: Json) -> tuple[str, ...]:
    """What does not fit a type in shorthand or JSON Schema. Raises: StepError `type.payload` for a type that cannot be used."""
    from orchestrator.plugin.shorthand import schema_of

    try:
        compiled = compile_schema(schema_of(schema))
    except (ValueError, SchemaRefused) as problem:
        raise StepError("type.payload", f"`schema` cannot be used: {problem}") from None
    return tuple(str(problem) for problem in compiled.problems(value))


def judge_schema(schema: Json) -> None:
    """Size, depth, references and patterns. Raises: SchemaRefused."""
    stack: list[tuple[Json, int]] = [(schema, 0)]
    count = 0
    while stack:
        part, depth = stack.pop()
        if depth > MAX_SCHEMA_DEPTH:
            raise SchemaRefused(f"the schema is nested deeper than {MAX_SCHEMA_DEPTH}")
        if isinstance(part, list):
            stack.extend((inner, depth + 1) for inner in part)
        if not isinstance(part, dict):
            continue
        count += 1
        if count > MAX_SUBSCHEMAS:
            raise SchemaRefused(f"the schema has more than {MAX_SUBSCHEMAS} parts")
        for key in ("$ref", "$dynamicRef"):
            ref = part.get(key)
            if isinstance(ref, str) and not ref.startswith("#"):
                raise SchemaRefused(f'reference "{ref[:100]}" leads out of the schema; copy what it means into "$defs"')
        if isinstance(part.get("$id"), str) and depth > 0:
            raise SchemaRefused('"$id" inside a schema is not supported; use "$defs" and "#/$defs/name"')
        _judge_patterns(part)
        stack.extend((inner, depth + 1) for inner in part.values())


def _judge_patterns(part: Mapping[str, Json]) -> None:
    patterns = [part["pattern"]] if isinstance(part.get("pattern"), str) else []
    named = part.get("patternProperties")
    patterns += [key for key in named if isinstance(key, str)] if isinstance(named, dict) else []
    for pattern in patterns:
        problem = pattern_problem(pattern)
        if problem is None and _matcher(pattern) is None:
            problem = "the linear engine does not know it"
        if problem is not None:
            raise SchemaRefused(f'pattern "{pattern[:100]}" is refused: {problem}')


def value_problem(value: Json) -> SchemaProblem | None:
    """What makes a value no JSON that we take: depth, size, NaN, huge integers, half surrogates, other objects."""
    return measure_value(value)[0]


def measure_value(value: Json) -> tuple[SchemaProblem | None, int]:
    """What makes a value no JSON that we take, and of how many parts it is."""
    stack: list[tuple[Json, int, str]] = [(value, 0, "")]
    count = 0
    while stack:
        part, depth, path = stack.pop()
        count += 1
        if count > MAX_VALUE_NODES:
            return SchemaProblem("", f"the value has more than {MAX_VALUE_NODES} parts"), count
        if depth > MAX_VALUE_DEPTH:
            return SchemaProblem("", f"the value is nested deeper than {MAX_VALUE_DEPTH}"), count
        if isinstance(part, dict):
            for key, inner in part.items():
                if not isinstance(key, str):
                    return SchemaProblem(path, f"key {key!r} is not text"), count
                stack.append((inner, depth + 1, f"{path}.{key}"))
        elif isinstance(part, list):
            stack.extend((inner, depth + 1, f"{path}[{i}]") for i, inner in enumerate(part))
        else:
            fault = _scalar_fault(part)
            if fault is not None:
                return SchemaProblem(path, fault), count
    return None, count


def _scalar_fault(value: Json) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return None if value.isascii() or _is_whole(value) else "the text has half of a surrogate pair in it"
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else "the integer does not fit 64 bits; send it as text"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value} is not a JSON number"
    return f"a {type(value).__name__} is not a JSON value"


def _is_whole(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=1)
def _validator_class() -> Any:  # Any: a class made at run time by jsonschema
    """Draft 2020-12 with linear patterns, linear uniqueItems and a bound on all that branches."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    keywords = Draft202012Validator.VALIDATORS
    counted = {
        k: _counted(keywords[k]) for k in ("anyOf", "oneOf", "allOf", "$ref", "$dynamicRef", "items", "not", "if")
    }
    own = {"pattern": _pattern, "patternProperties": _pattern_properties, "uniqueItems": _unique_items}
    return extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, {**counted, **own}
    )


def _counted(keyword: Any) -> Any:  # Any: jsonschema's keyword functions have no public type
    def check(validator: Any, argument: Any, instance: Any, schema: Any) -> Iterator[Any]:
        left = _CHECKS_LEFT.get()
        if left is not None:
            left[0] -= 1 + (len(instance) if isinstance(instance, list) else 0)
            if left[0] < 0:
                raise _TooMuchWork
        yield from keyword(validator, argument, instance, schema) or ()

    return check


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:  # Any: see _counted
    from jsonschema import ValidationError

    if isinstance(instance, str) and not matches(pattern, instance):
        yield ValidationError(f"{instance[:60]!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Any, instance: Any, schema: Any
) -> Iterator[Any]:  # Any: see _counted
    if not isinstance(instance, dict):
        return
    for pattern, part in patterns.items():
        for key, value in instance.items():
            if matches(pattern, key):
                yield from validator.descend(value, part, path=key, schema_path=pattern)


def _unique_items(validator: Any, is_on: Any, instance: Any, schema: Any) -> Iterator[Any]:  # Any: see _counted
    from jsonschema import ValidationError

    if is_on and isinstance(instance, list):
        seen = {json.dumps(_numbered(item), sort_keys=True) for item in instance}
        if len(seen) != len(instance):
            yield ValidationError("the list has the same item twice")


def _numbered(value: Json) -> Json:
    """1 and 1.0 are the same JSON number; true is not 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _numbered(inner) for key, inner in value.items()}
    return [_numbered(inner) for inner in value] if isinstance(value, list) else value


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found anywhere in a text, in time linear in the text."""
    matcher = _matcher(pattern)
    return matcher is not None and matcher.isinstance_python(text)


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> SchemaValidator | None:
    from pydantic_core import CoreConfig, SchemaError, SchemaValidator, core_schema

    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern), CoreConfig(regex_engine="rust-regex"))
    except SchemaError:
        return None


def _format_checker() -> Any:  # Any: jsonschema's class, loaded late
    from jsonschema import FormatChecker

    from orchestrator.plugin.types import parse_duration

    checker = FormatChecker(formats=())

    @checker.checks("duration", raises=ValueError)
    def is_duration(value: object) -> bool:
        return not isinstance(value, str) or parse_duration(value) >= 0

    @checker.checks("date-time", raises=ValueError)
    def is_date_time(value: object) -> bool:
        from datetime import datetime

        return not isinstance(value, str) or datetime.fromisoformat(value) is not None

    return checker


def _references(schema: Json) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for inner in schema.values():
            yield from _references(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _references(inner)


def _explain(error: Any) -> SchemaProblem:  # Any: jsonschema's ValidationError, loaded late
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
    match error.validator:
        case "required":
            message = error.message.replace(" is a required property", " is missing")
        case "additionalProperties":
            extra = sorted(set(error.instance) - set(error.schema.get("properties", {})))
            message = "unknown " + ("field " if len(extra) == 1 else "fields ") + ", ".join(extra[:5])
        case "type":
            message = f"must be {_words(error.validator_value)}, not {_kind(error.instance)}"
        case "enum":
            message = "must be one of " + ", ".join(
                json.dumps(v, ensure_ascii=False) for v in error.validator_value[:10]
            )
        case "anyOf" | "oneOf":
            message = "fits none of the allowed forms" if error.context else error.message[:200]
        case _:
            message = error.message[:300]
    return SchemaProblem(path, message)


def _words(kinds: Json) -> str:
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


def _kind(value: Json) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")
