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

    def now(self) -> float:
        """Seconds since 1970, as the run counts them."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; in tests time is virtual and passes at once."""
        ...


@runtime_checkable
class StepContext(Protocol):
    """The attempt that a callable runs in. `emit_progress` and `write` are safe from a thread."""

    @property
    def run_id(self) -> str:
        """The id of the run."""
        ...

    @property
    def flow(self) -> str:
        """The name of the flow."""
        ...

    @property
    def step(self) -> str:
        """The name of the step."""
        ...

    @property
    def attempt(self) -> int:
        """The attempt, from 1."""
        ...

    @property
    def idempotency_key(self) -> str:
        """The same for all attempts of this call, and for nothing else."""
        ...

    @property
    def log(self) -> logging.Logger:
        """A logger whose lines carry run, step and attempt; secrets are masked."""
        ...

    def now(self) -> datetime:
        """The time as the run counts it, with its time zone."""
        ...

    def emit_progress(self, value: Any) -> None:
        """Show how far the step is: any JSON value, a number from 0 to 1 is drawn as a bar."""
        ...

    def write(self, event: Mapping[str, Any]) -> None:
        """Put an event on the run's stream at once; it is not undone if the attempt fails."""
        ...


class Services(Protocol):
    """All that can be injected, for one call. Clients are made at first use."""

    @property
    def context(self) -> StepContext:
        """The attempt that the callable runs in."""
        ...

    @property
    def clock(self) -> Clock:
        """The run's clock."""
        ...

    @property
    def secrets(self) -> SecretVault:
        """The secrets that the call may use."""
        ...

    @property
    def http(self) -> HttpClient:
        """The HTTP client, which checks addresses and keeps secrets to their hosts."""
        ...

    @property
    def llm(self) -> Llm:
        """The project's language models."""
        ...

    @property
    def files(self) -> ProjectFiles:
        """The project's files that are open to flows."""
        ...

    @property
    def mailer(self) -> Mailer:
        """The project's mail server."""
        ...

    @property
    def processes(self) -> Processes:
        """The programs that the project allows."""
        ...

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
        from orchestrator.plugin.log_masking import masked_logger

        return masked_logger(self.inner.log, lambda: self.masker)

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
