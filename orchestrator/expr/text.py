"""Finds `${{ … }}` in text and encodes data in which expressions are marked. Evaluates nothing.

The encoding that FlowIR uses: `{"$expr": "source"}` is the value of an expression, `{"$text": ["a", {"$expr": …}]}` a
text with expressions in it, `{"$lit": {…}}` an object with a key that begins with `$` (its values are encoded as
usual); everything else is the plain JSON that it looks like. A text that is exactly one `${{ … }}` is the first form,
and keeps the type of the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from orchestrator.errors import UsageError
from orchestrator.expr.errors import ExprSyntaxError
from orchestrator.expr.limits import JSON_DEPTH

Json: TypeAlias = Any  # the type of JSON in this package
Path: TypeAlias = tuple[str | int, ...]

OPEN = "${{"
CLOSE = "}}"
_STOP = re.compile(r"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|[{}]|\$\{\{|['"]""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of a text: literal, or the source of an expression; `offset` is where it begins in the text."""

    text: str
    offset: int
    is_expression: bool


@dataclass(frozen=True, slots=True)
class Found:
    """An expression in an encoded value: the path of keys and indexes to it, and where in a text it stands."""

    path: Path
    source: str
    is_whole: bool
    part: int = 0


def split_text(text: str) -> tuple[TextPart, ...]:
    """The literal pieces and the expressions of a text, in order; quotes and braces inside expressions are respected.

    Cost: O(len(text)). Raises: ExprSyntaxError, with offsets in the text, for `${{` without `}}` and for nothing in it.
    """
    parts: list[TextPart] = []
    at = 0
    while (start := text.find(OPEN, at)) >= 0:
        if start > at:
            parts.append(TextPart(text[at:start], at, False))
        end = _find_close(text, start)
        inner = text[start + len(OPEN) : end]
        source = inner.strip()
        if not source:
            message = "there is no expression in `${{ }}`"
            help = "for the characters themselves write `${{ '${{' }}`"
            raise ExprSyntaxError("FLW305", message, start, end + len(CLOSE), help)
        offset = start + len(OPEN) + len(inner) - len(inner.lstrip())
        parts.append(TextPart(source, offset, True))
        at = end + len(CLOSE)
    if at < len(text):
        parts.append(TextPart(text[at:], at, False))
    return tuple(parts)


def encode_text(text: str) -> Json:
    """A text as an encoded value: itself, `$expr` or `$text`. Raises: as `split_text`."""
    if OPEN not in text:
        return text
    parts = split_text(text)
    if len(parts) == 1:
        return {"$expr": parts[0].text}
    return {"$text": [{"$expr": part.text} if part.is_expression else part.text for part in parts]}


def encode_data(data: Json) -> Json:
    """Data read from a file as an encoded value: each text by `encode_text`. Raises: as `split_text`."""
    match data:
        case str():
            return encode_text(data)
        case list():
            return [encode_data(item) for item in data]
        case dict():
            encoded = {key: encode_data(item) for key, item in data.items()}
            return {"$lit": encoded} if any(key.startswith("$") for key in encoded) else encoded
        case _:
            return data


def bare_source(text: str) -> TextPart:
    """The source in a place that is always an expression (`when`, `for_each`): bare, or `${{ }}` around all of it.

    Raises: ExprSyntaxError with offsets in the text, for text around or between expressions.
    """
    stripped = text.strip()
    offset = len(text) - len(text.lstrip())
    if OPEN not in text:
        if not stripped:
            raise ExprSyntaxError("FLW305", "the expression is empty", 0, len(text))
        return TextPart(stripped, offset, True)
    if "'" in text or '"' in text:  # `${{` may stand in a quoted text of a bare expression
        first = _STOP.search(text)
        if first is not None and first.group()[0] in "'\"" and len(first.group()) > 1:
            return TextPart(stripped, offset, True)
    parts = split_text(stripped)
    if len(parts) != 1:
        odd = next((part for part in parts if not part.is_expression), parts[1])
        help = "here the whole value is one expression; write it without `${{ }}`"
        start = odd.offset + offset
        message = "text around `${{ }}` is not possible here"
        raise ExprSyntaxError("FLW304", message, start, start + len(odd.text), help)
    return TextPart(parts[0].text, parts[0].offset + offset, True)


def find_expressions(value: Json, path: Path = ()) -> Iterator[Found]:
    """Every expression of an encoded value. Raises: UsageError for what is no encoded value."""
    if len(path) > JSON_DEPTH:
        raise UsageError(f"the value is nested more than {JSON_DEPTH} deep")
    match form_of(value):
        case "$expr":
            yield Found(path, value["$expr"], True)
        case "$text":
            for i, part in enumerate(value["$text"]):
                if not isinstance(part, str):
                    yield Found(path, part["$expr"], False, i)
        case "object":
            for key, item in literal_object(value).items():
                yield from find_expressions(item, (*path, key))
        case "list":
            for i, item in enumerate(value):
                yield from find_expressions(item, (*path, i))
        case _:
            pass


def form_of(value: Json) -> str:
    """Which form an encoded value has: `$expr`, `$text`, `object`, `list` or `scalar`."""
    if type(value) is list:
        return "list"
    if type(value) is not dict:
        if value is None or type(value) in (str, int, float, bool):
            return "scalar"
        raise UsageError(f"{type(value).__name__} is no JSON value")
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key == "$expr" and isinstance(inner, str):
            return "$expr"
        if key == "$text" and isinstance(inner, list) and all(map(_is_part, inner)):
            return "$text"
        if key == "$lit" and isinstance(inner, dict):
            return "object"
    if any(not isinstance(key, str) or key.startswith("$") for key in value):
        raise UsageError(f"{list(value)!r:.80} is no encoded value: keys with `$` stand inside `$lit`")
    return "object"


def literal_object(value: Json) -> dict[str, Json]:
    """The keys and encoded values of an `object` form."""
    inner: dict[str, Json] = value.get("$lit", value)
    return inner


def _is_part(part: Json) -> bool:
    return isinstance(part, str) or (
        isinstance(part, dict) and list(map(type, part.values())) == [str] and "$expr" in part
    )


def _find_close(text: str, start: int) -> int:
    depth = 0
    at = start + len(OPEN)
    while found := _STOP.search(text, at):
        token, at = found.group(), found.end()
        if token == "{":
            depth += 1
        elif token == "}" and depth:
            depth -= 1
        elif token == "}":
            if text.startswith(CLOSE, found.start()):
                return found.start()
        elif token == OPEN:
            message = "`${{` begins again before the first one is closed"
            raise ExprSyntaxError("FLW303", message, start, start + len(OPEN), "close it with `}}`")
        elif token in ("'", '"') and CLOSE in text[at:]:
            help = f"end it with {token}; inside it write \\{token}"
            message = f"the text that begins with {token} is not closed"
            raise ExprSyntaxError("FLW302", message, found.start(), text.index(CLOSE, at), help)
    help = "close it with `}}`; for the characters themselves write `${{ '${{' }}`"
    raise ExprSyntaxError("FLW303", "`${{` is never closed", start, start + len(OPEN), help)
