"""A plugin package outside of the tree: made, built as a wheel, installed beside ours, listed, completed, checked and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import process, write
from tests.test_wheel import ROOT, new_environment, run

FLOW = """\
flow: hello
inputs: {name: str}
outputs: {text: str}
steps:
  greet:
    on: Start
    call: crm.greet
    with: {text: "${{ inputs.name }}"}
    emit: {event: Stop, with: {text: "${{ result }}"}}
"""
ALLOWED = '[plugins]\nallow = ["acme-crm==0.1.0"]\n'


class Site:
    """A project of somebody who has installed both wheels."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder, self.python = folder, python

    def orc(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command line in the project."""
        given = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [str(self.python), "-m", "orchestrator", *words],
            cwd=self.folder,
            env=given | {"NO_COLOR": "1"} | env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *words: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self.orc(*words, "--json").stdout)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("author")
    made = process("plugin", "new", "acme-crm", cwd=folder)
    assert made.code == 0, made.err
    return folder / "acme-crm"


@pytest.fixture(scope="module")
def site(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    wheels = tmp_path_factory.mktemp("wheels")
    for source in (ROOT, package):
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels, cwd=source)
    python = new_environment(tmp_path_factory.mktemp("venv"))
    flags = ("--no-deps", "--no-index", "--disable-pip-version-check", "--ignore-installed")
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", *flags, *wheels.glob("*.whl"), cwd=wheels)
    return Site(tmp_path_factory.mktemp("site"), python)


@pytest.fixture
def project(site: Site) -> Site:
    shutil.rmtree(site.folder)
    write(site.folder, "orchestrator.toml", ALLOWED)
    write(site.folder, "hello.flow.yaml", FLOW)
    return site


def test_a_new_package_is_called_listed_checked_and_documented_where_it_is_written(package: Path) -> None:
    assert json.loads(process("run", "--step", "crm.greet", "-i", "text=Hi", cwd=package).out) == "Hi!"
    assert "crm.greet" in process("plugin", "list", cwd=package).out
    assert process("plugin", "check", cwd=package).code == 0
    assert "What to say." in process("plugin", "docs", cwd=package).out


def test_the_installed_package_is_listed_and_shown(project: Site) -> None:
    entries = {e["name"]: e for e in project.json("plugin", "list")["data"]["callables"]}
    assert entries["crm.greet"]["provider"] == "acme-crm 0.1.0"
    assert project.json("plugin", "show", "crm.greet")["data"][0]["input"]["required"] == ["text"]


def test_it_is_completed_in_shells_and_known_to_editors(project: Site) -> None:
    done = project.orc(
        _ORCHESTRATOR_COMPLETE="bash_complete", COMP_WORDS="orchestrator plugin show crm.", COMP_CWORD="3"
    )
    assert "plain,crm.greet" in done.stdout
    assert '"crm.greet"' in project.orc("schema").stdout


def test_a_flow_that_uses_it_is_checked_without_importing_it_and_runs(project: Site) -> None:
    done = project.orc("check", PYTHONVERBOSE="1")
    assert done.returncode == 0 and "import 'acme_crm'" not in done.stderr
    run_it = project.orc("run", "hello.flow.yaml", "-i", "name=Ada", "--json", PYTHONVERBOSE="1")
    assert json.loads(run_it.stdout)["data"]["outputs"] == {"text": "Ada!"}
    assert "import 'acme_crm'" in run_it.stderr


def test_a_wrong_field_of_it_is_a_finding(project: Site) -> None:
    write(project.folder, "hello.flow.yaml", FLOW.replace('{text: "${{ inputs', '{txt: "${{ inputs'))
    codes = [d["code"] for d in project.json("check")["diagnostics"]]
    assert "FLW505" in codes


@pytest.mark.parametrize(
    ("allow", "said"),
    [
        ("[]", "installed but not allowed"),
        ('["acme-crm==0.2.0"]', "allowed is 0.2.0"),
        (f'["acme-crm==0.1.0#sha256:{0:064d}"]', "not the ones that were allowed"),
    ],
)
def test_a_package_that_is_not_allowed_is_a_finding_at_its_call_and_in_doctor(
    project: Site, allow: str, said: str
) -> None:
    write(project.folder, "orchestrator.toml", f"[plugins]\nallow = {allow}\n")
    (found,) = project.json("check")["diagnostics"]
    assert found["code"] == "PLG004" and said in found["message"]
    assert said in project.orc("doctor").stdout


def test_the_pin_that_list_prints_allows_these_files_only(project: Site) -> None:
    (pin,) = project.json("plugin", "list", "--pins")["data"]["pins"]
    write(project.folder, "orchestrator.toml", f'[plugins]\nallow = ["{pin}"]\n')
    assert project.orc("check").returncode == 0
    found = run(
        project.python, "-c", "import importlib.util as u; print(u.find_spec('acme_crm').origin)", cwd=project.folder
    )
    source = Path(found.strip())
    before = source.read_text("utf-8")
    try:
        source.write_text(before + "\n# changed\n", "utf-8")
        assert project.orc("check").returncode == 3
    finally:
        source.write_text(before, "utf-8")


def test_a_package_whose_code_is_broken_is_an_error_of_the_run_and_no_dead_command(project: Site) -> None:
    where = run(
        project.python, "-c", "import importlib.util as u; print(u.find_spec('acme_crm').origin)", cwd=project.folder
    )
    source = Path(where.strip())
    before = source.read_text("utf-8")
    try:
        source.write_text("import no_such_module\n", "utf-8")
        (found,) = project.json("check")["diagnostics"]
        assert (found["code"], found["line"], found["related"][0]["line"]) == ("PLG006", 7, 1)
        assert "acme-crm should name it under its dependencies" in found["help"]
        assert "PLG006" in project.orc("doctor").stdout
        source.write_text("1 / 0\n", "utf-8")
        done = project.orc("run", "hello.flow.yaml", "-i", "name=Ada", "--store", "memory:")
        assert done.returncode != 0 and "ZeroDivisionError" in done.stderr and "Traceback" not in done.stderr
        assert "acme-crm 0.1.0 cannot be imported: ZeroDivisionError" in project.orc("doctor").stdout
        assert project.orc("plugin", "list").returncode == 0
    finally:
        source.write_text(before, "utf-8")
