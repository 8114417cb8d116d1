"""The limits on reading a flow file (SAFETY.md, "Reading YAML"). One place, so that a test can read them."""

from __future__ import annotations

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_SCALAR = 200_000
MAX_KEY = 256
MAX_FINDINGS = 200
MAX_STEPS = 6_000
MAX_TRAPS = 50
