"""The engines that are measured, and the environment each runs in. Installs what is missing; a failure is a reason.

Every peer has a virtual environment of its own under bench/envs; `raw` and `ours` run in this one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
INSTALL_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Engine:
    """One column of the table. `environment` is a folder under bench/envs; None is the interpreter that runs this."""

    label: str
    adapter: str
    environment: str | None = None
    requirements: tuple[str, ...] = ()


RAW = Engine("raw", "raw")
OURS = Engine("ours", "ours")
AGENT_FRAMEWORK = ("agent-framework-core", "agent-framework-declarative")
PEERS = {
    "llama-index-workflows": Engine("llama-index", "llama_index", "llama-index-workflows", ("llama-index-workflows",)),
    "agent-framework-core": Engine("agentfw", "agent_framework_graph", "agent-framework-core", AGENT_FRAMEWORK),
    "agent-framework-functional": Engine(
        "agentfw-fn", "agent_framework_functional", "agent-framework-core", AGENT_FRAMEWORK
    ),
    "langgraph": Engine("langgraph", "langgraph_peer", "langgraph", ("langgraph", "langgraph-checkpoint-sqlite")),
    "pydantic-graph": Engine("pyd-graph", "pydantic_graph_peer", "pydantic-graph", ("pydantic-graph",)),
    "burr": Engine("burr", "burr_peer", "burr", ("burr", "pydantic")),
    "dbos": Engine("dbos", "dbos_peer", "dbos", ("dbos>=3.4,<4",)),
}


def python_of(engine: Engine) -> Path:
    """The interpreter of an engine's environment."""
    if engine.environment is None:
        return Path(sys.executable)
    return BENCH / "envs" / engine.environment / "bin" / "python"


def environment_of(engine: Engine) -> dict[str, str]:
    """Environment variables for an engine's process: the checkout on the path for ours, nothing of it for a peer."""
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if engine is OURS:
        variables["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "plugins")))
    return variables


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("WARNING", "[notice]"))]
    return lines[-1].strip()[:200] if lines else "no output"


def install(engine: Engine) -> str | None:
    """Make an engine's environment if it is not there; return why that failed, or None."""
    if engine.environment is None:
        return None
    folder = BENCH / "envs" / engine.environment
    ready = folder / "ready.json"
    if ready.exists() and json.loads(ready.read_text()) == list(engine.requirements):
        return None
    print(f"installing {' '.join(engine.requirements)} into bench/envs/{engine.environment}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    python = python_of(engine)
    commands = (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *engine.requirements],
    )
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return f"installation took more than {INSTALL_TIMEOUT_S} s"
        if done.returncode:
            return last_line(done.stderr or done.stdout)
    ready.write_text(json.dumps(list(engine.requirements)))
    return None


def versions(engine: Engine) -> dict[str, str]:
    """The installed version of everything an engine required, and of pydantic and Python."""
    names = [requirement.split(">")[0] for requirement in engine.requirements] + ["pydantic"]
    code = (
        "import importlib.metadata as m, json, platform, sys\n"
        "found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({'python': platform.python_version(), **{n: found[n] for n in sys.argv[1:] if n in found}}))"
    )
    done = subprocess.run([python_of(engine), "-c", code, *names], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found
