"""What is known about a callable without running it: schemas, errors, effect, needs. Knows no import and no pydantic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.errors import PluginError
from orchestrator.ir.model import Origin

Json = Any  # plain JSON
Effect = Literal["at_least_once", "at_most_once", "none"]
EFFECTS: tuple[Effect, ...] = ("at_least_once", "at_most_once", "none")
Target = Callable[..., Any]  # a user's function: its own types are its own business


@dataclass(frozen=True, slots=True)
class EventInfo:
    """An event that a callable may emit by returning it."""

    name: str
    schema: Json = True


@dataclass(frozen=True, slots=True)
class Example:
    """One documented call; `result` is compared when the example is run, unless it was not given."""

    inputs: Mapping[str, Json]
    result: Json = None
    has_result: bool = False


@dataclass(frozen=True, slots=True)
class Emitted:
    """The result of a callable that returned an event."""

    event: str
    fields: dict[str, Json]


def _cannot_load() -> Target:
    raise PluginError("this description of a callable was read without its code, so it cannot be run")


@dataclass(frozen=True, slots=True)
class CallableInfo:
    """A callable of the flow language.

    Shape: input_schema is a JSON Schema object of the `with:` fields; result_schema is True when the type is not known;
    events is empty unless the function returns events; errors are codes or patterns (`http.4xx`).
    `secret_fields` are the fields that take a secret as such; `provider` says where it comes from, for people.
    """

    name: str
    input_schema: Json
    result_schema: Json = True
    events: tuple[EventInfo, ...] = ()
    errors: tuple[str, ...] = ()
    effect: Effect = "at_least_once"
    is_idempotent: bool | None = None
    hosts: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    is_inline: bool = False
    streams: bool = False
    doc: str = ""
    examples: tuple[Example, ...] = ()
    provider: str = ""
    notes: tuple[str, ...] = ()
    origin: Origin | None = field(default=None, compare=False)
    loader: Callable[[], Target] = field(default=_cannot_load, compare=False, repr=False)

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def namespace(self) -> str:
        return self.name.partition(".")[0]

    @property
    def summary(self) -> str:
        """The first line of the help text."""
        return self.doc.partition("\n")[0]

    @property
    def fields(self) -> dict[str, Json]:
        """Schema of every `with:` field by name."""
        found: dict[str, Json] = self.input_schema.get("properties", {})
        return found

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(self.input_schema.get("required", ()))

    def load(self) -> Target:
        """The function itself; this is where a plugin's module is imported. Raises: PluginError."""
        return self.loader()

    def to_json(self) -> dict[str, Json]:
        """One entry of a manifest; what has its default is left out."""
        entry: dict[str, Json] = {"name": self.name, "doc": self.doc, "input": self.input_schema}
        entry["result"] = self.result_schema
        if self.events:
            entry["events"] = {event.name: event.schema for event in self.events}
        for key, value in (("errors", self.errors), ("hosts", self.hosts), ("secrets", self.secrets)):
            if value:
                entry[key] = list(value)
        if self.effect != "at_least_once":
            entry["effect"] = self.effect
        if self.is_idempotent is not None:
            entry["idempotent"] = self.is_idempotent
        if self.is_inline:
            entry["inline"] = True
        if self.streams:
            entry["streams"] = True
        if self.examples:
            entry["examples"] = [
                {"with": dict(e.inputs)} | ({"result": e.result} if e.has_result else {}) for e in self.examples
            ]
        return entry


def info_from_json(
    entry: Mapping[str, Json], *, provider: str, origin: Origin | None, loader: Callable[[], Target]
) -> CallableInfo:
    """The inverse of `CallableInfo.to_json`. Raises: KeyError, TypeError, ValueError for an entry of another shape."""
    effect = entry.get("effect", "at_least_once")
    if effect not in EFFECTS:
        raise ValueError(f"unknown effect {effect!r}")
    if not isinstance(entry["input"], dict):
        raise TypeError("`input` must be a JSON Schema object")
    return CallableInfo(
        name=str(entry["name"]),
        input_schema=entry["input"],
        result_schema=entry.get("result", True),
        events=tuple(EventInfo(name, schema) for name, schema in entry.get("events", {}).items()),
        errors=tuple(entry.get("errors", ())),
        effect=effect,
        is_idempotent=entry.get("idempotent"),
        hosts=tuple(entry.get("hosts", ())),
        secrets=tuple(entry.get("secrets", ())),
        is_inline=bool(entry.get("inline", False)),
        streams=bool(entry.get("streams", False)),
        doc=str(entry.get("doc", "")),
        examples=tuple(Example(e["with"], e.get("result"), "result" in e) for e in entry.get("examples", ())),
        provider=provider,
        origin=origin,
        loader=loader,
    )
