"""Nodes to types and fields: the shorthand in YAML, its long form, JSON Schemas. Reports everything that is no type."""

from __future__ import annotations

from orchestrator.diagnostics import Edit, Fix
from orchestrator.language.findings import Findings
from orchestrator.language.json_schema import check_schema
from orchestrator.language.names import FIELD
from orchestrator.language.nodes import MapNode, Node, ScalarNode, SeqNode, to_plain
from orchestrator.language.quoting import quote
from orchestrator.language.scalar_map import span_inside
from orchestrator.language.shape import misspelt, read_plain_text, rename, report_kind, report_name
from orchestrator.language.spec import FieldSpec, Located, Name
from orchestrator.language.type_text import BadType, parse_type_text
from orchestrator.language.types import (
    ANY,
    PRIMITIVES,
    ListType,
    ModelType,
    NullType,
    ObjectType,
    Primitive,
    SchemaType,
    TypeIR,
    UnionType,
    conforms,
    type_to_text,
)

LONG_KEYS = frozenset({"type", "fields", "schema", "default", "description"})
_WORDS: dict[str, TypeIR] = {name: Primitive(name) for name in PRIMITIVES}


class TypeReader:
    """Reads types of one file; `models` are the places at which an imported model is named."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.models: list[tuple[str, Node]] = []
        self._texts: dict[str, TypeIR] = dict(_WORDS)

    def read(self, node: Node) -> TypeIR:
        """The type of a node; `any`, with a finding, where it is none."""
        if isinstance(node, ScalarNode):
            return self._text(node)
        if isinstance(node, SeqNode):
            if len(node.items) == 1:
                return ListType(self.read(node.items[0]))
            self.findings.error(
                "FLW212", f"a list type has one type in it, not {len(node.items)}", node.span, help="write `[str]`"
            )
            return ANY
        if self._is_long(node):
            return self._long_type(node)
        return ObjectType({name: spec.field_type for name, spec in self.read_fields(node).items()})

    def read_fields(self, node: Node) -> dict[str, FieldSpec]:
        """The fields of a mapping of names to types; nothing stands for no fields."""
        if isinstance(node, ScalarNode) and node.value is None:
            return {}
        if not isinstance(node, MapNode):
            report_kind(node, "fields need a mapping of names to types", self.findings, help="write `name: str`")
            return {}
        fields = {}
        for name, entry in node.entries.items():
            if not FIELD.rule(name) or not name.isascii():
                self._check_name(entry.key)
            fields[name] = self.read_field(entry.key, entry.value)
        return fields

    def _check_name(self, key: ScalarNode) -> None:
        if not FIELD.rule(key.text):
            report_name(key, FIELD, self.findings)

    def read_field(self, key: ScalarNode, node: Node) -> FieldSpec:
        """One field: a type, or the long form with a default and a description."""
        name = Located(key.text, key)
        known = len(self.findings)
        if isinstance(node, MapNode) and not self._is_long(node):
            node = self._with_meant_keys(node)
        field = self._field(name, node)
        if len(self.findings) == known:
            return field
        return FieldSpec(
            name, ANY, node, True, field.default, field.description
        )  # what it is will be known once mended

    def _with_meant_keys(self, node: MapNode) -> MapNode:
        """The long form for a mapping that is no type, because a key of the long form is misspelt."""
        meant = misspelt(node, LONG_KEYS, LONG_KEYS)
        if not meant or not self._fails(node):
            return node
        return rename(node, meant, "the long form of a type", self.findings)

    def _fails(self, node: Node) -> bool:
        tried = TypeReader(Findings())
        tried.read(node)
        return len(tried.findings) > 0

    def _field(self, name: Name, node: Node) -> FieldSpec:
        if not isinstance(node, MapNode) or not self._is_long(node):
            return FieldSpec(name, self.read(node), node)
        type_ = self._long_type(node)
        description = node.get("description")
        default = node.get("default")
        text = "" if description is None else read_plain_text(description, "`description`", self.findings)
        if default is None:
            return FieldSpec(name, type_, node, description=text)
        value = to_plain(default)
        if not conforms(value, type_):
            self.findings.error(
                "FLW213",
                f"the default is not of the type `{type_to_text(type_)}`",
                default.span,
                help="change one of them",
            )
        return FieldSpec(name, type_, node, True, value, text)

    def _is_long(self, node: MapNode) -> bool:
        keys = node.entries.keys()
        if not keys <= LONG_KEYS:
            return False
        if "type" in keys and "fields" not in keys and "schema" not in keys:
            return True
        fields, schema = node.get("fields"), node.get("schema")
        if isinstance(fields, MapNode) and "type" not in keys and "schema" not in keys:
            return True
        is_path = isinstance(schema, ScalarNode) and schema.text.startswith(("./", "../", "/"))
        is_schema = isinstance(schema, MapNode) or is_path or (isinstance(schema, ScalarNode) and schema.value is True)
        return is_schema and "type" not in keys and "fields" not in keys

    def _long_type(self, node: MapNode) -> TypeIR:
        type_, fields, schema = node.get("type"), node.get("fields"), node.get("schema")
        if type_ is not None:
            return self.read(type_)
        if fields is not None:
            return ObjectType({name: spec.field_type for name, spec in self.read_fields(fields).items()})
        assert schema is not None
        if isinstance(schema, ScalarNode) and isinstance(schema.value, str):
            if not schema.text.startswith("./") or ".." in schema.text.split("/"):
                self.findings.error(
                    "FLW214",
                    "a schema file lies inside the project",
                    schema.span,
                    help="write a path such as `./order.json`",
                )
            return SchemaType(path=schema.text)
        check_schema(schema, self.findings)
        return SchemaType(schema=to_plain(schema))

    def _text(self, node: ScalarNode) -> TypeIR:
        known = self._texts.get(node.text)
        if known is not None and isinstance(node.value, str):
            return known
        if node.value is None and not node.text:
            self.findings.error("FLW212", "a type is missing", node.span, help="write one such as `str`")
            return ANY
        if node.value is None:
            return NullType()
        if isinstance(node.value, bool | int | float):
            self.findings.error(
                "FLW212",
                f"`{node.text}` is a value, and a type is needed",
                node.span,
                help=f"for a default write `{{type: {_type_of(node.value)}, default: {node.text}}}`",
            )
            return ANY
        try:
            type_ = parse_type_text(node.text)
        except BadType as error:
            self._report(node, error)
            return ANY
        models = _models(type_)
        self.models.extend((name, node) for name in models)
        if not models:
            self._texts[node.text] = type_
        return type_

    def _report(self, node: ScalarNode, error: BadType) -> None:
        if node.bent:
            return
        span = span_inside(node, error.start, error.end)
        fix = None
        if error.replacement is not None:
            whole = node.text[: error.start] + error.replacement + node.text[error.end :]
            needs_quotes = node.is_plain and whole[:1] in "[{\"'"
            edit = Edit(node.span, quote(whole)) if needs_quotes and " " in whole else Edit(span, error.replacement)
            fix = Fix(f"write `{error.replacement}`", (edit,), is_safe=error.is_safe)
        help_text = error.help or (f"write `{error.replacement}`" if error.replacement else None)
        self.findings.error(error.code, error.message, span, help=help_text, fix=fix)


def _type_of(value: bool | int | float) -> str:
    return "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"


def _models(type_: TypeIR) -> list[str]:
    match type_:
        case ModelType(name=name):
            return [name]
        case ListType(item=item):
            return _models(item)
        case UnionType(members=members):
            return [name for member in members for name in _models(member)]
        case ObjectType(fields=fields):
            return [name for field in fields.values() for name in _models(field.type)]
        case _:
            return []
