"""Recorded calls: how a call is written down so that a later run of the same function can tell whether it is the same one."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from orchestrator.functional.values import ATOMS

LONGEST = 400
_SHOWN = 300
_DEEPEST = 12

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Items = tuple[tuple[str, Any], ...]  # keyword arguments as the collector can forget them, see runtime.log
Written = (
    Any  # str, or (args, items, names) of a call whose arguments are all atoms and which nobody has had to read yet
)


def write_call(args: Args, items: Items, names: tuple[str, ...]) -> Written:
    """A record of a call's arguments that later changes of them cannot touch; text is made only when needed.

    Cost: O(arguments) if all are atoms, else O(size of the arguments).
    """
    for value in args:
        if type(value) not in ATOMS:
            return call_text(args, dict(items), names)
    for _, value in items:
        if type(value) not in ATOMS:
            return call_text(args, dict(items), names)
    return (args, items, names)


def read_call(written: Written) -> str:
    """The text of a recorded call."""
    if type(written) is str:
        return written
    args, items, names = written
    return call_text(args, dict(items), names)


def call_text(args: Args, kwargs: Kwargs, names: tuple[str, ...]) -> str:
    """Arguments by name, in the order of the parameters; long ones are cut and stand with their digest."""
    given = {names[i] if i < len(names) else f"*{i}": value for i, value in enumerate(args)}
    rest = sorted(kwargs.items(), key=lambda item: (names.index(item[0]) if item[0] in names else len(names), item[0]))
    given.update(rest)
    text = ", ".join(f"{name}={value_text(value)}" for name, value in given.items())
    if len(text) <= LONGEST:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[:_SHOWN]}… ({len(text)} characters, sha256 {digest})"


def value_text(value: Any, depth: int = 0) -> str:
    """A value as text that is equal for equal values, in every process; objects without contents show their type only."""
    kind = type(value)
    if kind in ATOMS:
        return repr(value)
    if depth > _DEEPEST:
        return "…"
    inner = depth + 1
    if kind is dict:
        return (
            "{" + ", ".join(sorted(f"{value_text(k, inner)}: {value_text(v, inner)}" for k, v in value.items())) + "}"
        )
    if kind is list:
        return "[" + ", ".join(value_text(item, inner) for item in value) + "]"
    if kind is tuple:
        return "(" + ", ".join(value_text(item, inner) for item in value) + ")"
    if kind is set or kind is frozenset:
        return "{" + ", ".join(sorted(value_text(item, inner) for item in value)) + "}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (
            f"{kind.__name__}({_fields(((f.name, getattr(value, f.name)) for f in dataclasses.fields(value)), inner)})"
        )
    if hasattr(kind, "model_fields"):
        return f"{kind.__name__}({_fields(((name, getattr(value, name)) for name in kind.model_fields), inner)})"
    if kind.__module__ in ("datetime", "decimal", "uuid", "enum") or hasattr(kind, "__members__"):
        return repr(value)
    name = getattr(value, "__qualname__", None)
    return f"<{name}>" if isinstance(name, str) else f"<{kind.__qualname__}>"


def _fields(fields: Any, depth: int) -> str:
    return ", ".join(f"{name}={value_text(value, depth)}" for name, value in fields)
