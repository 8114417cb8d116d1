"""One module per engine. Each has `WORKLOADS`: id -> build(n, directory) -> run(mark) -> value.

`build` makes the graph (not timed) and `run` executes it once, on each call anew. `mark(name)` ends a phase.
"""
