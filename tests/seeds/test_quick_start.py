"""The quick start of seeds 000 and 001: state that is kept from one run to the next of the same context."""

from __future__ import annotations

import asyncio

import pytest

from tests.seeds.notebook import Notebook


@pytest.mark.parametrize("seed", ["000", "001"])
def test_the_quick_start_runs_twice_with_its_state_kept(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        notebook = await Notebook().run(f"{seed}_01")
        notebook.names["workflow"] = notebook.MyWorkflow()
        await notebook.run(f"{seed}_02")

    asyncio.run(main())
    assert capsys.readouterr().out.splitlines() == [
        "Workflow result: Processed 1 times, data length: 13",
        "Workflow result: Processed 2 times, data length: 26",
    ]
