"""The table of the REST interface: each entry is a route, who may use it, and what it takes and gives, for OpenAPI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from orchestrator.server.access import Access, Endpoint, GuardedRoute


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter or header."""

    name: str
    about: str
    schema: Any = None  # a JSON Schema; text if None
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry. `gives` is the model of the answer, or the media type of one that is not JSON; `status` its status."""

    method: str
    path: str
    endpoint: Endpoint
    access: Access
    summary: str
    tag: str
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | str | None = None
    status: int = 200
    params: tuple[Param, ...] = ()
    problems: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The operation's id."""
        return self.endpoint.__name__


def routes_of(operations: Sequence[Operation]) -> list[GuardedRoute]:
    """The routes of a table, in its order."""
    return [
        GuardedRoute(op.path, op.endpoint, access=op.access, methods=[op.method], name=op.name) for op in operations
    ]
