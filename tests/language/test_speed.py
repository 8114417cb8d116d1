"""Reading costs about what PyYAML's own C composer costs, and grows with the file and no faster. CPU time, best of five."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import yaml

from orchestrator.language.flow_reader import parse_flow

STEP = """\
  step_{i}:
    on: {before}
    when: inputs.topic != "x{i}"
    call: http.post
    with:
      url: https://cms.example/posts/{i}
      headers:
        Authorization: Bearer ${{{{ inputs.topic }}}}
      json:
        title: ${{{{ inputs.topic }}}}
        body: Number {i} of ${{{{ ev.result }}}}
    timeout: 60s
    retry:
      max: 3
      delay: 1s
      errors: [http.5xx, timeout]
    emit:
      event: Stop
      with:
        url: ${{{{ result.json.url }}}}
"""


def flow(steps: int) -> bytes:
    body = "".join(STEP.format(i=i, before=f"step_{i - 1}" if i else "Start") for i in range(steps))
    return f"flow: big\ninputs:\n  topic: str\nsteps:\n{body}".encode()


def best(work: Callable[[], object]) -> float:
    """The least CPU time of five runs; what a run leaves behind is collected before the next."""
    times = []
    for _ in range(5):
        gc.collect()
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def test_a_thousand_steps_cost_at_most_twice_what_pyyaml_needs_to_compose_them() -> None:
    raw = flow(1000)
    assert parse_flow(raw, "f").diagnostics == ()
    ours, theirs = best(lambda: parse_flow(raw, "f")), best(lambda: yaml.compose(raw, Loader=yaml.CSafeLoader))
    print(f"ours {ours * 1000:.0f} ms, PyYAML {theirs * 1000:.0f} ms, ratio {ours / theirs:.2f}")
    assert ours <= 2.0 * theirs


def test_reading_is_linear_in_the_number_of_steps() -> None:
    small, large = best(lambda: parse_flow(flow(300), "f")), best(lambda: parse_flow(flow(1500), "f"))
    assert large <= 5 * small * 1.5
