"""Which model a config names: the endpoint of `[llm]`, those of `[llm.providers]`, a recording, or the built-in fake."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.errors import StepError
from orchestrator.plugin.config import LlmConfig, ProjectConfig
from orchestrator.plugin.config_values import LlmProvider
from orchestrator.plugin.http_client import HttpPool
from orchestrator.plugin.llm import ChatModel, ChatReply, ChatRequest, OnDelta
from orchestrator.plugin.secrets import Provider, Secret


def chat_model(config: ProjectConfig, pool: HttpPool, provider: Provider) -> ChatModel:
    """The model that `[llm]` names: endpoints, a recording, the fake, or endpoints that are recorded."""
    llm, root = config.llm, config.root or Path.cwd()
    if llm.fake:
        from orchestrator.plugin.llm_fake import FakeModel

        return FakeModel()
    if llm.replay:
        from orchestrator.plugin.llm_record import RecordedModel

        return RecordedModel(root / llm.replay)
    if not llm.base_url and not llm.providers:
        raise StepError(
            "llm.not_configured",
            "no language model is configured; set [llm] base_url and model in orchestrator.toml, or run with --fake-llm",
        )
    model: ChatModel = RoutedModel(llm, pool, provider)
    if llm.record:
        from orchestrator.plugin.llm_record import RecordedModel

        model = RecordedModel(root / llm.record, model)
    return model


def model_hosts(llm: LlmConfig) -> tuple[str, ...]:
    """The hosts of the endpoints: who named them in the config meant them, also where flows may not go by themselves."""
    urls = (llm.base_url, *(provider.base_url for provider in llm.providers.values()))
    return tuple(host for url in urls if (host := urlsplit(url).hostname))


class RoutedModel:
    """Asks the provider that stands before the `/` of a model's name, else the endpoint of `[llm]`."""

    def __init__(self, llm: LlmConfig, pool: HttpPool, provider: Provider) -> None:
        self._llm = llm
        self._pool = pool
        self._provider = provider
        self._made: dict[str, ChatModel] = {}

    async def complete(self, request: ChatRequest, on_delta: OnDelta | None = None) -> ChatReply:
        name, _, rest = request.model.partition("/")
        provider = self._llm.providers.get(name)
        if provider is None:
            return await self._endpoint("").complete(request, on_delta)
        model = rest or provider.model
        if not model:
            raise StepError("type.payload", f"`model: {name}` names no model; write {name}/MODEL, or give it a default")
        reply = await self._endpoint(name).complete(replace(request, model=model), on_delta)
        return replace(reply, model=f"{name}/{reply.model or model}")

    def _endpoint(self, name: str) -> ChatModel:
        if name not in self._made:
            from orchestrator.plugin.llm_openai import Endpoint, OpenAiModel

            at = self._llm.providers[name] if name else self._llm
            if not at.base_url:
                known = ", ".join(f"{provider}/…" for provider in self._llm.providers)
                raise StepError("llm.not_configured", f"[llm] has no base_url; name a model of a provider: {known}")
            self._made[name] = OpenAiModel(self._pool, Endpoint(at.base_url, self._key(at), at.timeout_s, at.prices))
        return self._made[name]

    def _key(self, at: LlmConfig | LlmProvider) -> Secret | None:
        """`api_key` names a secret; from the environment variable it may also be the key itself."""
        if not at.api_key:
            return None
        value = self._provider(at.api_key)
        if value is not None:
            return Secret(value, at.api_key)
        if isinstance(at, LlmConfig) and os.environ.get("ORCHESTRATOR_LLM_API_KEY") == at.api_key:
            return Secret(at.api_key, "LLM_API_KEY")
        raise StepError(
            "secret.missing", f"secret {at.api_key} (api_key in [llm]) is not set; put it into the environment or .env"
        )
