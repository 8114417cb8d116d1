"""How a plugin author names a callable: `@plugin.step` and `@register`. Decides names only; signatures are read later.

A decorated function stays the same function. Nothing is checked here that could stop a module from being imported, save
a name that cannot be a callable's name: a faulty signature is a finding about that one callable, not a dead plugin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar, cast, overload

from orchestrator.errors import UsageError
from orchestrator.plugin.info import EFFECTS, Effect, Example, Target

F = TypeVar("F", bound=Callable[..., Any])
VERB = re.compile(r"[a-z][a-z0-9_]*\Z")
CALLABLE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+\Z")
ExampleLike = Example | Mapping[str, Any]  # {"with": {...}, "result": ...}: any JSON


@dataclass(frozen=True, slots=True)
class StepDef:
    """A function with the name and promises its author gave it."""

    name: str
    function: Target
    errors: tuple[str, ...] = ()
    effect: Effect = "at_least_once"
    is_idempotent: bool | None = None
    hosts: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    is_inline: bool = False
    examples: tuple[Example, ...] = ()


class Plugin:
    """A namespace of callables.

    Example:
        text = Plugin("text")

        @text.step(effect="none", inline=True)
        def shout(value: str) -> str:
            "Upper-case a text."
            return value.upper()
    """

    def __init__(self, name: str, *, doc: str = "") -> None:
        if not VERB.match(name):
            raise UsageError(f'plugin name "{name}" must be lower-case letters, digits and "_", such as "crm"')
        self.name = name
        self.doc = doc
        self.steps: dict[str, StepDef] = {}
        self.secret_providers: dict[str, Callable[[str], str | None]] = {}

    @overload
    def step(self, function: F, /) -> F: ...
    @overload
    def step(
        self,
        /,
        *,
        name: str | None = None,
        errors: Iterable[str] = (),
        effect: Effect = "at_least_once",
        idempotent: bool | None = None,
        hosts: Iterable[str] = (),
        secrets: Iterable[str] = (),
        inline: bool = False,
        examples: Iterable[ExampleLike] = (),
    ) -> Callable[[F], F]: ...
    def step(
        self,
        function: Any = None,  # Any: the overloads above say what is possible
        /,
        *,
        name: str | None = None,
        errors: Iterable[str] = (),
        effect: Effect = "at_least_once",
        idempotent: bool | None = None,
        hosts: Iterable[str] = (),
        secrets: Iterable[str] = (),
        inline: bool = False,
        examples: Iterable[ExampleLike] = (),
    ) -> Any:  # see the overloads
        """Make a typed function the callable `<plugin>.<name>`; bare or with promises about it."""

        def add(target: F) -> F:
            verb = name or target.__name__.rstrip("_")
            full = f"{self.name}.{verb}"
            if full in self.steps and self.steps[full].function is not target:
                raise UsageError(f'plugin "{self.name}" has two steps named "{verb}"')
            self.steps[full] = define_step(
                full,
                target,
                errors=errors,
                effect=effect,
                idempotent=idempotent,
                hosts=hosts,
                secrets=secrets,
                inline=inline,
                examples=examples,
            )
            return target

        return add if function is None else add(function)

    def secret_provider(self, function: Callable[[str], str | None]) -> Callable[[str], str | None]:
        """Offer a source of secrets: `[secrets] provider = "<plugin>.<function>"` uses it; None means unknown.

        The file or module is named after the plugin, or is an installed plugin that the project allows.
        """
        self.secret_providers[f"{self.name}.{function.__name__}"] = function
        return function


REGISTERED: dict[str, StepDef] = {}
# where a project's file puts what it registers while it is imported: it belongs to that project, not to the whole process
CAPTURED: ContextVar[dict[str, StepDef] | None] = ContextVar("CAPTURED", default=None)


def register(
    name: str,
    *,
    errors: Iterable[str] = (),
    effect: Effect = "at_least_once",
    idempotent: bool | None = None,
    hosts: Iterable[str] = (),
    secrets: Iterable[str] = (),
    inline: bool = False,
    examples: Iterable[ExampleLike] = (),
) -> Callable[[F], F]:
    """Make a typed function callable from flows of this process, without a plugin.

    Example:
        @register("crm.score")
        def score(customer: str) -> float: ...
    """

    def add(target: F) -> F:
        captured = CAPTURED.get()
        (REGISTERED if captured is None else captured)[name] = define_step(
            name,
            target,
            errors=errors,
            effect=effect,
            idempotent=idempotent,
            hosts=hosts,
            secrets=secrets,
            inline=inline,
            examples=examples,
        )
        return target

    return add


def define_step(
    name: str,
    target: Target,
    *,
    errors: Iterable[str] = (),
    effect: Effect = "at_least_once",
    idempotent: bool | None = None,
    hosts: Iterable[str] = (),
    secrets: Iterable[str] = (),
    inline: bool = False,
    examples: Iterable[ExampleLike] = (),
) -> StepDef:
    """A checked `StepDef`. Raises: UsageError for a name or effect that the language does not know."""
    if not CALLABLE_NAME.match(name):
        raise UsageError(f'"{name}" is not a callable\'s name; write namespace.verb in lower case, such as "crm.score"')
    if effect not in EFFECTS:
        raise UsageError(f'effect "{effect}" of "{name}" is unknown; use {", ".join(EFFECTS)}')
    if not callable(target):
        raise UsageError(f'"{name}" is registered with {type(target).__name__}, which cannot be called')
    return StepDef(
        name=name,
        function=target,
        errors=tuple(errors),
        effect=effect,
        is_idempotent=True if effect == "none" and idempotent is None else idempotent,
        hosts=tuple(hosts),
        secrets=tuple(secrets),
        is_inline=inline,
        examples=tuple(read_example(name, e) for e in examples),
    )


def read_example(name: str, example: ExampleLike) -> Example:
    """An `Example` from `{"with": {...}, "result": ...}`. Raises: UsageError."""
    if isinstance(example, Example):
        return example
    inputs = example.get("with", {})
    if set(example) - {"with", "result"} or not isinstance(inputs, Mapping):
        raise UsageError(f'an example of "{name}" must look like {{"with": {{...}}, "result": ...}}')
    return Example(cast("Mapping[str, Any]", inputs), example.get("result"), "result" in example)
