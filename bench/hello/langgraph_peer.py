"""Cold start of langgraph."""

import asyncio
from typing import TypedDict

from _report import report
from langgraph.graph import END, START, StateGraph


class Hello(TypedDict):
    name: str


async def greet(state: Hello) -> Hello:
    return {"name": f"hello {state['name']}"}


async def main() -> str:
    graph = StateGraph(Hello).add_node("greet", greet).add_edge(START, "greet").add_edge("greet", END).compile()
    return (await graph.ainvoke({"name": "world"}))["name"]


report(asyncio.run(main()))
