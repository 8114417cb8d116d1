"""Calling a callable by name, as the runtime does, with services made from a config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import StepError
from orchestrator.plugin import Catalog, bind
from orchestrator.plugin.config import LlmConfig, ProjectConfig, SecretsConfig, SmtpConfig
from orchestrator.plugin.hub import ServiceHub
from orchestrator.plugin.llm import ChatModel
from orchestrator.plugin.services import PlainContext

LOCAL = ("127.0.0.1",)


class Caller:
    """One project: `await caller("http.get", url=…)`; what was written to the stream is in `written`."""

    def __init__(
        self,
        *,
        allow_hosts: tuple[str, ...] = LOCAL,
        root: Path | None = None,
        llm: LlmConfig | None = None,
        model: ChatModel | None = None,
        secrets: Mapping[str, str] | None = None,
        secrets_to_resolve: tuple[str, ...] = (),
        secrets_config: SecretsConfig | None = None,
        limits: Mapping[str, float] | None = None,
        smtp: SmtpConfig | None = None,
        process_allow: tuple[str, ...] = (),
        steps: Mapping[str, Any] | None = None,
    ) -> None:
        self.secrets_to_resolve = secrets_to_resolve
        self.config = ProjectConfig(
            root=root,
            http_allow_hosts=allow_hosts,
            llm=llm or LlmConfig(),
            secrets=secrets_config or SecretsConfig(),
            limits=limits or {},
            smtp=smtp or SmtpConfig(),
            process_allow=process_allow,
        )
        self.hub = ServiceHub(self.config, secrets=(secrets or {}).get, model=model)
        self.catalog = Catalog(self.config, steps=steps)
        self.written: list[Any] = []
        self.context = PlainContext(flow="test", idempotency_key="run-1/step/1", written=self.written)

    async def __call__(self, name: str, **inputs: Any) -> Any:
        info = self.catalog.get(name)
        assert info is not None, f"{name}: {self.catalog.problem(name)}"
        if not self.secrets_to_resolve:
            return await self.hub.call(info, inputs, self.context)
        services = self.hub.services(self.context, info)
        for secret in self.secrets_to_resolve:
            services.secrets.get(secret)
        return await bind(info)(inputs, services)

    async def error(self, name: str, **inputs: Any) -> StepError:
        """The error that a call ends in."""
        try:
            result = await self(name, **inputs)
        except StepError as problem:
            return problem
        raise AssertionError(f"{name} succeeded with {result!r}")
