"""Rules on `tests:`: what they give and expect must be there in the flow and of its types (FLW523).

They look at the file and at the IR made of it; which steps a test names is checked while reading (FLW225).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from orchestrator.analysis.fitting import Misfit, misfits
from orchestrator.analysis.payloads import KNOWN_ERRORS, declared_errors, is_known_code
from orchestrator.analysis.report import Report
from orchestrator.analysis.results import CatalogLike
from orchestrator.diagnostics import Span
from orchestrator.expr.suggest import listed, nearest
from orchestrator.expr.types import ANY
from orchestrator.ir.model import FlowIR, Json
from orchestrator.language.names import BUILT_IN_EVENTS, STEP_SUFFIXES
from orchestrator.language.nodes import MapNode, Node, PlainData, ScalarNode, SeqNode, to_plain
from orchestrator.language.spec import ExpectSpec, FlowSpec, TestSpec

ANSWER_KEYS = ("as", "groups", "item", "edit")  # beside the fields of the form


def check_tests(spec: FlowSpec, flow: FlowIR, catalog: CatalogLike, report: Report) -> None:
    """FLW523. Cost: linear in the tests."""
    codes = {*KNOWN_ERRORS, *(code for step in flow.steps.values() for code in declared_errors(step, catalog))}
    for test in spec.tests:
        at = _Test(test, flow, report)
        at.check_inputs()
        at.check_answers()
        at.check_events()
        if test.expect is not None:
            at.check_expected(test.expect, codes)


class _Test:
    """One test beside the flow that it runs."""

    def __init__(self, test: TestSpec, flow: FlowIR, report: Report) -> None:
        self.test = test
        self.flow = flow
        self.report = report

    def check_inputs(self) -> None:
        """What the run starts with is what the flow takes."""
        node = self.test.inputs
        at = self.test.name.span if node is None else node.span if node.is_flow else _key_of(self.test.node, "inputs")
        given = {} if node is None else to_plain(node)
        self._check(given, self.flow.inputs, node, "the flow", "input", at)

    def check_answers(self) -> None:
        """Who is asked nothing gives no answer, and a form has the fields that it has."""
        for name, answers in self.test.answers.items():
            step = self.flow.steps.get(name)
            ask = None if step is None else step.body.ask
            if step is None or (ask is None and step.body.kind == "call"):
                continue  # told already, or a sub-flow that may ask
            if ask is None:
                self._add(f"step `{name}` asks nobody, so nobody answers it", self.test.answer_keys[name].span)
                continue
            for answer in answers:
                if isinstance(answer.value, dict) and isinstance(ask.form, dict):
                    form = {k: v for k, v in answer.value.items() if k not in ANSWER_KEYS}
                    who = f"the form of `{name}`"
                    self._check(form, _part_of(ask.form), answer.node, who, "field", answer.span)

    def check_events(self) -> None:
        """An event that comes from outside is declared, and of its type."""
        for sent in self.test.events:
            ir = self.flow.events.get(sent.event.value)
            if ir is None:
                self._unknown("event", sent.event.value, self._events(), sent.event.span)
            elif isinstance(sent.with_, dict) and isinstance(ir.schema, dict):
                node = sent.node.get("with")
                self._check(sent.with_, ir.schema, node, f"event `{ir.name}`", "field", sent.event.span)

    def check_expected(self, expect: ExpectSpec, codes: Collection[str]) -> None:
        """What is expected can come: outputs, events, steps that wait, and the code of a failure."""
        if isinstance(expect.outputs, dict) and isinstance(self.flow.outputs, dict):
            node = expect.node.get("outputs")
            at = _key_of(expect.node, "outputs")
            self._check(expect.outputs, _part_of(self.flow.outputs), node, "the flow", "output", at)
        for event in expect.events or ():
            step, dot, suffix = event.value.rpartition(".")
            is_of_step = bool(dot) and suffix in STEP_SUFFIXES and step in self.flow.steps
            if not is_of_step and event.value not in self.flow.events:
                self._unknown("event", event.value, self._events(), event.span)
        for waiting in expect.waiting or ():
            if waiting.value not in self.flow.steps:
                self._unknown("step", waiting.value, self.flow.steps, waiting.span)
        failed = expect.failed
        if failed is not None and not is_known_code(failed.value, codes) and nearest(failed.value, codes):
            self._unknown("error code", failed.value, sorted(codes), failed.span)

    def _events(self) -> list[str]:
        return [name for name in self.flow.events if "." not in name and name not in BUILT_IN_EVENTS[2:]]

    def _unknown(self, what: str, name: str, known: Iterable[str], span: Span) -> None:
        names = list(known)
        guess = nearest(name, names)
        self._add(f"there is no {what} `{name}`", span, guess, names)

    def _check(self, given: PlainData, schema: Json, node: Node | None, who: str, word: str, at: Span) -> None:
        for misfit in misfits(given, schema, (), lambda *_: ANY):
            match misfit.kind:
                case "unknown":
                    span = _span(node, misfit, at, is_key=True)
                    self._add(f"{who} has no {word} `{misfit.field}`", span, misfit.guess)
                case "missing" if not misfit.path:
                    self._add(f"{who} needs the {word} `{misfit.field}`", at)
                case "missing":
                    self._add(misfit.message, _span(node, misfit, at))
                case _:
                    self._add(misfit.message, _span(node, misfit, at), misfit.guess)

    def _add(self, message: str, span: Span, guess: str | None = None, known: Iterable[str] = ()) -> None:
        names = list(known)
        hint = f"did you mean `{guess}`?" if guess else f"there are {listed(names)}" if names else None
        fix = self.report.replace(span, guess) if guess else None
        self.report.add("FLW523", message, span, help=hint, fix=fix)


def _part_of(schema: Json) -> Json:
    """The same schema where nothing is required."""
    return {**schema, "required": []} if isinstance(schema, dict) else schema


def _key_of(node: MapNode, key: str) -> Span:
    """The key, or where the mapping begins: a misspelt one stands under the name that it has in the file."""
    entry = node.entries.get(key) or next(iter(node.entries.values()))
    return entry.key.span


def _span(node: Node | None, misfit: Misfit, default: Span, *, is_key: bool = False) -> Span:
    """The token that a misfit is about: a scalar value, else its key."""
    key: ScalarNode | None = None
    for part in misfit.path:
        if isinstance(node, MapNode) and isinstance(part, str) and part in node.entries:
            key, node = node.entries[part]
        elif isinstance(node, SeqNode) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        else:
            break
    if isinstance(node, ScalarNode) and not is_key:
        return node.span
    return default if key is None else key.span
