"""Finding callables: bundled, in code, in a folder, in installed packages; and what a broken one costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.diagnostics import Span
from orchestrator.errors import UsageError
from orchestrator.plugin import Catalog, Plugin, bind, register
from orchestrator.plugin.define import REGISTERED
from tests.test_imports import ROOT, modules_after


def test_listing_and_looking_up_imports_no_plugin_and_no_heavy_library() -> None:
    loaded = modules_after(
        "from orchestrator.plugin.catalog import Catalog; c = Catalog(); c.get('http.get'); c.get('x.y')"
    )
    assert not loaded & {"pydantic", "httpx", "jsonschema", "orchestrator_plugins"}


def test_a_bundled_callable_is_known_with_schema_errors_and_place() -> None:
    info = Catalog().get("http.post")
    assert info is not None
    assert info.required == ("url",)
    assert "http.5xx" in info.errors
    assert info.summary == "Send something new."
    assert str(info.origin).startswith(str(ROOT / "plugins" / "orchestrator_plugins" / "http.py:"))


def test_an_unknown_callable_is_none_with_a_suggestion() -> None:
    catalog = Catalog()
    assert catalog.get("http.pots") is None
    assert catalog.problem("http.pots") is None
    assert catalog.suggest("http.pots") == "http.post"
    assert catalog.suggest("txt.slug") == "text.slug"
    assert catalog.suggest("zzz.qqq") is None


def test_functions_given_by_hand_and_registered_ones_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(customer: str, *, weight: float = 1.0) -> float:
        "Score a customer."
        return weight

    catalog = Catalog(steps={"crm.score": score})
    monkeypatch.setitem(REGISTERED, "crm.late", "taken out again when the test ends")
    del REGISTERED["crm.late"]
    register("crm.late", errors=["crm.gone"])(score)
    assert catalog.get("crm.score").fields["weight"] == {"type": "number", "default": 1.0}  # type: ignore[union-attr]
    assert catalog.get("crm.late").errors == ("crm.gone",)  # type: ignore[union-attr]
    REGISTERED.pop("crm.late")
    assert catalog.get("crm.late") is None


def test_a_function_whose_signature_cannot_be_used_is_a_problem_of_its_own() -> None:
    def broken(x: NoSuchType) -> int:  # type: ignore[name-defined]  # noqa: F821
        return 1

    def good() -> int:
        return 1

    catalog = Catalog(steps={"a.broken": broken, "a.good": good})
    problem = catalog.problem("a.broken")
    assert problem is not None
    finding = problem.at(Span("x.flow.yaml", 3, 11, 3, 19))
    assert catalog.get("a.good") is not None
    assert "NoSuchType" in finding.message
    assert str(finding).startswith("x.flow.yaml:3:11: error[PLG003]")


@pytest.mark.parametrize("name", ["Crm.score", "crm", "crm.", "crm.Score", "crm score", "crm.score!"])
def test_a_name_that_no_flow_could_write_is_refused_at_once(name: str) -> None:
    with pytest.raises(UsageError, match=r"namespace\.verb"):
        register(name)(lambda: None)


def test_two_steps_of_one_name_in_a_plugin_are_refused() -> None:
    plugin = Plugin("x")
    plugin.step(name="a")(lambda: 1)
    with pytest.raises(UsageError, match="two steps"):
        plugin.step(name="a")(lambda: 2)


PACKAGE = '''"""An outside plugin."""
from orchestrator.plugin import Plugin
plugin = Plugin("acme", doc="Outside.")
@plugin.step(effect="none", inline=True, errors=["acme.no"], examples=[{"with": {"title": "Ab"}, "result": "ba"}])
def mirror(title: str) -> str:
    "Write a title backwards."
    return title[::-1].lower()
'''
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "acme-text"
version = "1.2.0"
[project.entry-points."orchestrator.plugins"]
acme = "acme_text:plugin"
[tool.hatch.build.targets.wheel]
packages = ["acme_text"]
"""
USE = """
import asyncio, json, sys
from pathlib import Path
from orchestrator.plugin import bind
from orchestrator.plugin.catalog import Catalog
from orchestrator.plugin.config import load_config
from orchestrator.plugin.hub import ServiceHub
from orchestrator.plugin.services import PlainContext
config, _ = load_config(Path(sys.argv[1]))
catalog = Catalog(config)
info = catalog.get("acme.mirror")
before = "acme_text" in sys.modules
if info is None:
    print(json.dumps({"problem": catalog.problem("acme.mirror").message}))
else:
    services = ServiceHub(config).services(PlainContext(), info)
    result = asyncio.run(bind(info)({"title": "Abc"}, services))
    print(json.dumps({"imported": before, "result": result, "provider": info.provider, "errors": info.errors,
                      "named": "acme.mirror" in catalog.names(), "problems": len(catalog.problems())}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a real wheel of an outside plugin is installed."""
    source, site = tmp_path_factory.mktemp("acme"), tmp_path_factory.mktemp("site")
    (source / "acme_text").mkdir()
    (source / "acme_text" / "__init__.py").write_text(PACKAGE)
    (source / "pyproject.toml").write_text(PROJECT)
    command = [sys.executable, "-m", "orchestrator.plugin.manifest", "acme_text"]
    subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": f"{source}:{ROOT}"}, check=True, capture_output=True)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=source, check=True, capture_output=True
    )
    (wheel,) = (source / "dist").glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    return site


