"""What steps get handed in besides events: resources made by factories, and configuration read from files.

A cached resource is made once per workflow instance and known by the identity of its factory, so two lambdas are two
resources. A factory that is a generator is torn down: when no run of the instance is left (cached), or after the step.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import typing
from collections.abc import Callable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ValidationError

from orchestrator.errors import WorkflowRuntimeError, WorkflowValidationError


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """`Annotated[T, Resource(factory)]`: the step gets what the factory makes.

    The factory may be sync, async or a generator that yields once, and may itself take annotated resources.
    """

    factory: Callable[..., Any]
    cache: bool = True


@dataclass(frozen=True, slots=True)
class ResourceConfig:
    """`Annotated[Model, ResourceConfig("app.yaml", "llm.main")]`: the step gets a checked part of a JSON or YAML file."""

    config_file: str | Path
    path_selector: str | None = None
    label: str | None = None
    description: str | None = None

    def load(self, type: Any) -> Any:
        """The selected part, checked against `type` if that is a pydantic model.

        Raises: WorkflowValidationError naming file, path and every field that does not fit.
        """
        data = _read(Path(self.config_file))
        for part in (self.path_selector or "").split(".") if self.path_selector else ():
            if not isinstance(data, dict) or part not in data:
                raise WorkflowValidationError(f"{self.config_file} has no `{self.path_selector}` (missing at `{part}`)")
            data = data[part]
        if not (inspect.isclass(type) and issubclass(type, BaseModel)):
            return data
        try:
            return type.model_validate(data)
        except ValidationError as error:
            raise WorkflowValidationError(f"{self.config_file}: {error}") from error


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise WorkflowValidationError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        if path.suffix in (".yaml", ".yml"):
            import yaml

            return yaml.safe_load(text)
        return json.loads(text)
    except ValueError as error:
        raise WorkflowValidationError(f"{path} is not {'YAML' if 'y' in path.suffix else 'JSON'}: {error}") from error
    except Exception as error:  # yaml's errors share no base that is importable without loading yaml
        raise WorkflowValidationError(f"{path} is not YAML: {error}") from error


@dataclass(slots=True, eq=False)
class _Made:
    """A resource that exists, with what tears it down."""

    value: Any
    close: Callable[[], Any] | None = None


@dataclass(slots=True, eq=False)
class Opened:
    """Resources that live as long as one step; closed in reverse order."""

    made: dict[int, _Made] = field(default_factory=dict)
    order: list[_Made] = field(default_factory=list)

    async def close(self) -> None:
        """Tear all of them down; the first error is raised after all had their turn."""
        await _close_all(self.order)


class ResourceManager:
    """Makes and keeps the resources of workflow instances; may be shared by several.

    Example: Workflow(resource_manager=ResourceManager())
    """

    def __init__(self) -> None:
        self._made: dict[int, _Made] = {}
        self._factories: dict[int, Callable[..., Any]] = {}  # keeps ids from being used again
        self._locks: dict[int, asyncio.Lock] = {}
        self._order: list[_Made] = []
        self._users = 0

    async def get(self, source: Resource | ResourceConfig, type: Any, opened: Opened) -> Any:
        """The resource; made now if it is not there yet."""
        if isinstance(source, ResourceConfig):
            return self._config(source, type)
        return await self._resolve(source, opened, ())

    def peek(self, source: Resource | ResourceConfig) -> tuple[bool, Any]:
        """Whether a cached resource exists, and the resource."""
        if isinstance(source, Resource) and source.cache:
            made = self._made.get(id(source.factory))
            if made is not None:
                return True, made.value
        return False, None

    def set(self, factory: Callable[..., Any], value: Any) -> None:
        """Use this value for a factory, for example in a test."""
        self._factories[id(factory)] = factory
        self._made[id(factory)] = _Made(value)

    def enter(self) -> None:
        """One more run uses the resources."""
        self._users += 1

    @property
    def has_teardown(self) -> bool:
        """Whether something must be torn down when the last run leaves."""
        return bool(self._order)

    async def leave(self) -> None:
        """One run less; the last one tears generators down."""
        self._users -= 1
        if self._users == 0:
            await self.close()

    async def close(self) -> None:
        """Tear down everything that was made by generators, in reverse order."""
        order, self._order = self._order, []
        closing = {id(m) for m in order}
        self._made = {k: m for k, m in self._made.items() if id(m) not in closing}
        await _close_all(order)

    def _config(self, source: ResourceConfig, type: Any) -> Any:
        key = hash((source, str(type)))
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = _Made(source.load(type))
        return made.value

    async def _resolve(self, source: Resource, opened: Opened, chain: tuple[Callable[..., Any], ...]) -> Any:
        key = id(source.factory)
        if source.factory in chain:
            names = " -> ".join(_name(f) for f in (*chain, source.factory))
            raise WorkflowValidationError(f"resources need each other in a circle: {names}")
        known = (self._made if source.cache else opened.made).get(key)
        if known is not None:
            return known.value
        if not source.cache:
            made = opened.made[key] = await self._make(source, opened, chain)
            if made.close is not None:
                opened.order.append(made)
            return made.value
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            known = self._made.get(key)
            if known is not None:
                return known.value
            made = await self._make(source, opened, chain)
            self._factories[key] = source.factory
            self._made[key] = made
            if made.close is not None:
                self._order.append(made)
            return made.value

    async def _make(self, source: Resource, opened: Opened, chain: tuple[Callable[..., Any], ...]) -> _Made:
        factory = source.factory
        needs: dict[str, Any] = {}
        for name, type, part in _needs(factory):
            if isinstance(part, ResourceConfig):
                needs[name] = self._config(part, type)
            else:
                needs[name] = await self._resolve(part, opened, (*chain, factory))
        if inspect.isasyncgenfunction(factory):
            manager = asynccontextmanager(factory)(**needs)
            return _Made(await manager.__aenter__(), lambda: manager.__aexit__(None, None, None))
        if inspect.isgeneratorfunction(factory):
            plain = contextmanager(factory)(**needs)
            return _Made(plain.__enter__(), lambda: plain.__exit__(None, None, None))
        value = factory(**needs)
        return _Made(await value if inspect.isawaitable(value) else value)


def check_resource(
    source: Resource, chain: tuple[Callable[..., Any], ...] = (), *, checks_configs: bool = True
) -> None:
    """Find circles among factories and bad configuration without making anything.

    Raises: WorkflowValidationError.
    """
    if source.factory in chain:
        names = " -> ".join(_name(f) for f in (*chain, source.factory))
        raise WorkflowValidationError(f"resources need each other in a circle: {names}")
    for _, type, part in _needs(source.factory):
        if isinstance(part, Resource):
            check_resource(part, (*chain, source.factory), checks_configs=checks_configs)
        elif checks_configs:
            part.load(type)


def _needs(factory: Callable[..., Any]) -> list[tuple[str, Any, Resource | ResourceConfig]]:
    try:
        hints = typing.get_type_hints(factory, include_extras=True)
    except (TypeError, NameError):
        hints = dict(getattr(factory, "__annotations__", {}))
    found: list[tuple[str, Any, Resource | ResourceConfig]] = []
    for name, hint in hints.items():
        if name != "return" and typing.get_origin(hint) is Annotated:
            type, *marks = typing.get_args(hint)
            for mark in marks:
                if isinstance(mark, Resource | ResourceConfig):
                    found.append((name, type, mark))
                    break
    return found


async def _close_all(made: list[_Made]) -> None:
    first: Exception | None = None
    for item in reversed(made):
        assert item.close is not None
        try:
            ended = item.close()
            if inspect.isawaitable(ended):
                await ended
        except Exception as error:
            first = first or error
    if first is not None:
        raise WorkflowRuntimeError(f"tearing a resource down failed: {type(first).__name__}: {first}") from first


def _name(factory: Callable[..., Any]) -> str:
    return getattr(factory, "__qualname__", repr(factory))
