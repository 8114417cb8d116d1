"""Lengths of time as the command line says them."""

from __future__ import annotations

import pytest

from orchestrator.cli.when import span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"), (59.7, "1 min"), (3599, "1 h"), (3 * 3600 + 59, "3 h 1 min"), (86399, "1 d"),
        (2 * 86400 - 0.1, "2 d"), (51 * 3600, "2 d 3 h"),
    ],
)  # fmt: skip
def test_a_length_of_time_is_rounded_and_never_cut(seconds: float, said: str) -> None:
    assert span(seconds) == said
