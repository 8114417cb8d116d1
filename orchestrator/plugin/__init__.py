"""The public plugin API: a typed function becomes a callable of the flow language. Loads each name at first use.

Example:
    from orchestrator.plugin import Plugin

    plugin = Plugin("crm")

    @plugin.step(errors=["crm.gone"], idempotent=True)
    async def score(http: HttpClient, customer: str) -> float:
        "Score a customer from 0 to 1."
"""

from __future__ import annotations

import typing
from typing import Any

if typing.TYPE_CHECKING:  # the names are loaded lazily at run time, see __getattr__
    from orchestrator.errors import StepError
    from orchestrator.events import Event
    from orchestrator.plugin.catalog import Catalog
    from orchestrator.plugin.define import Plugin, register
    from orchestrator.plugin.files import ProjectFiles
    from orchestrator.plugin.http_body import parse_json
    from orchestrator.plugin.http_client import UNSET, HttpClient, HttpRequest, HttpResponse
    from orchestrator.plugin.info import CallableInfo, Emitted, EventInfo, Example
    from orchestrator.plugin.invoke import Invoker, bind
    from orchestrator.plugin.llm import ChatReply, Llm
    from orchestrator.plugin.mail import Mail, Mailer
    from orchestrator.plugin.notice import Notice
    from orchestrator.plugin.process import Processes
    from orchestrator.plugin.schema_check import check_value
    from orchestrator.plugin.secrets import Secret
    from orchestrator.plugin.services import Clock, Services, StepContext
    from orchestrator.plugin.services import StepContext as Context
    from orchestrator.plugin.types import Duration

_HOME = {
    "StepError": ("orchestrator.errors", "StepError"),
    "Invoker": ("orchestrator.plugin.invoke", "Invoker"),
    "bind": ("orchestrator.plugin.invoke", "bind"),
    "Catalog": ("orchestrator.plugin.catalog", "Catalog"),
    "Plugin": ("orchestrator.plugin.define", "Plugin"),
    "register": ("orchestrator.plugin.define", "register"),
    "ProjectFiles": ("orchestrator.plugin.files", "ProjectFiles"),
    "HttpClient": ("orchestrator.plugin.http_client", "HttpClient"),
    "UNSET": ("orchestrator.plugin.http_client", "UNSET"),
    "HttpRequest": ("orchestrator.plugin.http_client", "HttpRequest"),
    "HttpResponse": ("orchestrator.plugin.http_client", "HttpResponse"),
    "CallableInfo": ("orchestrator.plugin.info", "CallableInfo"),
    "Emitted": ("orchestrator.plugin.info", "Emitted"),
    "Event": ("orchestrator.events", "Event"),
    "EventInfo": ("orchestrator.plugin.info", "EventInfo"),
    "Example": ("orchestrator.plugin.info", "Example"),
    "check_value": ("orchestrator.plugin.schema_check", "check_value"),
    "parse_json": ("orchestrator.plugin.http_body", "parse_json"),
    "ChatReply": ("orchestrator.plugin.llm", "ChatReply"),
    "Llm": ("orchestrator.plugin.llm", "Llm"),
    "Mail": ("orchestrator.plugin.mail", "Mail"),
    "Mailer": ("orchestrator.plugin.mail", "Mailer"),
    "Notice": ("orchestrator.plugin.notice", "Notice"),
    "Processes": ("orchestrator.plugin.process", "Processes"),
    "Secret": ("orchestrator.plugin.secrets", "Secret"),
    "Clock": ("orchestrator.plugin.services", "Clock"),
    "Services": ("orchestrator.plugin.services", "Services"),
    "StepContext": ("orchestrator.plugin.services", "StepContext"),
    "Context": ("orchestrator.plugin.services", "StepContext"),
    "Duration": ("orchestrator.plugin.types", "Duration"),
}

__all__ = [
    "CallableInfo",
    "Catalog",
    "ChatReply",
    "Clock",
    "Context",
    "Duration",
    "Emitted",
    "Event",
    "EventInfo",
    "Example",
    "HttpClient",
    "HttpRequest",
    "HttpResponse",
    "Invoker",
    "Llm",
    "Mail",
    "Mailer",
    "Notice",
    "Plugin",
    "Processes",
    "ProjectFiles",
    "Secret",
    "Services",
    "StepContext",
    "StepError",
    "UNSET",
    "bind",
    "check_value",
    "parse_json",
    "register",
]


def __getattr__(name: str) -> Any:  # Any: a module attribute of whatever type the name has
    try:
        module, attribute = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'orchestrator.plugin' has no attribute {name!r}") from None
    import importlib

    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
