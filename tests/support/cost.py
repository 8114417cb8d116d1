"""CPU seconds of a piece of work, as steady as a shared machine allows: the best of some runs, without the cyclic GC."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object], *, runs: int = 4) -> float:
    """The least CPU time that `work` took in `runs` runs."""
    best = float("inf")
    for _ in range(runs):
        gc.collect()
        gc.disable()
        try:
            before = time.process_time()
            work()
            best = min(best, time.process_time() - before)
        finally:
            gc.enable()
    return best
