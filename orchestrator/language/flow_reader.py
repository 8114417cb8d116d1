"""The door to a flow file: bytes to a `FlowSpec` with every finding about its YAML and its shape, in one run.

What names refer to, and whether a flow can work, is for the compiler and the analysis. A flow with an error in it still
gets a spec where there is a mapping to read, so that their findings can be shown beside these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.diagnostics import Diagnostic, Edit, Fix, TooManyFindings
from orchestrator.language.decode import warn_hidden
from orchestrator.language.findings import Findings
from orchestrator.language.limits import MAX_STEPS
from orchestrator.language.names import BUILT_IN_EVENTS, EVENT, FIELD, FLOW, NONE, SECRET, STEP, is_event_name
from orchestrator.language.nodes import Entry, MapNode, Node, ScalarNode, Source, to_plain
from orchestrator.language.reader import ParserFactory, paused_gc, read_yaml
from orchestrator.language.shape import (
    Fields,
    KeySet,
    misspelt,
    read_bool,
    read_duration,
    read_fields,
    read_int,
    read_name,
    read_names,
    read_plain_text,
    read_str,
    rename,
    report_hidden,
    report_kind,
    report_name,
)
from orchestrator.language.spec import (
    EventSpec,
    FieldSpec,
    FlowSpec,
    ImportSpec,
    Located,
    Name,
    StateSpec,
    StepSpec,
)
from orchestrator.language.step_reader import STEP_KEYS, StepReader
from orchestrator.language.suggest import suggest
from orchestrator.language.tests_reader import TestReader
from orchestrator.language.trigger_reader import read_concurrency, read_timezone, read_triggers
from orchestrator.language.type_reader import LONG_KEYS, TypeReader
from orchestrator.language.types import ModelType, SchemaType, TypeIR, conforms, type_to_text

FLOW_KEYS = KeySet(
    "a flow",
    "flow format version title description timezone imports inputs outputs state secrets events defaults triggers "
    "concurrency timeout tests steps",
    required="flow steps",
    synonyms={
        "name": "flow", "workflow": "flow", "id": "flow", "jobs": "steps", "tasks": "steps", "nodes": "steps",
        "stages": "steps", "on": "triggers", "schedule": "triggers", "vars": "state", "variables": "state",
        "env": "secrets", "input": "inputs", "params": "inputs", "output": "outputs", "results": "outputs", "tz": "timezone",
    },
    allows_x=True,
)  # fmt: skip
DEFAULTS_KEYS = KeySet("`defaults`", " ".join(STEP_KEYS.order), synonyms=STEP_KEYS.synonyms)
FORMAT = 1
_EVENT_LONG_KEYS = frozenset({"fields", "schema", "external", "description"})
_PYTHON_TARGET = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z")


@dataclass(frozen=True, slots=True)
class ParsedFlow:
    """What `parse_flow` gives: `spec` is None when there is no step to speak of; with errors it is as good as it gets."""

    spec: FlowSpec | None
    diagnostics: tuple[Diagnostic, ...]
    tree: Node | None
    source: Source


def parse_flow(data: bytes, file: str, parser: ParserFactory | None = None) -> ParsedFlow:
    """The flow in a file with every finding about its YAML and shape.

    Cost: linear in the bytes, about that of reading the YAML. Raises: never, for any bytes.
    """
    with paused_gc():
        read = read_yaml(data, file, parser)
        findings = Findings()
        findings.extend(read.diagnostics)
        spec = None
        try:
            if read.is_whole and read.root is not None:
                spec = FlowReader(findings).read(read.root)
            elif read.is_whole:
                findings.error("FLW200", "the file is empty", read.source.span(0, 0), help="begin with `flow: my-flow`")
            warn_hidden(read.source, findings)
        except TooManyFindings:
            spec = None
        return ParsedFlow(spec, findings.sorted(), read.root, read.source)


class FlowReader:
    """Reads the top of a flow and hands each part to its reader."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.types = TypeReader(findings)

    def read(self, root: Node) -> FlowSpec | None:
        """The flow of a tree, or None, with a finding, where there is no mapping or no name."""
        if not isinstance(root, MapNode):
            self.findings.error(
                "FLW200",
                "a flow file is a mapping of keys",
                root.source.span(root.start, min(root.start + 1, root.end)),
                help="begin with `flow: my-flow` and `steps:`",
            )
            return None
        fields = read_fields(root, FLOW_KEYS, self.findings)
        if fields is None:
            return None
        return self._spec(root, fields)

    def _spec(self, root: MapNode, fields: Fields) -> FlowSpec | None:
        get, findings = fields.get, self.findings
        flow, format_, version, title = get("flow"), get("format"), get("version"), get("title")
        description, timezone, imports = get("description"), get("timezone"), get("imports")
        inputs, outputs, state, secrets = get("inputs"), get("outputs"), get("state"), get("secrets")
        events, defaults, triggers = get("events"), get("defaults"), get("triggers")
        concurrency, timeout, tests = get("concurrency"), get("timeout"), get("tests")
        if format_ is not None:
            self._check_format(format_)
        name = None if flow is None else read_name(flow, FLOW, "`flow`", findings)
        imported = {} if imports is None else self._imports(imports)
        default_entries = {} if defaults is None else self._defaults(fields.entries["defaults"])
        steps = self._steps(fields, default_entries)
        spec = FlowSpec(
            name if name is not None else Located("", flow if flow is not None else root),
            root,
            steps,
            version=None if version is None else self._version(version),
            title="" if title is None else read_plain_text(title, "`title`", findings),
            description="" if description is None else read_plain_text(description, "`description`", findings),
            timezone=None if timezone is None else read_timezone(timezone, findings),
            imports=imported,
            inputs={} if inputs is None else self._typed(inputs, "`inputs`"),
            outputs={} if outputs is None else self._typed(outputs, "`outputs`"),
            state={} if state is None else self._state(state),
            secrets=() if secrets is None else read_names(secrets, SECRET, "`secrets`", findings),
            events={} if events is None else self._events(events),
            defaults=defaults if isinstance(defaults, MapNode) else None,
            triggers=() if triggers is None else read_triggers(triggers, findings),
            concurrency=None if concurrency is None else read_concurrency(concurrency, findings),
            timeout=None if timeout is None else read_duration(timeout, "`timeout`", findings),
            tests=() if tests is None else TestReader(findings, steps).read(tests),
            extensions={k: to_plain(entry.value) for k, entry in root.entries.items() if k.startswith("x-")},
        )
        self._check_models(spec.imports)
        return spec

    def _check_format(self, node: Node) -> None:
        number = read_int(node, "`format`", self.findings)
        if number is not None and number.value != FORMAT:
            self.findings.error(
                "FLW222",
                f"this version reads format {FORMAT}, not {number.value}",
                number.span,
                help=f"write `format: {FORMAT}`, or install a version that reads {number.value}",
            )

    def _version(self, node: Node) -> Located[int | str] | None:
        if isinstance(node, ScalarNode):
            if isinstance(node.value, int) and not isinstance(node.value, bool):
                return Located(node.value, node)
            if node.value is not None and not isinstance(node.value, bool):
                return Located(node.text, node)
        report_kind(node, "`version` needs a number or text", self.findings)
        return None

    def _typed(self, node: Node, what: str) -> dict[str, FieldSpec]:
        if not isinstance(node, MapNode):
            report_kind(
                node, f"{what} needs a mapping of names to types", self.findings, help="write `topic: str` below it"
            )
            return {}
        return self.types.read_fields(node)

    def _imports(self, node: Node) -> dict[str, ImportSpec]:
        if not isinstance(node, MapNode):
            report_kind(
                node, "`imports` needs a mapping", self.findings, help="write `child: ./child.flow.yaml` below it"
            )
            return {}
        found = {}
        for name, (key, value) in node.entries.items():
            if not FIELD.rule(name):
                report_name(key, FIELD, self.findings)
            target = read_str(value, "an import", self.findings)
            if target is None:
                continue
            kind = self._import_kind(target)
            if kind is not None:
                found[name] = ImportSpec(Located(name, key), kind, target)
        return found

    def _import_kind(self, target: Name) -> str | None:
        text = target.value
        if text.startswith("./") and text.endswith((".yaml", ".yml")) and ".." not in text.split("/"):
            return "flow"
        if _PYTHON_TARGET.match(text):
            return "python"
        fix = None
        if text.endswith((".yaml", ".yml")) and not text.startswith(("/", ".", "\\")) and ":" not in text:
            fix = Fix("write a path", (Edit(target.span, f"./{text}"),))
        self.findings.error(
            "FLW221",
            f"`{text[:60]}` is nothing to import",
            target.span,
            help="write a flow inside the project (`./child.flow.yaml`) or a Python object (`my_pkg.flows:Score`)",
            fix=fix,
        )
        return None

    def _state(self, node: Node) -> dict[str, StateSpec]:
        if not isinstance(node, MapNode):
            report_kind(node, "`state` needs a mapping", self.findings, help="write `round: 0` below it")
            return {}
        found = {}
        for name, (key, value) in node.entries.items():
            if not FIELD.rule(name):
                report_name(key, FIELD, self.findings)
            located = Located(name, key)
            if isinstance(value, MapNode) and "type" in value.entries and value.entries.keys() <= LONG_KEYS:
                field = self.types.read_field(key, value)
                if not field.has_default and not conforms(None, field.type):
                    self.findings.error(
                        "FLW213",
                        f"the state `{name}` needs a first value of the type `{type_to_text(field.type)}`",
                        key.span,
                        help="add `default:`, or allow `null`",
                    )
                found[name] = StateSpec(located, field.default, field.type, value, field.description)
            else:
                found[name] = StateSpec(located, to_plain(value), None, value)
        return found

    def _events(self, node: Node) -> dict[str, EventSpec]:
        if not isinstance(node, MapNode):
            report_kind(node, "`events` needs a mapping", self.findings, help="write `Approved: {by: str}` below it")
            return {}
        found = {}
        for name, (key, value) in node.entries.items():
            if not is_event_name(name):
                report_name(key, EVENT, self.findings)
            elif name in BUILT_IN_EVENTS:
                self.findings.error(
                    "FLW207", f"the event `{name}` is built in", key.span, help=f"use `{name}` without declaring it"
                )
                continue
            elif not name.isascii():
                report_hidden(key, self.findings)
            found[name] = self._event(Located(name, key), value)
        return found

    def _event(self, name: Name, node: Node) -> EventSpec:
        if isinstance(node, ScalarNode):
            if node.value is None:
                return EventSpec(name, {}, node)
            return EventSpec(name, {}, node, type=self._whole_type(self.types.read(node), node))
        if not isinstance(node, MapNode):
            report_kind(node, f"the event `{name.value}` needs a mapping of fields", self.findings)
            return EventSpec(name, {}, node)
        node = self._with_meant_keys(node)
        external = node.get("external")
        has_flag = isinstance(external, ScalarNode) and (external.value is None or not isinstance(external.value, str))
        is_external = bool(has_flag and external is not None and read_bool(external, "`external`", self.findings))
        inner, schema = node.get("fields"), node.get("schema")
        if node.entries.keys() <= _EVENT_LONG_KEYS and (isinstance(inner, MapNode) or isinstance(schema, MapNode)):
            text = node.get("description")
            description = "" if text is None else read_plain_text(text, "`description`", self.findings)
            if isinstance(schema, MapNode):
                bare = MapNode({"schema": node.entries["schema"]}, node.start, node.end, node.source, node.is_flow)
                return EventSpec(name, {}, node, self.types.read(bare), is_external, description)
            assert inner is not None
            return EventSpec(name, self.types.read_fields(inner), node, None, is_external, description)
        entries = {k: entry for k, entry in node.entries.items() if not (has_flag and k == "external")}
        fields = self.types.read_fields(MapNode(entries, node.start, node.end, node.source, node.is_flow))
        return EventSpec(name, fields, node, is_external=is_external)

    def _with_meant_keys(self, node: MapNode) -> MapNode:
        """The long form for an event in which a key of that form is misspelt."""
        beside = _EVENT_LONG_KEYS - {"description"}
        meant = misspelt(node, _EVENT_LONG_KEYS, beside)
        fits = all(isinstance(node.get(name), MapNode) == (key == "fields") for name, key in meant.items())
        return rename(node, meant, "the long form of an event", self.findings) if meant and fits else node

    def _whole_type(self, type_: TypeIR, node: Node) -> TypeIR | None:
        if isinstance(type_, ModelType | SchemaType):
            return type_
        if not any(d.span == node.span for d in self.findings):
            report_kind(
                node,
                "an event needs a mapping of fields",
                self.findings,
                help="write `text: str` below it, or name a model",
            )
        return None

    def _defaults(self, entry: Entry) -> Mapping[str, Entry]:
        fields = read_fields(entry.value, DEFAULTS_KEYS, self.findings)
        if fields is None or not isinstance(entry.value, MapNode):
            return {}
        StepReader(self.findings, self.types, {}).check_defaults(entry.key, entry.value, fields)
        return fields.entries

    def _steps(self, fields: Fields, defaults: Mapping[str, Entry]) -> dict[str, StepSpec]:
        node = fields.get("steps")
        if node is None:
            return {}
        if not isinstance(node, MapNode):
            report_kind(node, "`steps` needs a mapping of steps", self.findings, help="write `my_step:` below it")
            return {}
        if not node.entries:
            self.findings.error("FLW223", "a flow needs at least one step", node.span, help="write `my_step:` below it")
        reader = StepReader(self.findings, self.types, defaults)
        steps: dict[str, StepSpec] = {}
        for name, (key, value) in node.entries.items():
            if len(steps) == MAX_STEPS:
                self.findings.error(
                    "FLW112", f"more than {MAX_STEPS:,} steps", key.span, help="move some into a flow of their own"
                )
                break
            if not STEP.rule(name):
                report_name(key, STEP, self.findings)
            elif name == NONE:
                self.findings.error(
                    "FLW207", "`none` means no event at all", key.span, help="give the step another name"
                )
            elif not name.isascii():
                report_hidden(key, self.findings)
            step = reader.read(key, value)
            if step is not None:
                steps[name] = step
        return steps

    def _check_models(self, imports: Mapping[str, ImportSpec]) -> None:
        for name, node in self.types.models:
            if name in imports:
                continue
            meant = suggest(name, imports)
            self.findings.error(
                "FLW211",
                f"no import brings in a model `{name}`",
                node.span,
                help=f"did you mean `{meant}`?"
                if meant
                else f"add it to `imports:`, or quote it if it is a fixed value: '\"{name}\" | …'",
            )