def use(site: Path, project: Path, allow: str) -> str:
    (project / "orchestrator.toml").write_text(f"[plugins]\nallow = [{allow}]\n")
    code = f"import sys; sys.path[:0] = {[str(site), str(ROOT), str(ROOT / 'plugins')]!r}\n{USE}"
    done = subprocess.run([sys.executable, "-c", code, str(project)], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("allow", ['"acme-text"', '"Acme_Text==1.2.0"'])
def test_an_installed_wheel_is_listed_checked_and_run(site: Path, tmp_path: Path, allow: str) -> None:
    out = use(site, tmp_path, allow)
    assert '"imported": false, "result": "cba", "provider": "acme-text 1.2.0", "errors": ["acme.no"]' in out
    assert '"named": true, "problems": 0' in out


@pytest.mark.parametrize(
    ("allow", "words"),
    [
        ("", "installed but not allowed"),
        ('"acme-text==1.1"', "in version 1.2.0, allowed is 1.1"),
        (f'"acme-text==1.2.0#sha256:{"0" * 64}"', "not the ones that were allowed"),
    ],
)
def test_what_the_project_did_not_allow_is_not_used(site: Path, tmp_path: Path, allow: str, words: str) -> None:
    assert words in use(site, tmp_path, allow)


def test_the_hash_of_a_distribution_allows_it_and_sees_a_change(site: Path, tmp_path: Path) -> None:
    from importlib.metadata import Distribution

    from orchestrator.plugin.packages import distribution_hash

    dist = Distribution.at(next(site.glob("*.dist-info")))
    allow = f'"acme-text==1.2.0#sha256:{distribution_hash(dist)}"'
    module = site / "acme_text" / "__init__.py"
    assert '"result": "cba"' in use(site, tmp_path, allow)
    text = module.read_text()
    module.write_text(text + "\n# changed\n")
    try:
        assert "not the ones that were allowed" in use(site, tmp_path, allow)
    finally:
        module.write_text(text)


def test_a_description_read_from_a_manifest_cannot_be_told_from_the_live_one() -> None:
    from orchestrator.plugin.manifest import plugins_in
    from orchestrator.plugin.signature import describe

    ((plugin, _),) = plugins_in("orchestrator_plugins.text")
    for name, step in plugin.steps.items():
        assert Catalog().get(name) == describe(step, provider="bundled")


def test_binding_the_same_callable_again_works_without_a_catalog() -> None:
    info = Catalog().get("text.slug")
    assert info is not None
    assert bind(info).info is info


def test_a_name_that_two_files_define_is_a_finding_where_it_is_called(tmp_path: Path) -> None:
    from orchestrator.plugin.config import ProjectConfig

    for file in ("one.py", "two.py"):
        text = 'from orchestrator.plugin import Plugin\np = Plugin("dup")\n\n\n@p.step(effect="none")\ndef go(a: int) -> int:\n    """Go."""\n    return a\n'
        (tmp_path / file).write_text(text, "utf-8")
    catalog = Catalog(ProjectConfig(root=tmp_path, plugins_folder="."))
    problem = catalog.problem("dup.go")
    assert problem is not None
    assert (problem.code, problem.message) == ("PLG005", "dup.go is defined in one.py too")


def test_an_allowed_package_that_is_not_installed_is_a_finding() -> None:
    from orchestrator.plugin.config import ProjectConfig

    (problem,) = Catalog(ProjectConfig(plugins_allow=("no-such-package",))).problems()
    assert (problem.code, "no-such-package, which is not installed" in problem.message) == ("PLG001", True)
