"""`WorkflowServer`: serves workflows of a Python program, with no project, no account and no store needed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.events import Event

if TYPE_CHECKING:  # only named
    from orchestrator.authoring.workflow import Workflow
    from orchestrator.functional.workflow import FunctionalWorkflow


class WorkflowServer:
    """Serves workflow classes, functional workflows and flow files over HTTP.

    Clients on this machine need no account; others are refused unless `settings` or `accounts` say otherwise.

    Example:
        server = WorkflowServer()
        server.add_workflow("greet", GreetingWorkflow())
        uvicorn.run(server.app, host="127.0.0.1", port=8000)
    """

    def __init__(self, *, store: str | None = None, accounts: Any = None, settings: Any = None) -> None:
        """`store` is a URL such as "sqlite:///runs.db": runs of classes and flow files outlive the process then.

        `accounts` (an `Accounts`) and `settings` (a `ServerSettings`) are those of `orchestrator serve`.
        """
        from orchestrator.server.app import create_app
        from orchestrator.server.llama_adapter import Adapter
        from orchestrator.server.opening import open_desk

        self._desk = open_desk(None, store, accounts=accounts, settings=settings)
        self._app = create_app(desk=self._desk, more=Adapter(self._desk).routes())
        self._server: Any = None  # a uvicorn server, while `serve` runs

    @property
    def app(self) -> Any:  # a Starlette app; no type of theirs stands in our signatures
        """The server as an ASGI app."""
        return self._app

    def add_workflow(
        self,
        name: str,
        workflow: Workflow | FunctionalWorkflow[Any] | str | Path,
        additional_events: Sequence[type[Event]] = (),
    ) -> None:
        """Serve a workflow under a name; `additional_events` may be sent to it beside those that its steps take.

        Raises: UsageError for what is no workflow, and for a name that is taken.
        """
        self._desk.shelf.add(name, workflow, tuple(additional_events))

    async def start(self) -> WorkflowServer:
        """Get ready in the running event loop. The app does so by itself; doing it twice is harmless."""
        await self._desk.start()
        return self

    async def stop(self) -> None:
        """Cancel what runs, and stop serving."""
        if self._server is not None:
            self._server.should_exit = True
        await self._desk.stop()

    async def serve(
        self, host: str = "127.0.0.1", port: int = 8000, uvicorn_config: dict[str, Any] | None = None
    ) -> None:
        """Serve until the process is told to stop, or `stop` is called."""
        import uvicorn

        config = uvicorn.Config(self._app, host=host, port=port, **{"log_level": "info", **(uvicorn_config or {})})
        self._server = uvicorn.Server(config)
        try:
            await self._server.serve()
        except asyncio.CancelledError:
            self._server.should_exit = True
            raise
        finally:
            self._server = None
