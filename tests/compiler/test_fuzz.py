"""Broken flows give findings, never an exception: parts of real flows are swapped, dropped and renamed at random."""

from __future__ import annotations

import copy
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.difference import difference
from orchestrator.compiler.compile import compile_text
from orchestrator.diagnostics import Diagnostic
from orchestrator.diagnostics_text import FORMATS, render
from orchestrator.ir.codec import flow_from_json, flow_to_json
from orchestrator.language.edits import fix_text
from orchestrator.language.flow_reader import parse_flow
from orchestrator.language.nodes import to_plain
from tests.compiler.support import FLOWS, catalog
from tests.language.mutations import corpus
from tests.language.mutations import mutate as mutate_text

Data = Any  # the plain data of a flow file
GOLDEN = Path(__file__).parents[1] / "analysis" / "golden"
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "40"))


def trees() -> list[Data]:
    files = sorted([*FLOWS.glob("*.flow.yaml"), *GOLDEN.glob("*.flow.yaml")])
    found = [parse_flow(file.read_bytes(), file.name).tree for file in files]
    return [to_plain(tree) for tree in found if tree is not None]


TREES = trees()
CATALOG = catalog()


def parts_of(data: Data) -> list[tuple[Data, Data]]:
    """Every container with each of its keys."""
    out: list[tuple[Data, Data]] = []
    todo = [data]
    while todo:
        item = todo.pop()
        keys = list(item) if isinstance(item, dict) else list(range(len(item))) if isinstance(item, list) else []
        out += [(item, key) for key in keys]
        todo += [item[key] for key in keys]
    return out


POOL = [owner[key] for tree in TREES for owner, key in parts_of(tree)]
KEYS = sorted({key for tree in TREES for _, key in parts_of(tree) if isinstance(key, str)})


def mutate(rnd: random.Random) -> Data:
    data = copy.deepcopy(rnd.choice(TREES))
    for _ in range(rnd.randint(1, 4)):
        owner, key = rnd.choice(parts_of(data) or [({}, "")])
        match rnd.randrange(4), owner:
            case 0, _ if key != "":
                del owner[key]
            case 1, _ if key != "":
                owner[key] = copy.deepcopy(rnd.choice(POOL))
            case 2, dict():
                owner[rnd.choice(KEYS)] = owner.pop(key, None)
            case _, dict():
                owner[rnd.choice(KEYS)] = copy.deepcopy(rnd.choice(POOL))
            case _, list():
                owner.append(copy.deepcopy(rnd.choice(POOL)))
    return data


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_no_mutation_of_a_flow_crashes_the_compiler(seed: int) -> None:
    rnd = random.Random(seed)
    for _ in range(25):
        text = json.dumps(mutate(rnd), ensure_ascii=False)
        compiled = compile_text(text.encode("utf-8", "surrogatepass"), "fuzz.flow.yaml", catalog=CATALOG)
        assert compiled.is_ok or compiled.diagnostics
        if compiled.flow is not None:
            assert flow_from_json(flow_to_json(compiled.flow)) == compiled.flow
            assert difference(compiled.flow, compiled.flow) == []


TEXTS = corpus() + [
    file.read_text("utf-8") for file in sorted((Path(__file__).parents[2] / "flows").glob("*.flow.yaml"))
]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_no_mutated_text_crashes_the_check_its_reports_or_its_fixes(seed: int) -> None:
    rnd = random.Random(seed)
    for _ in range(25):
        text = mutate_text(rnd.choice(TEXTS), rnd, TEXTS)
        start = time.process_time()
        found = check_text(text)
        assert time.process_time() - start < 1.0
        for form in FORMATS:
            render(form, found, {"fuzz.flow.yaml": text})
        if any(d.fix is not None for d in found) and rnd.random() < 0.2:
            fix_text(
                text, "fuzz.flow.yaml", lambda data: compile_text(data, "fuzz.flow.yaml", catalog=CATALOG).diagnostics
            )


def check_text(text: str) -> tuple[Diagnostic, ...]:
    return compile_text(text.encode("utf-8", "surrogatepass"), "fuzz.flow.yaml", catalog=CATALOG).diagnostics
