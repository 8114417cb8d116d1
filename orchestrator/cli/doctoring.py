"""What `doctor` looks at: machine, config, plugins, flows, secrets, model, store. Each look gives lines and changes nothing.

Nothing here goes to the network but the database that the store names.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.exits import CommandFailed
from orchestrator.cli.granting import grant_line, missing_grants
from orchestrator.cli.output import plural
from orchestrator.cli.store import MEMORY, open_store, store_url
from orchestrator.diagnostics import Severity
from orchestrator.errors import OrchestratorError, UsageError

if TYPE_CHECKING:  # only named
    from orchestrator.authoring.project import Project
    from orchestrator.journal.store import Store
    from orchestrator.plugin.config import LlmConfig
    from orchestrator.plugin.config_values import LlmProvider

DISTRIBUTION = "orchestrator-flows"
EXTRAS = {
    "agents": "pydantic-ai-slim",
    "dbos": "dbos",
    "mcp": "mcp",
    "oidc": "authlib",
    "otel": "opentelemetry-api",
    "postgres": "psycopg",
}
LATE_S, SLOW_FLUSH_S, LITTLE_ROOM = 60.0, 0.05, 100_000_000
FLUSHES = 11


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that was looked at. level: ok, warning or error; `advice` says what to do about it."""

    level: str
    name: str
    message: str
    advice: str = ""


def look_over(project: Project, store: str | None) -> Iterator[Look]:
    """Everything, in the order in which a person would look."""
    yield from _machine()
    yield from _config(project)
    yield from _plugins(project)
    yield from _mcp(project)
    asking: list[str] = []
    yield from _flows(project, asking)
    yield _model(project, asking)
    yield from _store(project, store)


def _machine() -> Iterator[Look]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Look("ok", "python", f"{version} on {platform.system()} {platform.machine()}")
    try:
        yield Look("ok", "orchestrator", metadata.version(DISTRIBUTION))
    except metadata.PackageNotFoundError:
        yield Look("ok", "orchestrator", f"from {Path(__file__).parents[2]}, not installed")
    there = [name for name, distribution in EXTRAS.items() if _is_installed(distribution)]
    yield Look("ok", "extras", ", ".join(there) or "none")
    try:
        from yaml._yaml import CParser  # noqa: F401 - asked for its existence

        yield Look("ok", "yaml", "with the C parser")
    except ImportError:
        yield Look(
            "warning", "yaml", "without the C parser: big flows are read slowly", "install a PyYAML with libyaml"
        )


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _config(project: Project) -> Iterator[Look]:
    config = project.config
    if config.file is None:
        advice = "`orchestrator new FOLDER` makes one"
        yield Look("ok", "config", f"none; {project.root.resolve()} is a project of its own", advice)
    else:
        yield Look("ok", "config", str(config.file))
    for finding in project.findings:
        yield Look("warning", "config", str(finding))
    if config.people.groups or config.people.users:
        users = {*config.people.users, *(user for members in config.people.groups.values() for user in members)}
        yield Look(
            "ok", "people", f"{plural(len(users), 'person', 'people')}, {plural(len(config.people.groups), 'group')}"
        )
    else:
        yield Look("ok", "people", "none are named: here anybody may answer", "`[people]` is needed for `serve`")
    yield from _notifiers(project)
    if config.oidc.is_set:
        yield _sign_in(project)


def _sign_in(project: Project) -> Look:
    from orchestrator.server.oidc import check_config

    oidc = project.config.oidc
    try:
        check_config(oidc)
    except UsageError as error:
        return Look("error", "sign-in", error.message)
    if oidc.client_secret and not project.has_secret(oidc.client_secret):
        return Look(
            "warning", "sign-in", f"{oidc.issuer}: the secret {oidc.client_secret} is not set", "put it into .env"
        )
    return Look("ok", "sign-in", f"by {oidc.issuer}, for {plural(len(oidc.roles), 'group')}")


def _notifiers(project: Project) -> Iterator[Look]:
    from orchestrator.authoring.notices import notifier_problems

    problems = list(notifier_problems(project))
    for problem in problems:
        yield Look("error", "people", f"[people] notify: {problem}")
    if project.config.people.notify and not problems:
        yield Look("ok", "people", f"told of requests by {', '.join(project.config.people.notify)}")


