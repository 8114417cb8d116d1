"""`plugin new, list, show, check, docs`: the author's journey."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.plugin.contract import Breach, check_import
from tests.cli.support import cli, process, write

CONFIG = '[plugins]\nfolder = "plugins"\n'
GOOD = '''\
from orchestrator.plugin import Plugin

shop = Plugin("shop")


@shop.step(effect="none", examples=[{"with": {"cents": 150}, "result": "1.50"}])
def price(cents: int) -> str:
    """A price in words."""
    return f"{cents / 100:.2f}"
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, "orchestrator.toml", CONFIG)
    write(tmp_path, "plugins/shop.py", GOOD)
    return tmp_path


def test_a_new_package_keeps_the_contract(tmp_path: Path) -> None:
    assert cli("plugin", "new", "acme-crm", cwd=tmp_path).code == 0
    package = tmp_path / "acme-crm"
    assert (package / "acme_crm" / "crm.plugin.json").is_file()
    done = process("plugin", "check", "--json", cwd=package)
    assert (done.code, done.json["data"]) == (0, {"checked": ["crm.greet"], "breaches": []})


def test_a_manifest_that_is_out_of_date_is_a_breach_with_a_fix(tmp_path: Path) -> None:
    cli("plugin", "new", "acme-crm", cwd=tmp_path)
    source = tmp_path / "acme-crm" / "acme_crm" / "__init__.py"
    source.write_text(source.read_text("utf-8").replace("What to say.", "What to tell."), "utf-8")
    done = process("plugin", "check", cwd=tmp_path / "acme-crm")
    assert (done.code, "crm.plugin.json is not what the code says" in done.out) == (3, True)
    assert process("plugin", "check", "--fix", cwd=tmp_path / "acme-crm").code == 0
    assert process("plugin", "check", cwd=tmp_path / "acme-crm").code == 0


def test_a_package_that_cannot_be_imported_is_told(tmp_path: Path) -> None:
    cli("plugin", "new", "acme-crm", cwd=tmp_path)
    write(tmp_path, "acme-crm/acme_crm/__init__.py", "import no_such_module\n")
    done = process("plugin", "check", cwd=tmp_path / "acme-crm")
    assert (done.code, "Traceback" in done.err) == (3, False)
    assert "no_such_module" in done.out


def test_a_local_plugin_is_made_found_and_called(project: Path) -> None:
    assert cli("plugin", "new", "greeting", "--local", cwd=project).code == 0
    done = process("run", "--step", "greeting.greet", "-i", "text=Hello", cwd=project)
    assert (done.code, json.loads(done.out)) == (0, "Hello!")
    assert cli("plugin", "new", "greeting", "--local", cwd=project).code == 7


def test_a_local_plugin_needs_a_folder(tmp_path: Path) -> None:
    done = cli("plugin", "new", "greeting", "--local", cwd=tmp_path)
    assert (done.code, "[plugins] folder" in done.err) == (2, True)


@pytest.mark.parametrize("name", ["Acme", "a b", "../x", "http"])
def test_a_name_that_no_plugin_may_have_is_refused(name: str, tmp_path: Path) -> None:
    done = cli("plugin", "new", name, cwd=tmp_path)
    assert (done.code, list(tmp_path.iterdir())) == (2, [])


def test_the_list_shows_own_callables_and_what_is_broken(project: Path) -> None:
    write(project, "plugins/bad.py", "def broken(:\n")
    done = cli("plugin", "list", cwd=project)
    assert done.code == 0
    assert "shop.price" in done.out and "http" in done.out
    assert "bad.py" in done.err


def test_the_list_as_json_names_providers(project: Path) -> None:
    data = cli("plugin", "list", "--json", cwd=project).json["data"]
    providers = {entry["name"]: entry["provider"] for entry in data["callables"]}
    assert (providers["shop.price"], providers["http.get"]) == ("plugins/shop.py", "bundled")


def test_show_prints_the_help_of_a_callable_or_a_namespace(project: Path) -> None:
    assert "`cents`" in cli("plugin", "show", "shop.price", cwd=project).out
    assert cli("plugin", "show", "http", cwd=project).out.count("## `http.") >= 5
    assert cli("plugin", "show", "shop.price", "--json", cwd=project).json["data"][0]["name"] == "shop.price"


def test_an_unknown_callable_gets_a_suggestion(project: Path) -> None:
    done = cli("plugin", "show", "shop.prise", cwd=project)
    assert (done.code, "did you mean `shop.price`?" in done.err) == (6, True)


def test_check_finds_a_broken_promise(project: Path) -> None:
    write(project, "plugins/shop.py", GOOD.replace('"1.50"', '"1,50"').replace('    """A price in words."""\n', ""))
    done = process("plugin", "check", cwd=project)
    assert done.code == 3
    assert "[help]" in done.out and "[example]" in done.out


def test_check_finds_a_side_effect_of_importing(project: Path) -> None:
    write(project, "plugins/shop.py", GOOD + '\nopen("made.txt", "w").close()\n')
    done = process("plugin", "check", "shop", cwd=project)
    assert (done.code, "made.txt" in done.out) == (3, True)


def test_check_is_quiet_about_a_good_plugin(project: Path) -> None:
    done = process("plugin", "check", cwd=project)
    assert (done.code, done.out, done.err) == (0, "", "1 callable checked: all kept\n")


def test_docs_are_markdown_of_what_the_project_provides(project: Path) -> None:
    cli("plugin", "docs", "-o", "shop.md", cwd=project)
    assert (project / "shop.md").read_text("utf-8").startswith("# shop\n")
    assert cli("plugin", "docs", "text.slug", cwd=project).out.startswith("# text\n")


def test_check_names_what_is_broken_and_checks_the_others_all_the_same(project: Path) -> None:
    write(project, "plugins/shop.py", GOOD.replace('"1.50"', '"1,50"'))
    write(project, "plugins/typo.py", "def broken(:\n")
    done = process("plugin", "check", cwd=project)
    assert (done.code, "[PLG002]" in done.out, "[example]" in done.out) == (3, True, True)


@pytest.mark.parametrize("line", ["raise SystemExit(0)", "import os; os._exit(0)"])
def test_a_plugin_that_ends_the_process_when_imported_breaks_its_contract(line: str) -> None:
    breaches = check_import_of(line)
    assert [breach.rule for breach in breaches] == ["import"]
    assert "it ends the process" in breaches[0].message


def check_import_of(line: str) -> tuple[Breach, ...]:
    with TemporaryDirectory() as folder:
        Path(folder, "ends_at_import.py").write_text(line + "\n", "utf-8")
        return check_import("ends_at_import", (folder,))


def test_a_step_that_exits_at_import_fails_the_command(project: Path) -> None:
    write(project, "plugins/shop.py", GOOD + "\nraise SystemExit(0)\n")
    done = process("run", "--step", "shop.price", "-i", "cents=150", cwd=project)
    assert (done.code, "cannot be imported: SystemExit: 0" in done.err) == (10, True)
