"""What compiling costs: linear in the steps, in CPU time."""

from __future__ import annotations

import gc
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import fastjsonschema
import pytest
import yaml

from orchestrator.authoring.project import Project
from orchestrator.compiler.compile import compile_text
from orchestrator.language.flow_reader import parse_flow
from orchestrator.plugin.catalog import Catalog
from tests.compiler.support import catalog

ROOT = Path(__file__).parents[2]


def chain(steps: int) -> bytes:
    """A chain with two expressions in each step, of which one is like no other."""
    lines = ["flow: big", "inputs:", "  topic: str", "events:"]
    lines += [f"  E{n}: {{n: int}}" for n in range(1, steps + 1)]
    lines.append("steps:")
    for n in range(steps):
        source, number = ("Start", "0") if n == 0 else (f"E{n}", "ev.n")
        lines += [
            f"  s{n}:",
            f"    on: {source}",
            "    emit:",
            f"      event: E{n + 1}",
            f"      with: {{n: '${{{{ {number} + {n} }}}}'}}",
        ]
    lines += ["  last:", f"    on: E{steps}", "    emit: Stop"]
    return ("\n".join(lines) + "\n").encode()


def cpu_s(data: bytes, known: Catalog, *, only_reading: bool = False) -> float:
    gc.collect()
    before = time.process_time()
    if only_reading:
        parse_flow(data, "big.flow.yaml")
    else:
        assert compile_text(data, "big.flow.yaml", catalog=known).is_ok
    return time.process_time() - before


@pytest.fixture(scope="module")
def known() -> Catalog:
    return catalog()


def test_compiling_is_linear_up_to_five_thousand_steps(known: Catalog) -> None:
    small = min(cpu_s(chain(500), known) for _ in range(3))
    assert cpu_s(chain(5_000), known) < 10 * small * 2 + 0.1


GIANTS = {
    "misspelt steps": "".join(f"  step_number_{n}:\n    on: step_numbr_{n}\n    emit: Stop\n" for n in range(1_900)),
    "no such steps": "".join(f"  step_number_{n}:\n    on: step_numbr_{n}\n    emit: Stop\n" for n in range(6_000)),
    "many steps": "".join(f" s{n}: {{on: Start, emit: Stop}}\n" for n in range(16_000)),
    "many conditions": "  s0: {on: Start, emit: s1}\n"
    + "".join(f"  s{n}: {{emit: [{{event: s{n + 1}, when: run.id > {n}}}, Stop]}}\n" for n in range(1, 9_000)),
    "many edges": "".join(
        f"  s{n}: {{on: [{', '.join(f's{m}' for m in range(max(0, n - 45), n)) or 'Start'}], wait: 1s}}\n"
        for n in range(1_000)
    ),
    "unknown calls": "".join(
        f"  s{n}: {{on: {f's{n - 1}' if n else 'Start'}, call: text.up, with: {{a: '${{{{ inputs.x{n} }}}}'}}}}\n"
        for n in range(5_000)
    ),
}


@pytest.mark.parametrize("name", GIANTS)
def test_no_giant_is_checked_for_a_second(name: str, known: Catalog) -> None:
    data = ("flow: giant\nsteps:\n" + GIANTS[name]).encode()
    gc.collect()
    before = time.process_time()
    compiled = compile_text(data, "giant.flow.yaml", catalog=known)
    assert time.process_time() - before < 1.0
    assert 0 < len(compiled.diagnostics) <= 201


def test_a_small_flow_costs_little_beyond_reading_it(known: Catalog) -> None:
    data = chain(200)
    reading = min(cpu_s(data, known, only_reading=True) for _ in range(5))
    whole = min(cpu_s(data, known) for _ in range(5))
    assert (whole - reading) / 200 < 500e-6  # about 100 µs a step on the machine it was written on


def test_a_file_of_eight_hundred_lines_is_checked_again_in_fifty_milliseconds(tmp_path: Path) -> None:
    text = real_flow(40)
    assert text.count("\n") >= 800
    project = Project.open(tmp_path)
    file = tmp_path / "long.flow.yaml"
    assert project.compile_bytes(text.encode(), file).diagnostics == ()
    assert min(cpu_of(lambda: project.compile_bytes(text.encode(), file)) for _ in range(5)) < 0.05


def test_checking_costs_little_more_than_loading_and_a_compiled_schema(tmp_path: Path) -> None:
    data = real_flow(100).encode()
    project, file = Project.open(tmp_path), tmp_path / "long.flow.yaml"
    check = fastjsonschema.compile(json.loads((ROOT / "schemas" / "flow.draft-07.schema.json").read_text("utf-8")))
    floor = min(cpu_of(lambda: check(yaml.load(data, Loader))) for _ in range(5))
    ours = min(cpu_of(lambda: project.compile_bytes(data, file)) for _ in range(5))
    expressions = len(set(re.findall(rb"\$\{\{.*?\}\}|(?<=when: ).*", data)))
    print(f"ours {ours * 1000:.1f} ms, floor {floor * 1000:.1f} ms, {expressions} expressions")
    assert ours - expressions * 60e-6 < 2.6 * floor  # about 2.0 on a quiet machine


def real_flow(steps: int) -> str:
    """A chain of calls with headers, retries and expressions, twenty lines each."""
    lines = [f"flow: long\ninputs:\n  topic: str\nsteps:\n{CALL.format(n=0, before='Start', seen='ev.topic')}"]
    lines += [CALL.format(n=n, before=f"step_{n - 1}", seen="ev.result.json.text") for n in range(1, steps)]
    return "".join(lines) + "    emit: Stop\n"


CALL = """\
  step_{n}:
    title: A step of many
    description: It posts what came.
    on: {before}
    call: http.post
    with:
      url: https://cms.example/posts/{n}
      headers:
        X-Topic: About ${{{{ inputs.topic }}}}
      json:
        title: ${{{{ inputs.topic }}}}
        body: Number {n} of ${{{{ {seen} }}}}
    timeout: 60s
    deadline: 5m
    concurrency: 4
    id: ${{{{ run.id }}}}/{n}
    retry:
      max: 3
      delay: 1s
      errors: [http.5xx, timeout]
"""


def cpu_of(work: Callable[[], object]) -> float:
    gc.collect()
    before = time.process_time()
    work()
    return time.process_time() - before


class Loader(yaml.CSafeLoader):
    """PyYAML's, with `on` as a text."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }
