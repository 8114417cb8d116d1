"""The built wheel and an editable install, each in a virtual environment of its own: same modules, schemas, plugins.

Nothing is downloaded: the new environments see this one's dependencies through a path file, which shows installed
packages but runs none of their `.pth` files, so an editable install of the project here stays out of sight.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROBE = """
import importlib.metadata as metadata, importlib.resources as resources, json
import orchestrator, orchestrator_plugins
found = metadata.distribution("orchestrator-flows")
package = resources.files("orchestrator")
print(json.dumps({
    "files": [orchestrator.__file__, orchestrator_plugins.__file__],
    "version": found.version,
    "schemas": {f.name: len(f.read_bytes()) for f in (package / "schemas").iterdir()},
    "entry_points": sorted([e.group, e.name, e.value] for e in found.entry_points),
    "typed": (package / "py.typed").is_file(),
}))
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def new_environment(directory: Path) -> Path:
    """Make a virtual environment that sees the dependencies of this one but not the project; return its Python."""
    venv.create(directory, with_pip=False, symlinks=True)
    python = directory / "bin" / "python"
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=directory).strip()
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(site, "dependencies.pth").write_text("".join(f"{path}\n" for path in sorted(paths)), encoding="utf-8")
    return python


def install(python: Path, *what: str | Path) -> dict[str, Any]:  # Any: decoded JSON
    """Install without network or dependencies, then ask the environment what it has."""
    flags = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "--ignore-installed")
    outside = python.parent
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *flags, *what, cwd=outside)
    found: dict[str, Any] = json.loads(run(python, "-I", "-c", PROBE, cwd=outside))
    return found


def files_under(folder: str, pattern: str) -> set[str]:
    return {str(path.relative_to(ROOT / folder)) for path in (ROOT / folder).rglob(pattern)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target, cwd=ROOT)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def from_wheel(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return install(new_environment(tmp_path_factory.mktemp("plain")), wheel)


@pytest.fixture(scope="module")
def from_checkout(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return install(new_environment(tmp_path_factory.mktemp("editable")), "--editable", ROOT)


def test_the_wheel_holds_every_module_schema_and_bundled_plugin(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"orchestrator/{name}" for name in files_under("orchestrator", "*.py")}
    plugins = files_under("plugins", "*.py")
    schemas = {f"orchestrator/schemas/{name}" for name in files_under("schemas", "*")}
    assert plugins
    assert (modules | plugins | schemas | {"orchestrator/py.typed"}) - names == set()


def test_the_wheel_holds_no_tests_and_no_benchmarks(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"orchestrator", "orchestrator_plugins"}


def test_the_demo_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-m", "orchestrator.demo"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "approved by noa" in done.stdout) == (0, True), done.stderr


def test_an_installed_wheel_imports_from_its_own_environment(from_wheel: dict[str, Any]) -> None:
    assert [file for file in from_wheel["files"] if file.startswith(str(ROOT))] == []
    assert set(from_wheel["schemas"]) == files_under("schemas", "*")
    assert from_wheel["typed"]


def test_an_editable_install_gives_the_same_as_the_wheel(
    from_wheel: dict[str, Any], from_checkout: dict[str, Any]
) -> None:
    assert from_checkout.pop("files") == [
        str(ROOT / "orchestrator" / "__init__.py"),
        str(ROOT / "plugins" / "orchestrator_plugins" / "__init__.py"),
    ]
    assert from_checkout == {key: value for key, value in from_wheel.items() if key != "files"}


def test_every_declared_entry_point_is_installed(from_wheel: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    declared = sorted([group, name, value] for group, entries in groups.items() for name, value in entries.items())
    assert from_wheel["entry_points"] == declared
