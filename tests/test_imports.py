"""What `import orchestrator` costs, and what the bundled plugins may reach."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_exports import PUBLIC_MODULES

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("yaml", "jinja2", "jsonschema", "httpx", "starlette", "uvicorn", "click", "rich")
PLUGIN_FILES = sorted((ROOT / "plugins").rglob("*.py"))


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'plugins')]!r}; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def orchestrator_imports(path: Path) -> set[str]:
    """The modules under `orchestrator` that a file names in an import statement."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return {name for name in found if name.split(".")[0] == "orchestrator"}


def test_importing_the_package_loads_no_heavy_dependency() -> None:
    assert sorted(modules_after("import orchestrator") & set(HEAVY)) == []


def test_reaching_every_name_of_the_root_loads_no_server_and_no_command_line() -> None:
    loaded = modules_after("import orchestrator; [getattr(orchestrator, n) for n in orchestrator.__all__]")
    assert sorted(loaded & {"starlette", "uvicorn", "click", "rich"}) == []


def test_the_check_sees_a_heavy_dependency_when_one_is_loaded() -> None:
    assert "yaml" in modules_after("import orchestrator, yaml")


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=lambda path: str(path.relative_to(ROOT / "plugins")))
def test_a_bundled_plugin_uses_only_what_every_plugin_may_use(path: Path) -> None:
    assert sorted(orchestrator_imports(path) - set(PUBLIC_MODULES)) == []
