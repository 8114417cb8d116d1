"""`doctor`, and what `check` says about runs that keep an older version of a flow."""

from __future__ import annotations

import re
import sqlite3
import tomllib
from pathlib import Path

import pytest

from orchestrator.cli.doctoring import EXTRAS
from tests.cli.support import ASK, HELLO, ROOT, Done, cli, write


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, "orchestrator.toml", "")
    write(tmp_path, "ask.flow.yaml", ASK)
    return tmp_path


def doctor(project: Path, *args: str) -> tuple[Done, dict[str, list[tuple[str, str]]]]:
    """What `doctor` found: name -> (level, message)."""
    done = cli("doctor", "--json", *args, cwd=project)
    found: dict[str, list[tuple[str, str]]] = {}
    for look in done.json["data"]:
        found.setdefault(look["name"], []).append((look["level"], look["message"]))
    return done, found


def test_a_well_project_has_no_problem(project: Path) -> None:
    done = cli("doctor", cwd=project)
    assert done.code == 0
    assert done.err == "0 problems, 0 warnings\n"
    assert "flows         1 flow, none with errors" in done.out
    assert "the first run makes it" in done.out


def test_what_is_broken_is_named_and_exit_10(project: Path) -> None:
    write(project, "bad.flow.yaml", HELLO.replace("text.slug", "text.slugg"))
    write(project, "orchestrator.toml", '[plugins]\nfolder = "nowhere"\n')
    done, found = doctor(project)
    assert done.code == 10
    assert [level for level, _ in found["plugins"] + found["flows"]] == ["error", "error"]
    assert "bad.flow.yaml: 1 error" in found["flows"][0][1]


def test_a_plugin_that_cannot_be_imported_is_an_error_with_its_reason(project: Path) -> None:
    write(project, "orchestrator.toml", '[plugins]\nfolder = "plugins"\n')
    code = '1 / 0\nfrom orchestrator.plugin import Plugin\nshop = Plugin("shop")\n\n\n'
    write(
        project,
        "plugins/shop.py",
        code + '@shop.step\ndef price(cents: int) -> str:\n    "In words."\n    return "1"\n',
    )
    done, found = doctor(project)
    [(level, message)] = found["plugins"]
    assert (done.code, level) == (10, "error")
    assert message.startswith("plugins/shop.py cannot be imported: ZeroDivisionError: division by zero")


def test_a_plugin_whose_library_is_missing_is_one_error(project: Path) -> None:
    write(project, "orchestrator.toml", '[plugins]\nfolder = "plugins"\n')
    step = (
        'from orchestrator.plugin import Plugin\nshop = Plugin("shop")\n@shop.step\ndef price(cents: int) -> str: ...\n'
    )
    write(project, "plugins/shop.py", f"import no_such_library\n{step}")
    done, found = doctor(project)
    [(level, message)] = found["plugins"]
    assert (done.code, level) == (10, "error")
    assert message.startswith("PLG006 plugins/shop.py imports `no_such_library`, which is not installed here")


def test_a_secret_that_is_not_set_is_a_warning(project: Path) -> None:
    write(project, "s.flow.yaml", HELLO.replace("steps:", "secrets: [NO_SUCH_TOKEN]\nsteps:", 1))
    _, found = doctor(project)
    assert found["secrets"][0][0] == "warning"
    assert "NO_SUCH_TOKEN" in found["secrets"][0][1]


def test_a_flow_that_asks_a_model_needs_one(project: Path) -> None:
    write(
        project,
        "s.flow.yaml",
        HELLO.replace("text.slug", "llm.chat").replace("      text: Hello", "      prompt: Hello"),
    )
    _, found = doctor(project)
    assert found["model"] == [("warning", "none is configured, and s.flow.yaml asks one")]


def test_the_store_is_looked_over(project: Path) -> None:
    cli("run", "ask.flow.yaml", "-i", "title=T", "-q", cwd=project)
    _, found = doctor(project)
    (level, message) = found["store"][0]
    assert (level, "1 waiting; 1 open request" in message) == ("ok", True)
    assert found["disk"][0][1].startswith("a flush takes")
    assert found["audit"][0][0] == "ok"


def test_a_changed_audit_log_is_an_error(project: Path) -> None:
    cli("run", "ask.flow.yaml", "-i", "title=T", "-q", cwd=project)
    with sqlite3.connect(project / ".orchestrator" / "runs.db") as db:
        db.execute("UPDATE audit SET actor = 'eve' WHERE id = 1")
    db.close()
    done, found = doctor(project)
    assert (done.code, found["audit"][0][0]) == (10, "error")


def test_a_store_that_is_no_database_is_an_error(project: Path) -> None:
    write(project, ".orchestrator/runs.db", "no database at all " * 100)
    done, found = doctor(project)
    assert (done.code, found["store"][0][0]) == (10, "error")


def changed(project: Path) -> None:
    write(project, "ask.flow.yaml", ASK.replace("Publish ${{", "Really publish ${{"))


def test_check_says_which_runs_keep_an_older_version(project: Path) -> None:
    cli("run", "ask.flow.yaml", "-i", "title=T", "-q", cwd=project)
    assert "unfinished" not in cli("check", cwd=project).err
    changed(project)
    done = cli("check", cwd=project)
    assert done.code == 0
    assert "`ask-first`: 1 unfinished run keeps version" in done.err
    assert "`orchestrator migrate ask.flow.yaml` moves it" in done.err
    assert cli("check", "--json", cwd=project).json["data"]["waiting"][0]["runs"] == 1


def test_migrating_settles_it(project: Path) -> None:
    cli("run", "ask.flow.yaml", "-i", "title=T", "-q", cwd=project)
    changed(project)
    assert cli("migrate", "ask.flow.yaml", cwd=project).code == 0
    assert "unfinished" not in cli("check", cwd=project).err


def test_a_comment_makes_no_new_version(project: Path) -> None:
    cli("run", "ask.flow.yaml", "-i", "title=T", "-q", cwd=project)
    write(project, "ask.flow.yaml", "# a comment\n" + ASK.replace("emit:", "emit:   # and another"))
    assert "unfinished" not in cli("check", cwd=project).err


def test_check_leaves_a_foreign_file_alone(project: Path) -> None:
    file = write(project, ".orchestrator/runs.db", "no database at all " * 100)
    assert cli("check", cwd=project).code == 0
    assert file.read_text("utf-8") == "no database at all " * 100


def test_doctor_knows_every_extra_and_the_readme_names_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = set(project["optional-dependencies"]) - {"dev"}
    assert set(EXTRAS) == extras
    table = (ROOT / "README.md").read_text("utf-8").partition("| extra |")[2].partition("\n\n")[0]
    assert extras - set(re.findall(r"`(\w+)`", table)) == set()
