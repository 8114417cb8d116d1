"""Values on the command line: inputs by name with their type from the flow, and mocks of steps."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import click
import yaml

from orchestrator.errors import StepError
from orchestrator.expr.suggest import nearest
from orchestrator.runtime.flow_bind import Intercept


def parse_inputs(options: tuple[str, ...], schema: Any) -> dict[str, Any]:  # schema: JSON Schema of the inputs
    """Inputs from `NAME=VALUE` and `@FILE`; a value is read as JSON unless the input is text.

    Raises: click.UsageError.
    """
    fields: dict[str, Any] = schema.get("properties", {}) if isinstance(schema, dict) else {}
    values: dict[str, Any] = {}
    for option in options:
        if option.startswith("@"):
            values.update(_read_mapping(Path(option[1:])))
            continue
        name, mark, text = option.partition("=")
        if not mark:
            raise click.UsageError(f"-i {option}: write NAME=VALUE or @FILE")
        if name not in fields:
            guess = nearest(name, fields)
            known = f"did you mean `{guess}`?" if guess else f"inputs are {', '.join(fields) or 'none'}"
            raise click.UsageError(f"-i {option}: the flow has no input `{name}`; {known}")
        if text.startswith("@"):
            values[name] = _read_value(Path(text[1:]), fields[name])
        else:
            values[name] = _typed(text, fields[name])
    return values


def _typed(text: str, schema: Any) -> Any:  # by the schema
    kinds = schema.get("type") if isinstance(schema, dict) else None
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "string" in kinds or (
        isinstance(schema, dict) and "enum" in schema and all(isinstance(x, str) for x in schema["enum"])
    ):
        return None if text == "null" and "null" in kinds else text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read_value(path: Path, schema: Any) -> Any:  # text or parsed data
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror or error}") from error
    return _typed(text, schema)


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise click.UsageError(f"-i @{path}: {error}") from error
    if not isinstance(data, dict):
        raise click.UsageError(f"-i @{path}: the file must hold a mapping of input names to values")
    return {str(k): v for k, v in data.items()}


def mock_calls(options: tuple[str, ...], steps: frozenset[str]) -> Intercept:
    """Results that steps get instead of their calls: `STEP=JSON`; `{"error": CODE, "message": …}` fails.

    Raises: click.UsageError.
    """
    mocks: dict[str, Any] = {}
    for option in options:
        name, mark, text = option.partition("=")
        if not mark or name.partition(".")[0] not in steps:
            raise click.UsageError(f"--mock {option}: write STEP=JSON; steps are {', '.join(sorted(steps))}")
        try:
            mocks[name] = json.loads(text)
        except ValueError:
            mocks[name] = text

    def intercept(run: Any, act: Any, target: str, inputs: dict[str, Any], suffix: str) -> Awaitable[Any] | None:
        key = act.step.name if act.phase.value == "main" else f"{act.step.name}.{act.phase.value}"
        return _answer(mocks[key]) if key in mocks else None

    return intercept


async def _answer(value: Any) -> Any:  # what the mock gives
    if isinstance(value, dict) and "error" in value and set(value) <= {"error", "message"}:
        raise StepError(str(value["error"]), str(value.get("message", "")))
    return value
