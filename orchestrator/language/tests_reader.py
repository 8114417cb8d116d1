"""Reads `tests:`: what goes in, what stands in for calls and people, and what is expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.diagnostics import Edit, Fix
from orchestrator.language.findings import Findings
from orchestrator.language.names import ERROR_CODE, EVENT, EVENT_OR_STEP
from orchestrator.language.nodes import MapNode, Node, PlainData, ScalarNode, SeqNode, to_plain
from orchestrator.language.shape import KeySet, read_duration, read_fields, read_name, read_str, report_kind
from orchestrator.language.spec import ExpectSpec, TestEvent, TestSpec
from orchestrator.language.spec_parts import Located, Name
from orchestrator.language.suggest import suggest

TEST_KEYS = KeySet(
    "a test", "name inputs mocks answers events expect", required="name",
    synonyms={"title": "name", "input": "inputs", "mock": "mocks", "assert": "expect", "expected": "expect", "with": "inputs"},
)  # fmt: skip
EVENT_KEYS = KeySet("an event of a test", "event after with", required="event", synonyms={"at": "after"})
EXPECT_KEYS = KeySet(
    "`expect`", "path outputs failed events waiting", synonyms={"output": "outputs", "error": "failed", "steps": "path"}
)
MOCK_PARTS = ("fallback", "finally", "undo")


class TestReader:
    """Reads the tests of one flow; `steps` are the names that exist in it."""

    __test__ = False  # pytest: no test class

    def __init__(self, findings: Findings, steps: Iterable[str]) -> None:
        self.findings = findings
        self.steps = tuple(steps)

    def read(self, node: Node) -> tuple[TestSpec, ...]:
        """The list of tests."""
        if not isinstance(node, SeqNode):
            report_kind(node, "`tests` needs a list", self.findings, help="begin each test with `- name:`")
            return ()
        tests: dict[str, TestSpec] = {}
        for item in node.items:
            test = self._test(item)
            if test is None:
                continue
            if test.name.value in tests:
                self.findings.error("FLW208", "two tests have this name", test.name.span, help="give each its own")
            tests[test.name.value] = test
        return tuple(tests.values())

    def _test(self, node: Node) -> TestSpec | None:
        fields = read_fields(node, TEST_KEYS, self.findings)
        if fields is None or not isinstance(node, MapNode):
            return None
        name_node, inputs, mocks = fields.get("name"), fields.get("inputs"), fields.get("mocks")
        answers, events, expect = fields.get("answers"), fields.get("events"), fields.get("expect")
        if inputs is not None and not isinstance(inputs, MapNode):
            report_kind(inputs, "`inputs` needs a mapping", self.findings)
        mocked = self._by_step(mocks, "mocks", MOCK_PARTS)
        answered = self._by_step(answers, "answers", ())
        spec = (
            {step: Located(to_plain(value), value) for step, (_, value) in mocked.items()},
            {step: self._answers(value) for step, (_, value) in answered.items()},
            () if events is None else self._events(events),
            None if expect is None else self._expect(expect),
        )
        name = None if name_node is None else read_str(name_node, "`name`", self.findings)
        if name is None:
            return None
        return TestSpec(
            name,
            node,
            inputs if isinstance(inputs, MapNode) else None,
            *spec,
            mock_keys={step: key for step, (key, _) in mocked.items()},
            answer_keys={step: key for step, (key, _) in answered.items()},
        )

    def _by_step(self, node: Node | None, what: str, parts: tuple[str, ...]) -> Mapping[str, tuple[ScalarNode, Node]]:
        if node is None:
            return {}
        if not isinstance(node, MapNode):
            report_kind(node, f"`{what}` needs a mapping of steps", self.findings)
            return {}
        found = {}
        for name, (key, value) in node.entries.items():
            step, dot, part = name.partition(".")
            if dot and part not in parts:
                step = name
            self._check_step(Located(step, key), name)
            found[name] = (key, value)
        return found

    def _check_step(self, step: Name, written: str) -> None:
        if step.value in self.steps:
            return
        meant = suggest(step.value, self.steps)
        whole = None if meant is None else written.replace(step.value, meant, 1)
        self.findings.error(
            "FLW225",
            f"the flow has no step `{step.value}`",
            step.span,
            help=f"did you mean `{whole}`?" if whole else None,
            fix=Fix(f"write `{whole}`", (Edit(step.span, whole),)) if whole else None,
        )

    def _answers(self, node: Node) -> tuple[Located[PlainData], ...]:
        answers = []
        for item in node.items if isinstance(node, SeqNode) else [node]:
            if not isinstance(item, MapNode):
                report_kind(
                    item, "an answer needs a mapping", self.findings, help="write `{as: kim, verdict: approve}`"
                )
            elif "as" not in item.entries:
                self.findings.error("FLW202", "an answer lacks `as`", item.span, help="say who answers: `as: kim`")
            else:
                answers.append(Located(to_plain(item), item))
        return tuple(answers)

    def _events(self, node: Node) -> tuple[TestEvent, ...]:
        if not isinstance(node, SeqNode):
            report_kind(node, "`events` needs a list", self.findings, help="write `- {after: 1h, event: Paid}`")
            return ()
        events = []
        for item in node.items:
            fields = read_fields(item, EVENT_KEYS, self.findings)
            if fields is None or not isinstance(item, MapNode):
                continue
            event_node, after, with_ = fields.get("event"), fields.get("after"), fields.get("with")
            event = None if event_node is None else read_name(event_node, EVENT, "`event`", self.findings)
            delay = None if after is None else read_duration(after, "`after`", self.findings)
            if with_ is not None and not isinstance(with_, MapNode):
                report_kind(with_, "`with` needs a mapping", self.findings)
            if event is not None:
                events.append(TestEvent(item, event, delay, None if with_ is None else to_plain(with_)))
        return tuple(events)

    def _expect(self, node: Node) -> ExpectSpec | None:
        fields = read_fields(node, EXPECT_KEYS, self.findings)
        if fields is None or not isinstance(node, MapNode):
            return None
        path, outputs, failed = fields.get("path"), fields.get("outputs"), fields.get("failed")
        events, waiting = fields.get("events"), fields.get("waiting")
        if outputs is not None and not isinstance(outputs, MapNode):
            report_kind(outputs, "`outputs` needs a mapping", self.findings)
        for step in self._names(path, "`path`") or ():
            self._check_step(step, step.value)
        return ExpectSpec(
            node,
            path=self._names(path, "`path`"),
            outputs=None if outputs is None else to_plain(outputs),
            failed=None if failed is None else read_name(failed, ERROR_CODE, "`failed`", self.findings),
            events=self._names(events, "`events`"),
            waiting=self._names(waiting, "`waiting`"),
        )

    def _names(self, node: Node | None, what: str) -> tuple[Name, ...] | None:
        """A list of names in which one may come twice."""
        if node is None:
            return None
        names = (
            read_name(item, EVENT_OR_STEP, what, self.findings)
            for item in (node.items if isinstance(node, SeqNode) else [node])
        )
        return tuple(name for name in names if name is not None)
