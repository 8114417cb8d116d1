"""Bytes to a node tree: the only door through which a flow file comes in. Knows YAML, not the flow language.

The C parser of PyYAML makes the events where it is there, the pure one elsewhere; neither its composer nor its
constructor is used. What is reported: LANGUAGE.md section 2, "Reading rules", codes FLW100 to FLW117.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from yaml.error import MarkedYAMLError, YAMLError
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from orchestrator.diagnostics import Diagnostic, TooManyFindings
from orchestrator.language.composer import Composer, EventParser, LimitPassed
from orchestrator.language.decode import decode
from orchestrator.language.findings import Findings
from orchestrator.language.limits import MAX_TRAPS
from orchestrator.language.nodes import Node, Source
from orchestrator.language.odd_forms import report_odd_forms
from orchestrator.language.syntax import report_syntax
from orchestrator.language.traps import find_cut_texts, report_trap, trap_at

try:
    from yaml._yaml import CParser
except ImportError:  # PyYAML was built without libyaml
    CParser = None  # type: ignore[assignment,misc]

# How much text may be parsed again for traps; a bound on time, not on findings.
_REPARSE_BUDGET = 3_000_000


class PureParser(Reader, Scanner, Parser):
    """PyYAML's own parser, events only."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)


ParserFactory = Callable[[str], Any]  # PyYAML's parsers share no typed base


def default_parser() -> ParserFactory:
    """The fastest parser of this installation."""
    return PureParser if CParser is None else CParser


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a file holds: `root` is None when nothing could be read; `is_whole` is false when reading stopped early.

    An alias is the same node object as its anchor; `anchor_names` maps the `id` of such a node to its name.
    """

    source: Source
    root: Node | None
    is_whole: bool
    diagnostics: tuple[Diagnostic, ...]
    anchor_names: Mapping[int, str] = field(default_factory=dict)


def read_yaml(data: bytes, file: str, parser: ParserFactory | None = None) -> ReadResult:
    """The tree of a file with every finding about its YAML.

    Cost: linear in the bytes, bounded by the limits; never raises for any input.
    """
    findings = Findings()
    source, text = decode(data, file, findings)
    if source is None:
        return ReadResult(Source(file, ""), None, False, findings.sorted())
    with paused_gc():
        composer, is_whole = _compose(source, text, findings, parser or default_parser())
    root = composer.root
    if root is None and composer.stack:
        root = composer.stack[0].node
    return ReadResult(source, root, is_whole, findings.sorted(), composer.anchor_names)


@contextmanager
def paused_gc() -> Iterator[None]:
    """No cyclic garbage collection inside: a tree being built is all live, and walking it again and again is half the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _compose(source: Source, text: str, findings: Findings, parser: ParserFactory) -> tuple[Composer, bool]:
    """Compose, and again with each trap blanked, until the text passes or something else is wrong."""
    rescued: dict[int, int] = {}
    budget = _REPARSE_BUDGET
    while True:
        pass_findings = Findings()
        composer = Composer(_start(parser, text), source, pass_findings, rescued)
        is_whole = True
        trap = None
        try:
            composer.run()
        except (LimitPassed, TooManyFindings):
            is_whole = False
        except YAMLError as error:
            is_whole = False
            if isinstance(error, MarkedYAMLError) and len(rescued) < MAX_TRAPS and budget >= len(text):
                trap = trap_at(error, composer, text)
            if trap is None:
                report_syntax(error, source, text, pass_findings)
        if trap is None or trap.start in rescued:
            break
        budget -= len(text)
        rescued[trap.start] = trap.end
        text = text[: trap.start] + "x" * (trap.end - trap.start) + text[trap.end :]
    try:
        _report_odd(composer, text, is_whole, rescued, pass_findings)
    except TooManyFindings:
        is_whole = False
    findings.extend(list(pass_findings))
    return composer, is_whole


def _report_odd(composer: Composer, text: str, is_whole: bool, rescued: dict[int, int], findings: Findings) -> None:
    """What is only known once the tree is there: odd forms, and the texts that YAML has bent."""
    if is_whole:
        report_odd_forms(composer, text, findings)
    for node in [*composer.bent, *find_cut_texts(composer, text)]:
        report_trap(composer.source, node.start, node.end, findings)
    seen = {node.start for node in composer.bent}
    for start, end in rescued.items():
        if start not in seen:
            report_trap(composer.source, start, end, findings)


def _start(parser: ParserFactory, text: str) -> EventParser:
    return parser(text)  # type: ignore[no-any-return]  # see ParserFactory
