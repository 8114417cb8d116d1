"""Which JSON Schemas a flow may hold: 2020-12, closed in itself, and cheap to run (SAFETY.md, "JSON Schema").

Refused: references to elsewhere, patterns that can run away, huge schemas, and what the meta-schema refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.diagnostics import Span
from orchestrator.language.findings import Findings
from orchestrator.language.nodes import Entry, MapNode, Node, ScalarNode, SeqNode, to_plain
from orchestrator.language.scalar_map import span_inside
from orchestrator.language.suggest import suggest
from orchestrator.plugin.pattern_guard import pattern_problem

MAX_SCHEMAS = 5_000
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = ("null", "boolean", "object", "array", "number", "string", "integer")
_TYPE_SYNONYMS = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "dict": "object",
    "list": "array",
}
_ONE = ("items", "contains", "additionalProperties", "unevaluatedProperties", "unevaluatedItems", "propertyNames", "not",
        "if", "then", "else", "contentSchema")  # fmt: skip
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_OTHER = (
    "$schema", "$id", "$ref", "$anchor", "$comment", "$dynamicRef", "$dynamicAnchor", "$vocabulary", "type", "enum",
    "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength",
    "pattern", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains", "maxProperties", "minProperties",
    "required", "dependentRequired", "format", "contentEncoding", "contentMediaType", "title", "description", "default",
    "deprecated", "readOnly", "writeOnly", "examples",
)  # fmt: skip
KEYWORDS = (*_ONE, *_MANY, *_NAMED, *_OTHER)


def check_schema(node: Node, findings: Findings) -> None:
    """Report every part of a JSON Schema that a flow may not hold, at its place."""
    before = len(findings)
    for count, schema in enumerate(_schemas(node), 1):
        if count > MAX_SCHEMAS:
            findings.error("FLW214", f"the schema has more than {MAX_SCHEMAS:,} parts", _span_start(node))
            return
        for name, entry in schema.entries.items():
            _check_keyword(name, entry, findings)
    if len(findings) == before:
        _check_against_meta_schema(node, findings)


def _span_start(node: Node) -> Span:
    return node.source.span(node.start, min(node.start + 1, node.end))


def _schemas(root: Node) -> Iterator[MapNode]:
    """Every mapping that stands where a schema does."""
    pending: list[Node] = [root]
    while pending:
        node = pending.pop()
        if not isinstance(node, MapNode):
            continue
        yield node
        for name, entry in node.entries.items():
            if name in _ONE:
                pending.append(entry.value)
            elif name in _MANY and isinstance(entry.value, SeqNode):
                pending.extend(entry.value.items)
            elif name in _NAMED and isinstance(entry.value, MapNode):
                pending.extend(sub.value for sub in entry.value.entries.values())


def _check_keyword(name: str, entry: Entry, findings: Findings) -> None:
    value = entry.value
    if name not in KEYWORDS and not name.startswith("x-"):
        meant = suggest(name, KEYWORDS)
        if meant is not None:
            findings.error(
                "FLW214", f"JSON Schema has no keyword `{name}`", entry.key.span, help=f"did you mean `{meant}`?"
            )
        return
    if name in ("$ref", "$dynamicRef") and isinstance(value, ScalarNode) and not value.text.startswith("#"):
        findings.error(
            "FLW214",
            f"`{name}` leads out of this schema, and nothing is fetched",
            value.span,
            help="copy the part into `$defs` and refer to it as `#/$defs/name`",
        )
    elif name == "$schema" and isinstance(value, ScalarNode) and value.text.rstrip("#") != DIALECT:
        findings.error(
            "FLW214", "only JSON Schema 2020-12 is known here", value.span, help=f"delete it, or write {DIALECT}"
        )
    elif name == "type":
        _check_type(value, findings)
    elif name == "pattern" and isinstance(value, ScalarNode):
        _check_pattern(value, findings)
    elif name == "patternProperties" and isinstance(value, MapNode):
        for sub in value.entries.values():
            _check_pattern(sub.key, findings)


def _check_type(value: Node, findings: Findings) -> None:
    for item in value.items if isinstance(value, SeqNode) else [value]:
        if isinstance(item, ScalarNode) and item.text not in _TYPES:
            meant = suggest(item.text, _TYPES, _TYPE_SYNONYMS)
            findings.error(
                "FLW214",
                f"JSON Schema has no type `{item.text}`",
                item.span,
                help=f"did you mean `{meant}`?" if meant else "its types are " + ", ".join(_TYPES),
            )


def _check_pattern(node: ScalarNode, findings: Findings) -> None:
    reason = pattern_problem(node.text)
    if reason is not None:
        findings.error(
            "FLW214",
            f"the pattern is refused: {reason}",
            span_inside(node, 0, len(node.text)),
            help="write it without back-references, look-around and repetition of repetitions",
        )


def _check_against_meta_schema(node: Node, findings: Findings) -> None:
    import jsonschema  # slow to import, and few flows hold a schema

    validator = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
    try:
        errors = sorted(validator.iter_errors(to_plain(node)), key=lambda error: list(map(str, error.absolute_path)))
    except RecursionError:
        findings.error("FLW214", "the schema is nested too deep", _span_start(node))
        return
    for error in errors[:5]:
        place = _descend(node, error.absolute_path)
        findings.error("FLW214", f"this is no JSON Schema: {error.message[:200]}", _span_start(place))


def _descend(node: Node, path: Iterable[str | int]) -> Node:
    for part in path:
        if isinstance(node, MapNode) and isinstance(part, str) and part in node.entries:
            node = node.entries[part].value
        elif isinstance(node, SeqNode) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
    return node