def _plugins(project: Project) -> Iterator[Look]:
    problems = project.catalog.problems()
    for problem in problems:
        level = "warning" if problem.code == "PLG004" else "error"  # what is not allowed is not broken
        where = f" ({problem.origin})" if problem.origin else ""
        yield Look(level, "plugins", f"{problem.code} {problem.message}{where}", problem.help or "")
    from orchestrator.cli.plugin_check import broken_imports

    broken = broken_imports(project)
    for what, why in broken:
        advice = (
            "install what it needs or mend it: until then each call of it fails; `orchestrator plugin check` says more"
        )
        yield Look("error", "plugins", f"{what} {why}", advice)
    own = [n for n in project.catalog.names() if (i := project.catalog.get(n)) is not None and i.provider != "bundled"]
    if not broken and not any(problem.code != "PLG004" for problem in problems):
        yield Look("ok", "plugins", f"{plural(len(own), 'callable')} besides the bundled ones")


def _mcp(project: Project) -> Iterator[Look]:
    """The MCP servers of the project, none of which is started for this; tools that are not pinned are told by `_plugins`."""
    servers = project.config.mcp_servers
    if servers and not _is_installed(EXTRAS["mcp"]):
        from orchestrator.plugin.mcp import INSTALL

        yield Look("error", "mcp", INSTALL)
    for name, server in servers.items():
        needed = (*server.secrets, *([server.bearer] if server.bearer else ()))
        unset = [secret for secret in needed if not project.has_secret(secret)]
        if server.command and shutil.which(server.command[0]) is None:
            yield Look(
                "warning", "mcp", f"{name}: the program {server.command[0]} is not here", "install it, or mend PATH"
            )
        elif unset:
            yield Look("warning", "mcp", f"{name}: the secret {', '.join(unset)} is not set", "put it into .env")
        else:
            yield Look("ok", "mcp", f"{name}: {server.url or server.command[0]}")


def _flows(project: Project, asking: list[str]) -> Iterator[Look]:
    """The flows; those that ask a model are added to `asking`."""
    bad: list[str] = []
    unset: dict[str, list[str]] = {}
    ungranted: dict[str, list[str]] = {}
    count = triggers = 0
    for file in project.flow_files():
        count += 1
        try:
            compiled = project.compile(file)
        except UsageError as error:
            bad.append(str(error))
            continue
        if not compiled.is_ok:
            errors = sum(d.severity is Severity.ERROR for d in compiled.diagnostics)
            bad.append(f"{file}: {plural(errors, 'error')}")
        if compiled.flow is None:
            continue
        triggers += len(compiled.flow.triggers)
        if any(s.body.call is not None and s.body.call.target.startswith("llm.") for s in compiled.flow.steps.values()):
            asking.append(file.name)
        for name in compiled.flow.secrets:
            if not project.has_secret(name):
                unset.setdefault(name, []).append(file.name)
        if missing := missing_grants(project, compiled.flow):
            ungranted[compiled.flow.name] = missing
    for line in bad[:10]:
        yield Look("error", "flows", line, "`orchestrator check` shows every mistake")
    if len(bad) > 10:
        yield Look("error", "flows", f"and {len(bad) - 10} more with errors")
    if not bad:
        yield Look("ok", "flows", f"{plural(count, 'flow')}, none with errors")
    if triggers:
        yield Look("ok", "triggers", f"{plural(triggers, 'trigger')}; they fire while `serve` or `dev` runs")
    for flow, names in ungranted.items():
        advice = f"[secrets.grant] {grant_line(flow, names)}"
        yield Look("warning", "secrets", f"flow `{flow}` was not granted {', '.join(names)}", advice)
    for name, files in unset.items():
        advice = f"set the environment variable {name}, or add it to .env"
        yield Look("warning", "secrets", f"{name} is not set, and {', '.join(files[:3])} asks for it", advice)


def _model(project: Project, asking: list[str]) -> Look:
    llm = project.config.llm
    if llm.fake:
        return Look("ok", "model", "the built-in fake answers")
    if llm.replay:
        return Look("ok", "model", f"answers are replayed from {llm.replay}")
    ends: list[LlmConfig | LlmProvider] = [*([llm] if llm.base_url else []), *llm.providers.values()]
    if not ends:
        advice = "`[llm] base_url, model`, or `--fake-llm`"
        if asking and not llm.providers:
            return Look("warning", "model", f"none is configured, and {', '.join(asking[:3])} asks one", advice)
        return Look("ok", "model", "none is configured", advice)
    for end in ends:
        if end.api_key and not project.has_secret(end.api_key):
            return Look("warning", "model", f"{end.base_url}: the secret {end.api_key} is not set", "put it into .env")
    shown = [f"{end.model or 'no default model'} at {end.base_url}" for end in ends]
    return Look("ok", "model", "; ".join(shown))


