"""What every plugin must keep, checked by running it: `orchestrator plugin check`, and the tests of the bundled plugins.

Rules: help text and fields that say what they are; schemas and error codes that the checker can use; examples that fit the
schema, run, give what they promise and survive a JSON round trip; cancellation is obeyed at once; no secret gets into logs or
results; importing costs little and does nothing but define.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import OrchestratorError, PluginError
from orchestrator.plugin.config import ProjectConfig
from orchestrator.plugin.hub import ServiceHub
from orchestrator.plugin.info import CallableInfo, Emitted, Example
from orchestrator.plugin.invoke import bind, bind_apart
from orchestrator.plugin.llm_fake import FakeModel
from orchestrator.plugin.schema_check import SchemaRefused, compile_schema
from orchestrator.plugin.services import PlainContext

ERROR_CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+\Z|timeout\Z|http\.[45]xx\Z")
MAX_IMPORT_MS = 200
EXAMPLE_TIMEOUT_S = 10.0
CANCEL_TIMEOUT_S = 1.0
PROBE = "probe-secret-5a1f0c"


@dataclass(frozen=True, slots=True)
class Breach:
    """One rule that a callable or module breaks."""

    name: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.name}: {self.message} [{self.rule}]"


def check_description(info: CallableInfo) -> tuple[Breach, ...]:
    """The rules that need no run: help, fields, schemas, codes, examples that fit."""
    return tuple(_description_breaches(info))


def _description_breaches(info: CallableInfo) -> Iterator[Breach]:
    if not info.summary:
        yield Breach(info.name, "help", "has no docstring, so nobody can know what it does")
    if len(info.summary) > 120:
        yield Breach(info.name, "help", "the first line of the help is longer than 120 characters")
    for code in info.errors:
        if not ERROR_CODE.match(code):
            yield Breach(info.name, "errors", f'error code "{code}" should look like crm.gone')
    for what, schema in (("input", info.input_schema), ("result", info.result_schema)):
        try:
            compile_schema(schema)
        except SchemaRefused as problem:
            yield Breach(info.name, "schema", f"the {what} schema cannot be used: {problem}")
            return
    for number, example in enumerate(info.examples, 1):
        for misfit in compile_schema(info.input_schema).problems(dict(example.inputs)):
            yield Breach(info.name, "example", f"example {number} does not fit the fields: {misfit}")
        if example.has_result and not info.events:
            for misfit in compile_schema(info.result_schema).problems(example.result):
                yield Breach(info.name, "example", f"example {number} does not fit the result: {misfit}")
    for note in info.notes:
        yield Breach(info.name, "types", note)


async def check_runs(info: CallableInfo, root: Path | None = None) -> tuple[Breach, ...]:
    """Run the examples with a fake model, no network beyond loopback and a folder of their own."""
    breaches: list[Breach] = []
    try:
        bind(info)
    except PluginError as problem:
        return (Breach(info.name, "import", problem.message),)
    hub = ServiceHub(ProjectConfig(root=root), secrets=lambda name: PROBE, model=FakeModel())
    try:
        with _captured_logs() as logs:
            for number, example in enumerate(info.examples, 1):
                if is_runnable(info):
                    breaches += await _run_example(info, hub, number, example)
                    breaches += await _cancel_example(info, hub, number, example)
        if any(PROBE in line for line in logs):
            breaches.append(Breach(info.name, "secret", "a secret was written to the log"))
    finally:
        await hub.aclose()
    return tuple(breaches)


def is_runnable(info: CallableInfo) -> bool:
    """Whether an example may be run by a check: nothing outside can be changed by it."""
    return info.effect == "none" or (not info.hosts and info.namespace == "llm")


async def _run_example(info: CallableInfo, hub: ServiceHub, number: int, example: Example) -> list[Breach]:
    def breach(rule: str, message: str) -> list[Breach]:
        return [Breach(info.name, rule, f"example {number} {message}")]

    try:
        async with asyncio.timeout(EXAMPLE_TIMEOUT_S):
            result = await hub.call(info, dict(example.inputs))
    except TimeoutError:
        return breach("example", f"takes longer than {EXAMPLE_TIMEOUT_S:g} s")
    except OrchestratorError as problem:
        return breach("example", f"fails with {problem.code}: {problem.message}")
    plain = result.fields if isinstance(result, Emitted) else result
    try:
        text = json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError) as problem:
        return breach("json", f"gives what JSON cannot hold: {problem}")
    if PROBE in text:
        return breach("secret", "has a secret in its result")
    if json.loads(text) != plain:
        return breach("json", "changes on its way through JSON")
    if example.has_result and plain != example.result:
        return breach("example", f"gives {text[:200]}, not {json.dumps(example.result)[:200]}")
    if not info.events and (problems := compile_schema(info.result_schema).problems(plain)):
        return breach("schema", f"gives what its own schema refuses: {problems[0]}")
    return []


async def _cancel_example(info: CallableInfo, hub: ServiceHub, number: int, example: Example) -> list[Breach]:
    """Cancel a call at its first wait; it must end at once, cancelled."""
    invoker = await bind_apart(info, hub.import_limit_s)  # so that the first wait is the call's own
    task = asyncio.ensure_future(invoker(dict(example.inputs), hub.services(PlainContext(), info)))
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=CANCEL_TIMEOUT_S)
    if not done:
        return [Breach(info.name, "cancel", f"example {number} goes on for over {CANCEL_TIMEOUT_S:g} s when cancelled")]
    if not task.cancelled() and task.exception() is not None:
        return [Breach(info.name, "cancel", f"example {number} turns a cancel into {task.exception()!r}")]
    return []


@contextmanager
def _captured_logs() -> Iterator[list[str]]:
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    collector = Collector(level=logging.DEBUG)
    root = logging.getLogger()
    root.addHandler(collector)
    try:
        yield lines
    finally:
        root.removeHandler(collector)


CANNOT = "cannot be imported"
_IMPORT_PROBE = """
import json, sys, threading, time
import orchestrator.plugin as api
[getattr(api, name) for name in api.__all__]
import pydantic, typing_extensions
seen, own = [], {"on": False}
def hook(event, args):
    if not own["on"]:
        return
    if event == "open" and isinstance(args[1], str) and any(c in args[1] for c in "wax+") and "__pycache__" not in str(args[0]):
        seen.append(f"opens {args[0]} for writing")
    elif event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.remove", "os.rename", "os.putenv"):
        seen.append(event)
