"""Everything that injected services share in one process: connections, secrets, the model, budgets. Made from the config.

The runtime asks `hub.services(context, flow=…)` once per call; clients are made when a callable first asks for them.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orchestrator.plugin.config import ProjectConfig
from orchestrator.plugin.files import ProjectFiles
from orchestrator.plugin.providers import configured_provider
from orchestrator.plugin.secrets import Provider, SecretVault
from orchestrator.plugin.services import Clock, StepContext

if TYPE_CHECKING:  # loaded when first used
    from orchestrator.plugin.http_client import HttpClient, HttpPool
    from orchestrator.plugin.info import CallableInfo
    from orchestrator.plugin.llm import Budget, ChatModel, Ledger, Llm
    from orchestrator.plugin.mail import Mailer
    from orchestrator.plugin.mcp import McpSessions
    from orchestrator.plugin.process import Processes

Json = Any  # plain JSON
MAX_BUDGETS = 10_000
IMPORT_LIMIT_S = 60.0


def import_limit_s(config: ProjectConfig) -> float:
    """How long the import of a plugin may take in a project."""
    return config.limits.get("plugin_import_s", IMPORT_LIMIT_S)


class SystemClock:
    """The machine's time."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ServiceHub:
    """Services of a process. `model` replaces the configured language model, for tests and `--fake-llm`."""

    def __init__(
        self,
        config: ProjectConfig | None = None,
        *,
        clock: Clock | None = None,
        secrets: Provider | None = None,
        model: ChatModel | None = None,
        needs_grants: bool | None = None,
    ) -> None:
        self.config = config or ProjectConfig()
        self.clock: Clock = clock or SystemClock()
        self.provider = secrets or configured_provider(self.config)
        self.files = ProjectFiles(self.config.root)
        self._given_model = model
        self._needs_grants = self.config.file is not None if needs_grants is None else needs_grants
        self._budgets: OrderedDict[str, Budget] = OrderedDict()

    def services(self, context: StepContext, info: CallableInfo | None = None) -> CallServices:
        """What one call may use."""
        return CallServices(self, context, self.vault(context.flow, info))

    async def call(self, info: CallableInfo, inputs: Mapping[str, Json], context: StepContext | None = None) -> Any:
        """Run one callable outside a flow: `run --step`, examples, tests. JSON or `Emitted`. Raises: StepError."""
        from orchestrator.plugin.invoke import bind_apart
        from orchestrator.plugin.services import PlainContext

        invoker = await bind_apart(info, self.import_limit_s)
        return await invoker(inputs, self.services(context or PlainContext(), info))

    @property
    def import_limit_s(self) -> float:
        """How long the import of a plugin may take."""
        return import_limit_s(self.config)

    def may_have_secret(self, name: str) -> bool:
        """Whether a secret is set, as far as can be told without importing the plugin that provides secrets."""
        is_plugin = self.config.secrets.provider not in ("", "env")
        return is_plugin or self.provider(name) is not None

    def vault(self, flow: str, info: CallableInfo | None = None) -> SecretVault:
        """The secrets of a flow, and those that a callable declares: with its hosts, as far as the operator says nothing.

        A secret that `[secrets.grant]` names is for the flows named there, and one of `[secrets.hosts]` for those hosts.
        """
        secrets = self.config.secrets
        ruled = {name for names in secrets.grant.values() for name in names}
        own = tuple(name for name in info.secrets if name not in ruled) if info else ()
        granted = (*secrets.grant.get(flow, ()), *own) if self._needs_grants else None
        vault = SecretVault(self.provider, granted=granted, hosts=secrets.hosts, flow=flow)
        if info is None or not info.secrets:
            return vault
        return vault.with_hosts(dict.fromkeys(info.secrets, info.hosts))

    @cached_property
    def pool(self) -> HttpPool:
        from orchestrator.plugin.egress import EgressRules
        from orchestrator.plugin.http_client import HttpPool

        return HttpPool(EgressRules(self.config.http_allow_hosts))

    @cached_property
    def mcp(self) -> McpSessions:
        from orchestrator.plugin.mcp import McpSessions

        return McpSessions(self.config.mcp_servers, self.provider, self.config.root)

    @cached_property
    def model(self) -> ChatModel:
        """The language model of the config. Raises: StepError `llm.not_configured`."""
        from orchestrator.plugin.llm_choice import chat_model

        return self._given_model or chat_model(self.config, self._model_pool, self.provider)

    @cached_property
    def _model_pool(self) -> HttpPool:
        from orchestrator.plugin.egress import EgressRules
        from orchestrator.plugin.http_client import HttpPool
        from orchestrator.plugin.llm_choice import model_hosts

        return HttpPool(EgressRules((*self.config.http_allow_hosts, *model_hosts(self.config.llm))))

    def budget(self, run_id: str) -> Budget:
        """What a run may still spend; the oldest of very many runs are forgotten here."""
        from orchestrator.plugin.llm import Budget

        budget = self._budgets.get(run_id)
        if budget is None:
            limits = self.config.limits
            tokens = limits.get("llm_tokens")
            budget = Budget(
                max_tokens=None if tokens is None else int(tokens), max_cost=limits.get("llm_cost"), run_id=run_id
            )
            self._budgets[run_id] = budget
            if len(self._budgets) > MAX_BUDGETS:
                self._budgets.popitem(last=False)
        return budget

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        if "mcp" in self.__dict__:
            await self.mcp.aclose()
        for name in ("pool", "_model_pool"):
            if name in self.__dict__:
                await self.__dict__[name].aclose()


@dataclass(slots=True)
class CallServices:
    """`Services` of one call."""

    hub: ServiceHub
    context: StepContext
    secrets: SecretVault
    on_delta: Callable[[str], None] | None = None
    ledger: Ledger | None = None
    _http: HttpClient | None = field(default=None, init=False)

    @property
    def clock(self) -> Clock:
        return self.hub.clock

    @property
    def files(self) -> ProjectFiles:
        return self.hub.files if not self.secrets.resolved else ProjectFiles(self.hub.config.root, self.secrets)

    @property
    def mailer(self) -> Mailer:
        from orchestrator.plugin.mail import Mailer

        return Mailer(self.hub.config.smtp, self.hub.provider, self.secrets)

    @property
    def processes(self) -> Processes:
        from orchestrator.plugin.process import Processes

        return Processes(self.hub.config.process_allow, self.files, self.secrets)

    @property
    def mcp(self) -> McpSessions:
        return self.hub.mcp

    @property
    def http(self) -> HttpClient:
        if self._http is None:
            from orchestrator.plugin.http_client import HttpClient

            self._http = HttpClient(
                self.hub.pool,
                vault=self.secrets,
                idempotency_key=self.context.idempotency_key,
                max_bytes=int(self.hub.config.limits.get("http_body_bytes", 0)) or None,
            )
        return self._http

    @property
    def llm(self) -> Llm:
        from orchestrator.plugin.llm import Llm

        context = self.context

        def write_delta(text: str) -> None:
            context.write({"type": "llm.delta", "step": context.step, "attempt": context.attempt, "text": text})

        return Llm(
            self.hub.model,
            default_model=self.hub.config.llm.model,
            budget=self.hub.budget(context.run_id),
            on_delta=self.on_delta or write_delta,
            vault=self.secrets,
            ledger=self.ledger,
        )