def _store(project: Project, option: str | None) -> Iterator[Look]:
    from orchestrator.journal.open import parse_store_url

    url = store_url(project, option)
    parsed = parse_store_url(url)
    if url.startswith(MEMORY):
        yield Look("ok", "store", "in memory: runs end with their process")
        return
    if parsed.path is not None:
        if not parsed.path.exists():
            yield Look("ok", "store", f"{parsed.path} is not there yet; the first run makes it")
            return
        yield from _disk(parsed.path)
    elif parsed.scheme == "postgresql":
        yield from _postgres(url)
    try:
        journal = open_store(project, option, must_exist=True)
    except (CommandFailed, OrchestratorError) as error:
        yield Look("error", "store", str(error))
        return
    yield from asyncio.run(_runs(journal))


def _postgres(url: str) -> Iterator[Look]:
    try:
        from orchestrator.journal.postgres_health import check_database
    except ImportError as error:
        yield Look("error", "store", f"the driver is missing ({error})", "pip install 'orchestrator-flows[postgres]'")
        return
    for found in check_database(url):
        yield Look(found.level, found.name, found.message, found.advice)


def _disk(file: Path) -> Iterator[Look]:
    if not os.access(file, os.W_OK) or not os.access(file.parent, os.W_OK):
        yield Look("error", "store", f"{file} and its folder cannot be written", "give this user the right to")
        return
    room = os.statvfs(file.parent) if hasattr(os, "statvfs") else None
    if room is not None and room.f_bavail * room.f_frsize < LITTLE_ROOM:
        yield Look(
            "warning", "disk", f"{room.f_bavail * room.f_frsize // 1_000_000} MB are free beside {file}", "make room"
        )
    took_s = _flush_s(file.parent)
    message = (
        f"a flush takes {took_s * 1000:.1f} ms: at most {1 / max(took_s, 1e-6):.0f} durable steps per second in one run"
    )
    level = "warning" if took_s > SLOW_FLUSH_S else "ok"
    yield Look(level, "disk", message, "use a faster disk" if level == "warning" else "")


def _flush_s(folder: Path) -> float:
    """How long one flush to this disk takes; the middle of a few."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FLUSHES):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


async def _runs(journal: Store) -> list[Look]:
    from orchestrator.journal.store import RunFilter

    now = time.time()
    try:
        stats, late = await journal.stats(), await journal.overdue(now=now, by_s=LATE_S)
        parked = (await journal.runs(RunFilter(statuses=("parked",)), limit=5)).rows
        proof = await journal.verify_audit()
    except OrchestratorError as error:
        return [Look("error", "store", str(error))]
    finally:
        await journal.aclose()
    counted = ", ".join(f"{count} {status}" for status, count in sorted(stats.by_status.items())) or "no runs yet"
    size = f"{stats.size_bytes / 1e6:.1f} MB" if stats.size_bytes else "empty"
    found = [Look("ok", "store", f"{size}; {counted}; {plural(stats.open_requests, 'open request')}")]
    gone = {row.holder for row in late if row.holder is not None}
    live = sum(worker.lease_until >= now and worker.name not in gone for worker in stats.workers)
    if left := [row for row in late if row.holder is not None]:
        message = f"{plural(len(left), 'run')} of a process that is gone"
        found.append(
            Look("warning", "runs", message, "`orchestrator resume` goes on where it was; `serve`, `worker` too")
        )
    if waiting := len(late) - len(left):
        advice = (
            "start more workers" if live else "`orchestrator resume` goes on with them, `worker` and `serve` keep at it"
        )
        message = f"{plural(waiting, 'run')} due for over {LATE_S:.0f} s; {plural(live, 'process', 'processes')} up"
        found.append(Look("warning", "runs", message, advice))
    for row in parked:
        reason: Any = row.parked or {}
        advice = "mend that; `resume`, `worker` or `serve` takes it up again"
        found.append(Look("warning", "parked", f"run {row.run_id} of `{row.flow}`: {reason.get('message')}", advice))
    if proof.is_intact:
        found.append(Look("ok", "audit", f"{plural(proof.lines, 'line')}, intact"))
    else:
        found.append(
            Look("error", "audit", f"the log was changed at line {proof.broken_at}", "`orchestrator runs verify`")
        )
    return found
