"""The author's journey: scaffold, contract, manifest, help text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.plugin import Catalog
from orchestrator.plugin.config import ProjectConfig
from orchestrator.plugin.help_text import callable_markdown, plugin_markdown, type_text
from orchestrator.plugin.scaffold import local_file, package_files
from tests.test_imports import ROOT


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize("name", ["acme-crm", "acme-text", "crm"])
def test_a_new_package_passes_its_own_tests_at_once(tmp_path: Path, name: str) -> None:
    write(tmp_path, package_files(name))
    path = f"{tmp_path}:{ROOT}:{ROOT / 'plugins'}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": path, "PATH": ""}, capture_output=True, text=True, check=False
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_a_new_local_file_is_found_and_described(tmp_path: Path) -> None:
    write(tmp_path / "plugins", local_file("crm"))
    info = Catalog(ProjectConfig(root=tmp_path, plugins_folder="plugins")).get("crm.greet")
    assert info is not None
    assert info.fields["text"] == {"type": "string", "description": "What to say."}
    assert info.load()("hi") == "hi!"


@pytest.mark.parametrize("name", ["http", "Acme", "a b", "../x", "-x", ""])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        package_files(name)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (True, "any"),
        ({"type": "string"}, "str"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "str | null"),
        ({"type": "array", "items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"enum": ["x", 1]}}}, "[x | 1]"),
        ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, "{a: int, b?: any}"),
        ({"type": "string", "format": "duration"}, "duration"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}, "type": "array"}}}, "[[any]]"),
    ],
)
def test_a_schema_is_shown_in_the_words_of_the_language(schema: object, text: str) -> None:
    assert type_text(schema) == text


def test_help_names_fields_types_defaults_errors_and_examples() -> None:
    info = Catalog().get("text.slug")
    assert info is not None
    page = callable_markdown(info)
    assert "| `max_length` | `int` | `80` | Cut at a word that still fits. |" in page
    assert "| `text` | `str` | required | The title. |" in page
    assert "**Result** `str`" in page
    assert 'text: "Über uns: Straßen & Plätze!"' in page


def test_a_plugins_page_has_every_callable_in_order() -> None:
    catalog = Catalog()
    infos = [catalog.get(name) for name in catalog.names() if name.startswith("notify.")]
    page = plugin_markdown("notify", "Tell people.", [i for i in infos if i])
    assert [line for line in page.splitlines() if line.startswith("##")] == [
        "## `notify.email`",
        "## `notify.people_by_mail`",
        "## `notify.people_by_slack`",
        "## `notify.slack`",
        "## `notify.webhook`",
    ]
