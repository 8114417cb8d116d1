"""Compiles encoded data (see `text`) to something that renders quickly. Knows no flow, no run and no clock.

A constant renders to a fresh copy, so that no step can change what the next one gets. Text that holds a secret renders
to a `SecretText`, in which the secret is still a placeholder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from orchestrator.expr.compiled import Compiled, compile_expr
from orchestrator.expr.errors import ExprError, Fault
from orchestrator.expr.limits import FUEL, RENDER_FUEL, TEMPLATE_BYTES, Fuel
from orchestrator.expr.nodes import used_names
from orchestrator.expr.operators import SECRETS, to_text
from orchestrator.expr.parser import parse
from orchestrator.expr.secrets import join_secret
from orchestrator.expr.taint import mentions_secrets
from orchestrator.expr.text import Json, find_expressions, form_of, literal_object
from orchestrator.expr.url import Place, compile_url_parts

# Scope values and what is rendered of them are plain values: Any, as everywhere in this package.
Render: TypeAlias = Callable[[Mapping[str, Any], Fuel], Any]
Lenient: TypeAlias = Mapping[str, Iterable[str]] | None


@dataclass(frozen=True, slots=True)
class CompiledValue:
    """Encoded data ready to render; `has_secrets` says that a rendered value may hold placeholders (see `secrets`)."""

    is_constant: bool
    has_secrets: bool
    names: frozenset[str]
    _render: Render = field(repr=False, compare=False)

    def render(self, scope: Mapping[str, Any]) -> Any:
        """The data with every expression replaced by its value. Raises: ExprError."""
        return self._render(scope, [RENDER_FUEL])


def compile_value(value: Json, *, lenient_fields: Lenient = None) -> CompiledValue:
    """Encoded data ready to render. Raises: ExprSyntaxError in an expression, UsageError for what is not encoded."""
    return _describe(value, _compile(value, lenient_fields))


def compile_url_value(value: Json, *, lenient_fields: Lenient = None) -> CompiledValue:
    """The same for a URL: expressions after the host are percent-encoded, one at the very start is a base address."""
    if form_of(value) != "$text":
        return compile_value(value, lenient_fields=lenient_fields)
    parts = _compile_parts(value["$text"], lenient_fields)
    return _describe(value, _render_text(compile_url_parts(parts)))


def _describe(value: Json, render: Render) -> CompiledValue:
    trees = [parse(found.source) for found in find_expressions(value)]
    names = frozenset(name for tree in trees for name in used_names(tree))
    return CompiledValue(not trees, any(map(mentions_secrets, trees)), names, render)


def _compile(value: Json, lenient: Lenient) -> Render:
    match form_of(value):
        case "$expr":
            return compile_expr(value["$expr"], lenient_fields=lenient).evaluate_within
        case "$text":
            return _render_text([(part, Place.TEXT) for part in _compile_parts(value["$text"], lenient)])
        case "object":
            entries = [(key, _compile(item, lenient)) for key, item in literal_object(value).items()]
            return lambda scope, total: {key: render(scope, total) for key, render in entries}
        case "list":
            items = [_compile(item, lenient) for item in value]
            return lambda scope, total: [render(scope, total) for render in items]
        case _:
            return lambda scope, total: value


def _compile_parts(parts: list[Json], lenient: Lenient) -> list[str | Compiled]:
    return [part if isinstance(part, str) else compile_expr(part["$expr"], lenient_fields=lenient) for part in parts]


def _render_text(parts: list[tuple[str | Compiled, Place]]) -> Render:
    """One text of all parts; each value is turned to text as its place wants it."""

    def render(scope: Mapping[str, Any], total: Fuel) -> Any:
        pieces: list[Any] = []
        size = 0
        has_secrets = False
        for part, place in parts:
            if isinstance(part, str):
                piece: Any = part
            else:
                piece = part.evaluate_within(scope, total)
                if place is not Place.TEXT or type(piece) is not str:
                    piece = _piece(part, place, piece)
                if type(piece) in SECRETS:
                    has_secrets = True
                else:
                    size += len(piece)
                    if size > TEMPLATE_BYTES:
                        raise _too_long(part)
            pieces.append(piece)
        return join_secret(pieces) if has_secrets else "".join(pieces)

    return render


def _piece(part: Compiled, place: Place, value: Any) -> Any:
    try:
        value = place.convert(value)
        return value if type(value) in SECRETS else to_text(value, [FUEL])
    except Fault as fault:
        raise ExprError(fault.message, 0, len(part.source), fault.help, source=part.source) from None


def _too_long(part: Compiled) -> ExprError:
    message = f"the text would have more than {TEMPLATE_BYTES:,} characters"
    return ExprError(message, 0, len(part.source), "pass large content as a value of its own", source=part.source)
