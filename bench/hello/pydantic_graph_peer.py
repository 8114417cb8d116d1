"""Cold start of pydantic-graph."""

import asyncio

from _report import report
from pydantic_graph import GraphBuilder, StepContext

g = GraphBuilder(input_type=str, output_type=str)


@g.step
async def greet(ctx: StepContext[None, None, str]) -> str:
    return f"hello {ctx.inputs}"


g.add(g.edge_from(g.start_node).to(greet), g.edge_from(greet).to(g.end_node))
report(asyncio.run(g.build().run(inputs="world")))
