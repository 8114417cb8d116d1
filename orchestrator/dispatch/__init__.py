"""Which process works on a run: engines over a store, what wakes them, and what operators do to runs."""
