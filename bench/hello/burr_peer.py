"""Cold start of burr."""

import asyncio

from _report import report
from burr.core import ApplicationBuilder, State, action


@action(reads=["name"], writes=["name"])
async def greet(state: State) -> State:
    return state.update(name=f"hello {state['name']}")


async def main() -> str:
    builder = ApplicationBuilder().with_actions(greet=greet).with_transitions().with_state(name="world")
    _, _, state = await builder.with_entrypoint("greet").build().arun(halt_after=["greet"])
    return state["name"]


report(asyncio.run(main()))
