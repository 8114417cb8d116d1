"""Any bytes at all: findings with a place, in bounded time and memory, and never a traceback."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.language.flow_reader import parse_flow
from orchestrator.language.limits import MAX_BYTES
from tests.language.fuzz import run

FULL = MAX_BYTES - 100
TOP = b"flow: x\nsteps:\n"


def many(text: bytes, size: int = FULL) -> bytes:
    return text * (size // len(text))


def numbered(text: bytes, count: int) -> bytes:
    return b"".join(text % i for i in range(count))


def bomb(line: str, count: int = 10) -> bytes:
    pairs = list(zip("abcdefghi", "bcdefghij", strict=True))
    body = "".join(f"{new}: &{new} {line % ', '.join([f'*{old}'] * count)}\n" for old, new in pairs)
    return ("a: &a {x: 1}\n" + body).encode()


HOSTILE = {
    "brackets": many(b"["),
    "braces": many(b"{a: "),
    "dashes": many(b"- "),
    "items": many(b"- \n"),
    "questions": many(b"? "),
    "zeros": many(b"\0"),
    "random": random.Random(1).randbytes(FULL),
    "alias bomb": bomb("[%s]"),
    "merge bomb": bomb("{<<: [%s]}"),
    "scalar": b"a: " + many(b"x"),
    "quoted": b'a: "' + many(b"x") + b'"',
    "unclosed": b'a: "' + many(b"x\n"),
    "folded": b"a: " + many(b"x\n "),
    "keys": numbered(b"k%d: 1\n", 80_000),
    "colons": many(b"1:"),
    "hashes": many(b"- a #b\n"),
    "traps": numbered(b'k%d: "a" == x\n', 50_000),
    "tabs": many(b"\ta: 1\n"),
    "tabs inside": many(b"a:\t1\n"),
    "duplicates": many(b"a: 1\n"),
    "unknown keys": TOP + b"  a:\n" + numbered(b"    onn%d: x\n", 40_000),
    "misspelt steps": TOP + numbered(b" s%d: {onn: x}\n", 30_000),
    "tags": many(b"- !a b\n"),
    "anchors": many(b"- &a b\n"),
    "bidi": many("\u202e".encode()),
    "control": many(b"\x07"),
    "empty lines": many(b"\n"),
    "returns": many(b"\r"),
    "comment": many(b"#"),
    "digits": b"a: " + b"9" * 190_000,
    "expressions": TOP + b' a: {id: "' + b"${{ {" * 38_000 + b'}} "}',
    "quotes in expressions": TOP + b' a: {id: "' + b"${{ ' }}" * 24_000 + b'"}',
    "type brackets": b'flow: x\ninputs: {a: "' + b"[" * 190_000 + b'"}',
    "type union": b'flow: x\ninputs: {a: "' + b"a|" * 95_000 + b'"}',
    "models": b"flow: x\ninputs:\n" + numbered(b" a%d: Foo\n", 45_000),
    "distinct": b'flow: x\ninputs: {a: "' + numbered(b"a%d|", 25_000) + b'"}',
    "documents": many(b"---\n"),
    "directives": many(b"%YAML 1.1\n"),
    "names": TOP + numbered(b" " + b"A" * 200 + b"%d: {on: x}\n", 4_000),
    "flow traps": b"a: [" + many(b"${{ x }}, ") + b"]",
    "valueless": b"{" + many(b"a b, ") + b"}",
    "empty values": b"{" + numbered(b"k%d: , ", 45_000) + b"}",
    "calls": b"[" + many(b"f(a, b, c), ") + b"]",
    "open calls": b"[" + many(b"f(a, ") + b"]",
    "pattern": b'flow: x\ninputs: {a: {schema: {pattern: "' + b"(" * 900 + b'"}}}',
    "schema depth": b"flow: x\ninputs: {a: {schema: " + b"{not: " * 58 + b"{}" + b"}" * 58 + b"}}",
    "zone": b"flow: x\ntimezone: ../../etc/passwd",
    "references": b"flow: x\nsteps: {a: {on: [" + many(b"Paid, ", 190_000) + b"]}}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_give_findings_in_under_a_second(name: str) -> None:
    start = time.process_time()
    parsed = parse_flow(HOSTILE[name][:MAX_BYTES], "f")
    assert time.process_time() - start < 1.0
    assert parsed.diagnostics
    assert all(d.span.line >= 1 and d.span.column >= 1 for d in parsed.diagnostics)


def test_no_hostile_file_takes_more_than_200_mib(tmp_path: Path) -> None:
    for index, raw in enumerate(HOSTILE.values()):
        (tmp_path / f"{index}.yaml").write_bytes(raw)
    code = (
        "import sys, pathlib, re; from orchestrator.language.flow_reader import parse_flow\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir(): parse_flow(path.read_bytes(), 'f')\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"  # ru_maxrss would start at the parent's
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) // 1024)"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=root, check=True
    )
    assert int(done.stdout) < 200


@given(st.binary(max_size=2000))
@settings(max_examples=500, deadline=None)
def test_any_bytes_give_a_result(raw: bytes) -> None:
    parsed = parse_flow(raw, "f")
    assert parsed.spec is None or parsed.spec.node is parsed.tree


@given(st.text(alphabet=st.sampled_from(list(" \n\t:#-{}[],'\"|>&*!?%@`~$aA0.\\\r\u00e9\u202e")), max_size=200))
@settings(max_examples=1000, deadline=None)
def test_any_mix_of_yaml_marks_gives_a_result(text: str) -> None:
    parsed = parse_flow(text.encode(), "f")
    assert parsed.diagnostics


def test_three_thousand_mutated_flows_break_nothing() -> None:
    assert run(3000, seed=20261125) == []
