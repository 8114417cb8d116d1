"""Short ways to read a flow in a test."""

from __future__ import annotations

from orchestrator.language.flow_reader import ParsedFlow, parse_flow
from orchestrator.language.nodes import PlainData, to_plain
from orchestrator.language.reader import ReadResult, read_yaml
from orchestrator.language.spec import FlowSpec, StepSpec

FILE = "f.flow.yaml"


def read(text: str | bytes) -> ReadResult:
    return read_yaml(text if isinstance(text, bytes) else text.encode("utf-8"), FILE)


def data(text: str) -> PlainData:
    """The plain data of a text without a finding."""
    result = read(text)
    assert result.diagnostics == ()
    assert result.root is not None
    return to_plain(result.root)


def parse(text: str) -> ParsedFlow:
    return parse_flow(text.encode("utf-8"), FILE)


def good(text: str) -> FlowSpec:
    """The spec of a flow without a finding."""
    parsed = parse(text)
    assert [str(d) for d in parsed.diagnostics] == []
    assert parsed.spec is not None
    return parsed.spec


def good_step(*lines: str) -> StepSpec:
    """The step `work` of a flow that has these lines in it."""
    return good(step_text(*lines)).steps["work"]


def step_text(*lines: str) -> str:
    body = "".join(f"    {line}\n" for line in "\n".join(lines).split("\n"))
    return f"flow: example\nsteps:\n  work:\n{body}"


def found(text: str | bytes) -> list[str]:
    """`line:column code` of every finding of a flow."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8")
    return [f"{d.span.line}:{d.span.column} {d.code}" for d in parse_flow(raw, FILE).diagnostics]


def help_of(text: str) -> str:
    """The help of the only finding of a flow."""
    (diagnostic,) = parse(text).diagnostics
    return diagnostic.help or ""
