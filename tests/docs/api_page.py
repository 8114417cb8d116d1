"""Makes `docs/api.md` from the public modules themselves: every public name with its signature, its docstring, its members."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

from pydantic import BaseModel

from orchestrator.errors import OrchestratorError

MODULES = {
    "orchestrator": "Workflow classes, and loading flow files.",
    "orchestrator.functional": "Workflows as functions.",
    "orchestrator.errors": "What can be caught; those of the class API are names of `orchestrator` too.",
    "orchestrator.retry": "Policies for `@step(retry_policy=…)`.",
    "orchestrator.plugin": "For those who write steps for flow files.",
    "orchestrator.agents": "pydantic-ai agents as steps, and flows as their tools; needs the extra `[agents]`.",
    "orchestrator.testing": "For tests.",
    "orchestrator.server": "For serving workflows over HTTP.",
}
HEAD = """# API reference

Every public name, made from the code (`make golden`); the guides are [Workflows in Python](python.md), [Plugins](plugins.md) and
[The server](server.md). A name that does not stand here is not public and may change in any release.

Unless something else is said: times and durations are seconds as `float`, moments are seconds since 1970 (UTC), sizes are bytes, and
`Json` is what `json.loads` gives. Errors that are raised on purpose are `OrchestratorError`s with a stable `code` and a `message` that
says what happened, where, and what to do.
"""
INTERNAL = {  # for other parts of the package; they have no underscore since no part may use another's private names
    "Workflow": ("attach", "plan", "plan_of", "child_workflow", "flow", "external"),
    "FunctionalWorkflow": ("attach", "plan", "plan_of", "flow"),
}


def api_page() -> str:
    """The whole page."""
    return HEAD + "".join(part for module, about in MODULES.items() for part in _module(module, about))


def _module(name: str, about: str) -> Iterator[str]:
    module = importlib.import_module(name)
    yield f"\n## {name}\n{about}\n"
    for public in sorted(module.__all__, key=str.lower):
        yield from _entry(public, getattr(module, public))


def _entry(name: str, value: Any) -> Iterator[str]:  # Any: whatever a module makes public
    yield f"\n### {name}\n"
    shown = _signature(value)
    if shown is not None:
        yield f"`{name}{shown}`\n\n"
    yield f"{_text(value)}\n"
    making = vars(value).get("__init__") if inspect.isclass(value) else None
    if making is not None and making.__doc__ and not issubclass(value, BaseModel):
        yield f"\n{inspect.getdoc(making)}\n"
    if inspect.isclass(value) and issubclass(value, Enum):
        yield f"\nOne of {', '.join(f'`{one.name}`' for one in value)}.\n"
    if inspect.isclass(value) and issubclass(value, OrchestratorError):
        bases = ", ".join(f"`{base.__name__}`" for base in value.__bases__)
        yield f"\nCode `{value.code}`; a kind of {bases}.\n"
    if inspect.isclass(value) and issubclass(value, BaseModel) and (fields := _fields(value)):
        yield f"\nFields: {', '.join(fields)}.\n"
    if inspect.isclass(value):
        members = list(_members(name, value))
        if members:
            yield "\n| member | |\n|---|---|\n"
            yield from members


def _fields(model: type[Any]) -> list[str]:
    """The declared fields of a model, as they are written; a model's signature depends on what was imported before."""
    kinds = [kind for kind in model.__mro__ if kind.__module__.startswith("orchestrator")]
    written = {key: text for kind in reversed(kinds) for key, text in inspect.get_annotations(kind).items()}
    return [
        f"`{key}: {text}`" for key, text in written.items() if key[0] != "_" and not str(text).startswith("ClassVar")
    ]


def _members(name: str, owner: type[Any]) -> Iterator[str]:
    seen = set()
    for kind in owner.__mro__:
        if not kind.__module__.startswith("orchestrator") or (kind is not owner and issubclass(kind, BaseModel)):
            continue  # the members of `Event` stand there
        for key, raw in list(vars(kind).items()):
            function = raw.fget if isinstance(raw, property) else getattr(raw, "__func__", raw)
            if key.startswith("_") or key in seen or key in INTERNAL.get(name, ()) or not inspect.isroutine(function):
                continue
            seen.add(key)
            shown = (
                "" if isinstance(raw, property) else _signature(function, is_method=not isinstance(raw, staticmethod))
            )
            about = " ".join(_text(function, as_line=True).split())
            cells = (f"`{key}{shown}`", about)
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _signature(value: Any, *, is_method: bool = False) -> str | None:  # Any: as above
    if inspect.isclass(value) and (
        getattr(value, "_is_protocol", False) or issubclass(value, BaseException | BaseModel | Enum)
    ):
        return None
    if not callable(value):
        return None
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    parts = list(found.parameters.values())[1 if is_method else 0 :]
    text = str(found.replace(parameters=parts)).replace("<lambda>", "lambda")
    text = re.sub(r"<factory>|<[^<>]* at 0x[0-9a-f]+>|UNSET", "…", text)
    text = re.sub(r"<class '([\w.]+)'>", lambda match: match[1].rpartition(".")[2], text)
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)  # annotations are kept as text
    text = re.sub(r'(: |-> )"([^"]*)"', r"\1\2", text)
    return text.removesuffix(" -> None")


def _text(value: Any, *, as_line: bool = False) -> str:  # Any: as above
    text = inspect.getdoc(value) or ""
    if as_line:
        return text.partition("Example:")[0].replace("\n\n", " ")
    head, found, example = text.partition("Example:\n")
    if not found:
        return text
    code = inspect.cleandoc(example).splitlines()  # indented, since a formatter of fenced code would change the page
    return f"{head}Example:\n\n" + "\n".join(f"    {line}".rstrip() for line in code)
