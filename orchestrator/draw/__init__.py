"""Pictures of a flow, from FlowIR alone: its possible paths, and the path that a run took. Knows no run and no file."""