sys.addaudithook(hook)
threads = threading.active_count()
own["on"] = True
began = time.process_time()
__import__(sys.argv[1])
spent = (time.process_time() - began) * 1000
own["on"] = False
if threading.active_count() > threads:
    seen.append("starts a thread")
print(json.dumps({"ms": spent, "seen": seen}))
"""


def check_import(module: str, path: tuple[str, ...] = ()) -> tuple[Breach, ...]:
    """Import a module in a fresh process and watch: CPU time, files written, connections, processes, threads."""
    code = f"import sys; sys.path[:0] = {list(path)!r}\n{_IMPORT_PROBE}"
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-c", code, module],
            capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=60, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return (Breach(module, "import", f"{CANNOT}: it did not end within a minute"),)
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        return (Breach(module, "import", f"{CANNOT}: {last[:300] or f'it ends the process with {done.returncode}'}"),)
    try:
        found: Any = json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError:
        return (Breach(module, "import", f"{CANNOT}: it ends the process"),)
    breaches = [Breach(module, "import", f"does something when imported: {what}") for what in found["seen"]]
    if found["ms"] > MAX_IMPORT_MS:
        breaches.append(
            Breach(module, "import", f"takes {found['ms']:.0f} ms of CPU to import, {MAX_IMPORT_MS} are allowed")
        )
    return tuple(breaches)
