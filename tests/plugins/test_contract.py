"""Every bundled callable keeps the contract that other people's plugins are held to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.plugin import Catalog, Plugin
from orchestrator.plugin.catalog import BUNDLED
from orchestrator.plugin.contract import check_description, check_import, check_runs
from orchestrator.plugin.info import Example
from orchestrator.plugin.manifest import manifest_path, manifest_text, plugins_in
from orchestrator.plugin.signature import describe
from tests.support.calling import Caller

CATALOG = Catalog()
NAMES = [name for name in CATALOG.names() if name.partition(".")[0] in BUNDLED]
ROOT = Path(__file__).parents[2]


def test_the_callables_that_the_language_promises_are_there() -> None:
    verbs = ("get", "post", "put", "patch", "delete", "head", "request")
    assert {f"http.{verb}" for verb in verbs} | {"llm.chat", "process.run", "files.read", "notify.slack"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_description_keeps_the_rules(name: str) -> None:
    info = CATALOG.get(name)
    assert info is not None
    assert check_description(info) == ()


@pytest.mark.anyio
@pytest.mark.parametrize("name", NAMES)
async def test_examples_run_and_obey_cancellation(name: str, tmp_path: Path) -> None:
    info = CATALOG.get(name)
    assert info is not None
    assert await check_runs(info, tmp_path) == ()


@pytest.mark.parametrize("namespace", BUNDLED)
def test_importing_a_bundled_plugin_is_cheap_and_does_nothing(namespace: str) -> None:
    assert check_import(f"orchestrator_plugins.{namespace}", (str(ROOT), str(ROOT / "plugins"))) == ()


@pytest.mark.parametrize("namespace", BUNDLED)
def test_the_shipped_manifest_is_what_the_code_says(namespace: str) -> None:
    """If this fails: python -m orchestrator.plugin.manifest orchestrator_plugins.<namespace>"""
    ((plugin, source),) = plugins_in(f"orchestrator_plugins.{namespace}")
    assert manifest_path(source, namespace).read_text() == manifest_text(plugin)


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith(("text.", "data."))])
def test_a_pure_callable_shows_at_least_one_example(name: str) -> None:
    info = CATALOG.get(name)
    assert info is not None
    assert any(example.has_result for example in info.examples)


@pytest.mark.parametrize("namespace", BUNDLED)
def test_every_error_code_that_a_source_raises_is_declared(namespace: str) -> None:
    source = (ROOT / "plugins" / "orchestrator_plugins" / f"{namespace}.py").read_text()
    raised = set(re.findall(r'StepError\(\s*"([a-z_.]+)"', source)) - {"type.payload"}
    declared = {code for name in NAMES if name.startswith(f"{namespace}.") for code in CATALOG.get(name).errors}  # type: ignore[union-attr]
    assert raised - declared == set()


bad = Plugin("bad")


@bad.step(errors=["Wrong Code"], effect="none", examples=[{"with": {"n": 1}, "result": 3}, {"with": {"m": 1}}])
def silent(n: int) -> int:
    return n + 1


@bad.step(effect="none", examples=[Example({"n": 1})])
async def stubborn(n: int) -> int:
    "Goes on when it is cancelled."
    import asyncio

    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        await asyncio.sleep(3)
    return n


def test_the_contract_sees_missing_help_bad_codes_and_bad_examples() -> None:
    found = {b.rule for b in check_description(describe(bad.steps["bad.silent"], provider="test"))}
    assert found == {"help", "errors", "example"}


@pytest.mark.anyio
async def test_the_contract_sees_a_wrong_result_and_a_deaf_callable(monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.plugin import contract

    monkeypatch.setattr(contract, "EXAMPLE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(contract, "CANCEL_TIMEOUT_S", 0.1)
    wrong = await check_runs(describe(bad.steps["bad.silent"], provider="test"))
    deaf = await check_runs(describe(bad.steps["bad.stubborn"], provider="test"))
    assert "gives 2, not 3" in wrong[0].message
    assert "cancel" in {b.rule for b in deaf}


def test_the_contract_sees_what_an_import_does(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(
        f"open({str(tmp_path / 'x')!r}, 'w').close()\nimport socket; socket.socket().bind(('127.0.0.1', 0))\n"
    )
    (tmp_path / "broken.py").write_text("1 / 0")
    path = (str(tmp_path), str(ROOT))
    assert len(check_import("noisy", path)) == 2
    assert "ZeroDivisionError" in check_import("broken", path)[0].message


@pytest.mark.anyio
async def test_a_wrong_input_is_told_for_every_bundled_callable(tmp_path: Path) -> None:
    call = Caller(root=tmp_path)
    for name in NAMES:
        error = await call.error(name, no_such_field=1)
        assert error.code == "type.payload", name
