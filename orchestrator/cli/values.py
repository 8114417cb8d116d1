"""Values on the command line: inputs by name with their type from a schema, and mocks of steps."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.data_files import read_mapping, read_text

if TYPE_CHECKING:  # loads the runtime
    from orchestrator.runtime.flow_bind import Intercept

Json = Any  # plain JSON, or JSON Schema


def parse_inputs(options: tuple[str, ...], schema: Json, *, owner: str = "the flow") -> dict[str, Json]:
    """Inputs from `NAME=VALUE`, `NAME=@FILE` and `@FILE`; a value is read as JSON unless the input is text.

    Raises: click.UsageError, UsageError for a file, CompileFailed for what is wrong in one.
    """
    fields: dict[str, Json] = schema.get("properties", {}) if isinstance(schema, dict) else {}
    is_open = isinstance(schema, dict) and schema.get("additionalProperties") is True
    values: dict[str, Json] = {}
    for option in options:
        if option.startswith("@"):
            mapping = read_mapping(Path(option[1:]), "input names to values")
            for name in () if is_open else mapping:
                _check_name(name, fields, f"-i {option}", owner)
            values.update(mapping)
            continue
        name, mark, text = option.partition("=")
        if not mark:
            raise click.UsageError(f"-i {option}: write NAME=VALUE, NAME=@FILE or @FILE")
        if not is_open:
            _check_name(name, fields, f"-i {option}", owner)
        values[name] = typed(read_text(Path(text[1:])) if text.startswith("@") else text, fields.get(name, {}))
    return values


def _check_name(name: str, fields: dict[str, Json], where: str, owner: str) -> None:
    from orchestrator.expr.suggest import nearest

    if name in fields:
        return
    guess = nearest(name, fields)
    known = f"did you mean `{guess}`?" if guess else f"there are {', '.join(fields) or 'none'}"
    raise click.UsageError(f"{where}: {owner} has no input `{name}`; {known}")


def typed(text: str, schema: Json) -> Json:
    """A text as a value of a schema's type. One that does not fit stays text, and the check of the inputs says so."""
    kinds = schema.get("type") if isinstance(schema, dict) else None
    kinds = kinds if isinstance(kinds, list) else [kinds]
    choices = schema.get("enum") if isinstance(schema, dict) else None
    if isinstance(choices, list):
        return None if text == "null" and None in choices else _chosen(text, choices)
    options = schema.get("anyOf") if isinstance(schema, dict) else None
    if isinstance(options, list):
        kinds = [part.get("type") for part in options if isinstance(part, dict)]
    if "string" in kinds:
        return None if text == "null" and "null" in kinds else text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _chosen(text: str, choices: list[Json]) -> Json:
    return next((c for c in choices if (c if isinstance(c, str) else json.dumps(c)) == text), text)


def json_or_text(text: str) -> Json:
    """`@FILE` as what the file holds; else JSON where it is JSON, and otherwise the text itself."""
    if text.startswith("@"):
        text = read_text(Path(text[1:]))
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def mock_calls(options: tuple[str, ...], steps: Iterable[str]) -> tuple[Intercept, frozenset[str]]:
    """Results that steps get instead of their calls, as in `tests:`, and which steps they are.

    Raises: click.UsageError.
    """
    from orchestrator.expr.suggest import nearest
    from orchestrator.testing.mocks import mock_of, mocked_call

    known = list(steps)
    mocks: dict[str, Json] = {}
    for option in options:
        name, mark, text = option.partition("=")
        if not mark:
            raise click.UsageError(f"--mock {option}: write STEP=JSON or STEP=@FILE")
        step = name.partition(".")[0]
        if step not in known:
            guess = nearest(step, known)
            hint = f"did you mean `{guess}`?" if guess else f"there are {', '.join(known)}"
            raise click.UsageError(f"--mock {option}: the flow has no step `{step}`; {hint}")
        mocks[name] = mock_of(json_or_text(text))

    def intercept(run: Any, act: Any, target: str, inputs: dict[str, Json], suffix: str) -> Awaitable[Json] | None:
        key = act.step.name if act.phase.value == "main" else f"{act.step.name}.{act.phase.value}"
        return mocked_call(key, mocks[key]) if run.parent is None and key in mocks else None

    return intercept, frozenset(name.partition(".")[0] for name in mocks)
