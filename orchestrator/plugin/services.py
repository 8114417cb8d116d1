"""What a running callable may ask for by type: the seams between a plugin and the runtime. Holds no behaviour."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:  # each of these loads more than a catalog needs
    from orchestrator.plugin.files import ProjectFiles
    from orchestrator.plugin.http_client import HttpClient
    from orchestrator.plugin.llm import Llm
    from orchestrator.plugin.mail import Mailer
    from orchestrator.plugin.mcp import McpSessions
    from orchestrator.plugin.process import Processes
    from orchestrator.plugin.secrets import Masker, SecretVault


@runtime_checkable
class Clock(Protocol):
    """The run's time, virtual in tests. `now` is in seconds since 1970, UTC."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


@runtime_checkable
class StepContext(Protocol):
    """The attempt that a callable runs in. `emit_progress` and `write` are safe from a thread."""

    @property
    def run_id(self) -> str: ...

    @property
    def flow(self) -> str: ...

    @property
    def step(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    @property
    def idempotency_key(self) -> str:
        """The same for all attempts of this call, and for nothing else."""
        ...

    @property
    def log(self) -> logging.Logger: ...

    def now(self) -> datetime: ...

    def emit_progress(self, value: Any) -> None:
        """Show how far the step is: any JSON value, a number from 0 to 1 is drawn as a bar."""
        ...

    def write(self, event: Mapping[str, Any]) -> None:
        """Put an event on the run's stream at once; it is not undone if the attempt fails."""
        ...


class Services(Protocol):
    """All that can be injected, for one call. Clients are made at first use."""

    @property
    def context(self) -> StepContext: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def secrets(self) -> SecretVault: ...

    @property
    def http(self) -> HttpClient: ...

    @property
    def llm(self) -> Llm: ...

    @property
    def files(self) -> ProjectFiles: ...

    @property
    def mailer(self) -> Mailer: ...

    @property
    def processes(self) -> Processes: ...

    @property
    def mcp(self) -> McpSessions: ...


@dataclass(frozen=True, slots=True)
class MaskedContext:
    """A context for a call that has secrets: what it writes is masked on the way out."""

    inner: StepContext
    masker: Masker

    @property
    def run_id(self) -> str:
        return self.inner.run_id

    @property
    def flow(self) -> str:
        return self.inner.flow

    @property
    def step(self) -> str:
        return self.inner.step

    @property
    def attempt(self) -> int:
        return self.inner.attempt

    @property
    def idempotency_key(self) -> str:
        return self.inner.idempotency_key

    @property
    def log(self) -> logging.Logger:
        return self.inner.log

    def now(self) -> datetime:
        return self.inner.now()

    def emit_progress(self, value: Any) -> None:
        self.inner.emit_progress(self.masker.json(value))

    def write(self, event: Mapping[str, Any]) -> None:
        self.inner.write(self.masker.json(dict(event)))


@dataclass(frozen=True, slots=True)
class PlainContext:
    """A `StepContext` outside a run: for `run --step`, examples and tests. What is written is kept in `written`."""

    run_id: str = "run"
    flow: str = ""
    step: str = "step"
    attempt: int = 1
    idempotency_key: str = "run/step/1"
    at: float = 0.0
    written: list[Any] | None = None

    @property
    def log(self) -> logging.Logger:
        return logging.getLogger("orchestrator.step")

    def now(self) -> datetime:

        return datetime.fromtimestamp(self.at, UTC)

    def emit_progress(self, value: Any) -> None:
        if self.written is not None:
            self.written.append({"progress": value})

    def write(self, event: Mapping[str, Any]) -> None:
        if self.written is not None:
            self.written.append(dict(event))
