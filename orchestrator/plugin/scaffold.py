"""The files of a new plugin: a package to publish, or one file for a project's plugin folder. Writes nothing itself."""

from __future__ import annotations

import re

from orchestrator.errors import UsageError

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")

_MODULE = '''"""{title}: callables for orchestrator flows."""

from __future__ import annotations

from typing import Annotated

from orchestrator.plugin import Plugin, StepError

{namespace} = Plugin("{namespace}", doc="{title}.")


@{namespace}.step(
    errors=["{namespace}.empty"],
    effect="none",
    inline=True,
    examples=[{{"with": {{"text": "Hello World"}}, "result": "Hello World!"}}],
)
def greet(
    text: Annotated[str, "What to say."],
    mark: Annotated[str, "What to end with."] = "!",
) -> str:
    """Say something with emphasis."""
    if not text.strip():
        raise StepError("{namespace}.empty", "there is nothing to say")
    return text + mark
'''

_TEST = '''"""The plugin keeps the contract, and does what it says."""

import asyncio

import pytest

from {module} import {namespace}, greet
from orchestrator.plugin import StepError
from orchestrator.plugin.contract import check_description, check_import, check_runs
from orchestrator.plugin.signature import describe

INFOS = [describe(step, provider="{name}") for step in {namespace}.steps.values()]


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)
def test_the_contract_is_kept(info):
    assert check_description(info) == ()
    assert asyncio.run(check_runs(info)) == ()


def test_importing_does_nothing():
    assert check_import("{module}") == ()


def test_an_empty_text_is_an_error():
    with pytest.raises(StepError):
        greet(" ")
'''

_PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.1.0"
description = "{title} for orchestrator flows"
readme = "README.md"
requires-python = ">=3.11"
keywords = ["orchestrator-plugin"]
dependencies = ["orchestrator-flows"]

[project.optional-dependencies]
dev = ["pytest"]

[project.entry-points."orchestrator.plugins"]
{namespace} = "{module}:{namespace}"

[tool.hatch.build.targets.wheel]
packages = ["{module}"]
"""

_CONFIG = """# For trying the plugin out in this folder: `orchestrator run --step`, `plugin list`, `plugin docs`, `dev`.
[plugins]
folder = "."
"""

_README = """# {name}

{title} for [orchestrator](https://pypi.org/project/orchestrator-flows/) flows.

```yaml
steps:
  hello:
    on: Start
    call: {namespace}.greet
    with:
      text: ${{{{ inputs.name }}}}
    emit: Stop
```

Allow it in the project's `orchestrator.toml`:

```toml
[plugins]
allow = ["{name}==0.1.0"]
```

In this folder, without installing anything: `orchestrator run --step {namespace}.greet -i text=Hello` calls a step,
`orchestrator plugin check` holds the plugin to the contract (`--fix` writes `{module}/{namespace}.plugin.json`, by which flows
are checked without importing the package), `orchestrator plugin docs` writes its reference. `python -m build` builds it.
Modules of the package import each other by `from .other import …`.
"""

_WORKFLOW = """on: [push]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install -e .[dev]
      - run: python -m orchestrator.plugin.manifest {module} && git diff --exit-code
      - run: python -m pytest
"""


def package_files(name: str) -> dict[str, str]:
    """A publishable plugin: path -> text. `acme-text` is a distribution whose namespace is `text`. Raises: UsageError."""
    words = _words(name)
    values = {
        "name": name,
        "module": name.replace("-", "_"),
        "namespace": words["namespace"],
        "title": name.replace("-", " ").capitalize(),
    }
    return {
        "pyproject.toml": _PROJECT.format(**values),
        "orchestrator.toml": _CONFIG,
        f"{values['module']}/__init__.py": _MODULE.format(**values),
        "tests/test_contract.py": _TEST.format(**values),
        "README.md": _README.format(**values),
        ".github/workflows/test.yml": _WORKFLOW.format(**values),
        ".gitignore": "__pycache__/\ndist/\n.venv/\n",
    }


def local_file(name: str) -> dict[str, str]:
    """One file for the project's plugin folder: path -> text. Raises: UsageError."""
    namespace = _words(name)["namespace"]
    return {f"{namespace}.py": _MODULE.format(namespace=namespace, title=namespace.capitalize())}


def _words(name: str) -> dict[str, str]:
    from orchestrator.plugin.catalog import BUNDLED

    if not _NAME.match(name):
        raise UsageError(f'"{name}" cannot be a plugin\'s name; use lower-case words and hyphens, such as acme-crm')
    namespace = name.rpartition("-")[2] if not name.rpartition("-")[2][0].isdigit() else name.replace("-", "_")
    if namespace in BUNDLED:
        namespace = name.replace("-", "_")
    if namespace in BUNDLED:
        raise UsageError(f'"{namespace}" is a bundled plugin; choose a name such as acme-{namespace}')
    return {"namespace": namespace}
