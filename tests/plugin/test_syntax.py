"""Files read from their syntax tree give the same descriptions as imported ones, and run nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import PluginError
from orchestrator.plugin.catalog import Catalog
from orchestrator.plugin.config import ProjectConfig
from orchestrator.plugin.loading import load_from_file
from orchestrator.plugin.signature import describe
from orchestrator.plugin.syntax import scan_folder

SAMPLE = Path(__file__).parent / "sample"
BUNDLED = sorted((Path(__file__).parents[2] / "plugins" / "orchestrator_plugins").glob("[a-z]*.py"))
SAMPLE_NAMES = ("crm.plain", "crm.full", "crm.rate", "crm.chunks", "crm.decide", "other.thing")


def project(root: Path, **files: str) -> Catalog:
    """A catalog over a project whose plugin folder holds these files."""
    folder = root / "plugins"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return Catalog(ProjectConfig(root=root, plugins_folder="plugins"))


def test_a_folder_is_listed_with_every_step_and_no_private_function() -> None:
    found = {name for scan in scan_folder(SAMPLE) for name in scan.steps}
    assert found == set(SAMPLE_NAMES)


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_the_unread_description_equals_the_imported_one(name: str) -> None:
    step = next(s.steps[name] for s in scan_folder(SAMPLE) if name in s.steps)
    live = describe(load_from_file(SAMPLE, SAMPLE / "crm.py", name), provider=step.provider)
    assert step.info() == live
    assert step.info().to_json() == live.to_json()


@pytest.mark.parametrize("file", [f for f in BUNDLED if f.name != "__init__.py"], ids=lambda f: f.stem)
def test_bundled_sources_read_the_same_as_their_manifest(file: Path) -> None:
    from orchestrator.plugin.syntax import scan_file

    scan = scan_file(file, loader_of=lambda name: lambda: None, provider="bundled")
    catalog = Catalog()
    assert scan.faults == []
    for name, step in scan.steps.items():
        assert step.info().to_json() == catalog.get(name).to_json()  # type: ignore[union-attr]


def test_checking_a_file_runs_nothing_of_it(tmp_path: Path) -> None:
    source = f"""
from orchestrator.plugin import Plugin
open({str(tmp_path / "ran")!r}, "w").close()
p = Plugin("bad")
@p.step(effect="none")
def f(x: int = open({str(tmp_path / "ran")!r}, "w")) -> int: ...
"""
    catalog = project(tmp_path, bad=source)
    info = catalog.get("bad.f")
    assert info is not None
    assert info.fields == {"x": {"type": "integer"}}
    assert not (tmp_path / "ran").exists()


def test_a_callable_of_a_file_is_imported_when_it_is_run(tmp_path: Path) -> None:
    source = "from orchestrator.plugin import register\n@register('a.b')\ndef f(x: int) -> int: return x + 1\n"
    info = project(tmp_path, a=source).get("a.b")
    assert info is not None
    assert info.load()(1) == 2


def test_what_a_project_file_registers_stays_in_that_project(tmp_path: Path) -> None:
    source = "from orchestrator.plugin import register\n@register('a.only')\ndef f() -> int: return 1\n"
    info = project(tmp_path, a=source).get("a.only")
    assert info is not None
    info.load()
    assert Catalog().get("a.only") is None


def test_an_unknown_type_reads_as_any_value_with_a_note(tmp_path: Path) -> None:
    source = (
        "from orchestrator.plugin import register\nimport pandas\n@register('a.b')\ndef f(x: pandas.DataFrame): ...\n"
    )
    info = project(tmp_path, a=source).get("a.b")
    assert info is not None
    assert info.fields == {"x": {}}
    assert "pandas.DataFrame is not known" in info.notes[0]


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("def f(:", "PLG002", "a.py:1: invalid syntax"),
        ("x = '\\ud800' + ", "PLG002", "a.py:2"),
        ("@register('a.b')\ndef f(*args): ...", "PLG003", "parameter args of a.b has no name"),
        ("@register('a.b')\ndef f(x, /): ...", "PLG003", "parameter x of a.b"),
        ("@register('a.b', efect='none')\ndef f(): ...", "PLG003", "efect is no option"),
        ("@register('a.b', effect='pure')\ndef f(): ...", "PLG003", 'effect "pure"'),
        ("@register('a.b', errors=codes())\ndef f(): ...", "PLG003", "must be a literal"),
        ("@register('a.b')\ndef f(): ...\n@register('a.b')\ndef g(): ...", "PLG005", "defined twice"),
        ("@register('Bad Name')\ndef f(): ...", "PLG003", "not a callable's name"),
    ],
)
def test_a_fault_is_a_finding_with_its_place(tmp_path: Path, source: str, code: str, words: str) -> None:
    catalog = project(
        tmp_path,
        a="from orchestrator.plugin import register; " + source
        if "def f(:" in source
        else f"from orchestrator.plugin import register\n{source}\n",
    )
    found = catalog.problems()
    assert [p.code for p in found] == [code]
    assert words in found[0].message
    assert str(found[0].origin).startswith(str(tmp_path / "plugins" / "a.py"))


def test_one_broken_file_leaves_the_others_alone(tmp_path: Path) -> None:
    good = "from orchestrator.plugin import register\n@register('good.f')\ndef f() -> int: return 1\n"
    catalog = project(tmp_path, broken="def (", good=good)
    assert catalog.get("good.f") is not None
    problem = catalog.problem("broken.anything")
    assert problem is not None
    assert problem.code == "PLG002"


def test_a_file_that_fails_at_import_fails_when_run_not_when_checked(tmp_path: Path) -> None:
    source = "from orchestrator.plugin import register\n1 / 0\n@register('a.b')\ndef f() -> int: return 1\n"
    info = project(tmp_path, a=source).get("a.b")
    assert info is not None
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        info.load()


def test_a_changed_file_is_read_again_after_refresh(tmp_path: Path) -> None:
    text = "from orchestrator.plugin import register\n@register('a.b')\ndef f(x: int) -> int: return {}\n"
    catalog = project(tmp_path, a=text.format(1))
    assert catalog.get("a.b").load()(0) == 1  # type: ignore[union-attr]
    (tmp_path / "plugins" / "a.py").write_text(text.format(2).replace("x: int", "y: str"))
    catalog.refresh()
    info = catalog.get("a.b")
    assert info is not None
    assert (list(info.fields), info.load()("")) == (["y"], 2)


def test_a_project_cannot_take_a_bundled_name(tmp_path: Path) -> None:
    source = "from orchestrator.plugin import register\n@register('http.mine')\ndef f() -> int: return 1\n"
    catalog = project(tmp_path, a=source)
    assert catalog.get("http.mine") is None
    assert catalog.problem("http.mine").code == "PLG005"  # type: ignore[union-attr]
    assert catalog.get("http.get") is not None


def test_a_missing_folder_is_a_finding(tmp_path: Path) -> None:
    catalog = Catalog(ProjectConfig(root=tmp_path, plugins_folder="plugins"))
    assert [p.code for p in catalog.problems()] == ["PLG001"]
