"""The one runtime: ticks go into a deterministic reducer, commands come out, an actor performs them."""
