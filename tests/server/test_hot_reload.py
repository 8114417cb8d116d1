"""`dev` takes in changed plugins: what waits goes on with the code that is there, and is set aside while it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.authoring.project import Project
from orchestrator.server.opening import open_desk
from orchestrator.server.operations import StartOrder, start_run
from orchestrator.server.reload import Reloader
from tests.cli.support import write

pytestmark = pytest.mark.anyio
FLOW = """\
flow: sell
outputs: {first: str, text: str}
state: {first: ""}
events:
  Paid: {external: true}
  Tagged: {}
steps:
  before:
    on: Start
    call: shop.tag
    with: {text: a}
    emit: {event: Tagged, set: {first: "${{ result }}"}}
  pay:
    on: Tagged
    wait: {event: Paid}
  tag:
    on: pay
    call: shop.tag
    with: {text: b}
    emit: {event: Stop, with: {first: "${{ state.first }}", text: "${{ result }}"}}
"""
PLUGIN = """\
from orchestrator.plugin import Plugin

shop = Plugin("shop")


@shop.step(effect="none")
def tag(text: str) -> str:
    "Tag a text."
    return "v1 " + text
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Bench:
    """A desk over a store whose project is watched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write(folder, "orchestrator.toml", '[plugins]\nfolder = "plugins"\n')
        write(folder, "sell.flow.yaml", FLOW)
        write(folder, "plugins/shop.py", PLUGIN)
        self.said: list[str] = []
        self.desk = open_desk(Project.open(folder), f"sqlite:///{folder}/runs.db")
        self.reloader = Reloader(self.desk, lambda: Project.open(folder), self.said.append)

    async def begin(self) -> str:
        """A run that waits to be paid."""
        await self.desk.start()
        await self.reloader.look_once()
        begun = await start_run(self.desk, self.desk.shelf.find("sell"), StartOrder({}, by="test"))
        return await self.until(begun.run_id, "waiting")

    async def change(self, text: str | None, name: str = "shop.py") -> str:
        """What `dev` says when a plugin file has this text, or is not there any more."""
        if text is None:
            (self.folder / "plugins" / name).unlink()
        else:
            write(self.folder, f"plugins/{name}", text)
        assert await self.reloader.look_once()
        return self.said[-1]

    async def pay(self, run_id: str) -> None:
        book: Any = await self.desk.book_of(run_id)
        await book.send(run_id, "Paid", {}, None)

    async def until(self, run_id: str, *statuses: str) -> str:
        for _ in range(500):
            if (row := await self.desk.store.store.run(run_id)).status in statuses:  # type: ignore[union-attr]
                return row.run_id
            await asyncio.sleep(0.01)
        raise AssertionError(f"the run is {row.status}: {row.outcome}")

    async def outcome(self, run_id: str) -> Any:
        await self.until(run_id, "done", "failed", "parked")
        found = await self.desk.run(run_id)
        return found.outputs or (await self.desk.store.store.run(run_id)).parked["message"]  # type: ignore[union-attr, index]


@pytest.fixture
async def bench(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.desk.stop()


async def test_a_run_that_waits_goes_on_with_the_changed_code_though_it_called_the_old(bench: Bench) -> None:
    run_id = await bench.begin()
    await bench.change(PLUGIN.replace("v1", "v2"))
    await bench.change(PLUGIN.replace("v1", "v3"))
    await bench.pay(run_id)
    assert await bench.outcome(run_id) == {"first": "v1 a", "text": "v3 b"}


async def test_a_file_is_broken_while_a_run_waits_and_mended_again(bench: Bench) -> None:
    run_id = await bench.begin()
    assert "with errors: sell" in await bench.change("def (")
    await bench.pay(run_id)
    assert "`shop.tag` cannot be called here: shop.py:1: invalid syntax" in await bench.outcome(run_id)
    await bench.change(PLUGIN)
    await bench.until(run_id, "done")


async def test_a_file_is_deleted_while_a_run_waits_and_comes_back_under_another_name(bench: Bench) -> None:
    run_id = await bench.begin()
    await bench.change(None)
    await bench.pay(run_id)
    assert "nothing is registered as `shop.tag` here" in await bench.outcome(run_id)
    await bench.change(PLUGIN.replace("v1", "v2"), "store.py")
    await bench.until(run_id, "done")
    assert await bench.outcome(run_id) == {"first": "v1 a", "text": "v2 b"}


@pytest.mark.parametrize(
    ("takes", "said"), [("text: str, n: int", "needs `n`"), ("words: str", "takes no `text`"), ("", "takes no `text`")]
)
async def test_a_step_takes_something_else_while_a_run_waits(bench: Bench, takes: str, said: str) -> None:
    run_id = await bench.begin()
    await bench.change(PLUGIN.replace("text: str", takes))
    await bench.pay(run_id)
    assert said in await bench.outcome(run_id)
    await bench.change(PLUGIN)
    await bench.until(run_id, "done")


async def test_a_plugin_that_fails_when_it_is_imported_loses_no_run(bench: Bench) -> None:
    run_id = await bench.begin()
    await bench.change(f"1 / 0\n{PLUGIN}")
    await bench.pay(run_id)
    assert "cannot be imported: ZeroDivisionError" in await bench.outcome(run_id)
    await bench.change(PLUGIN)
    await bench.until(run_id, "done")


async def test_a_plugin_that_never_ends_its_import_holds_up_nobody(bench: Bench) -> None:
    run_id = await bench.begin()
    write(bench.folder, "orchestrator.toml", '[plugins]\nfolder = "plugins"\n[limits]\nplugin_import_s = 0.2\n')
    await bench.change(f"import time\ntime.sleep(86_400)\n{PLUGIN}")
    await bench.pay(run_id)
    async with asyncio.timeout(5):  # the loop goes on meanwhile
        assert "importing the plugin of shop.tag did not end within 0.2 s" in await bench.outcome(run_id)
    await bench.change(PLUGIN)
    await bench.until(run_id, "done")


async def test_a_library_that_is_installed_is_seen_though_no_file_of_the_project_changes(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    await bench.begin()
    assert "with errors: sell" in await bench.change(f"import shop_library\n{PLUGIN}")
    assert not await bench.reloader.look_once()
    write(tmp_path / "site", "shop_library.py", "")
    import importlib

    importlib.invalidate_caches()
    assert await bench.reloader.look_once()
    assert bench.said[-1] == "reloaded the project"
