"""`orchestrator schema`: the JSON Schema of flow files with the `with:` fields of every step this project can call."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import open_project
from orchestrator.cli.output import print_json, say

if TYPE_CHECKING:  # loaded when the project is opened
    from orchestrator.authoring.project import Project
    from orchestrator.plugin.info import CallableInfo

Json = Any  # JSON Schema
TEMPLATE = {"type": "string", "pattern": r"\$\{\{"}


@click.command("schema")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file; else to standard output.")
@click.option("--draft-07", "draft_07", is_flag=True, help="For editors that know draft 7 only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; the schema is its `data`.")
def command(output: Path | None, draft_07: bool, as_json: bool) -> int:
    """Bundle the schema, so that an editor completes and checks the project's own steps."""
    schema = bundled_schema(open_project())
    if draft_07:
        from orchestrator.language.schema_files import to_draft_07

        schema = to_draft_07(schema)
    if output is not None:
        write_schema(schema, output)
    if as_json:
        print_json("schema", ok=True, data={"file": str(output)} if output is not None else schema)
    elif output is None:
        click.echo(json.dumps(schema, indent=1, ensure_ascii=False))
    else:
        say(f"wrote {output}; name it in the first line of a flow: # yaml-language-server: $schema={output}")
    return Exit.OK


def write_schema(schema: dict[str, Json], file: Path) -> None:
    """Write a schema, its folder too. Raises: CommandFailed."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schema, indent=1, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise CommandFailed(f"{file}: {error.strerror or error}", Exit.ENVIRONMENT) from error


def bundled_schema(project: Project) -> dict[str, Json]:
    """The schema of flow files with a `with:` part per callable of the project."""
    from orchestrator.language.schema_files import flow_schema

    schema = flow_schema()
    definitions: dict[str, Json] = schema["$defs"]
    infos = [info for name in project.catalog.names() if (info := project.catalog.get(name)) is not None]
    known = {"enum": [info.name for info in infos]}
    definitions["callable"] = {**definitions["callable"], "anyOf": [known, {"type": "string"}]}
    rules = definitions["step"].setdefault("allOf", [])
    for info in infos:
        key = f"with.{info.name}"
        definitions[key] = with_schema(info)
        rules.append(
            {
                "if": {"required": ["call"], "properties": {"call": {"const": info.name}}},
                "then": {"properties": {"with": {"$ref": f"#/$defs/{key}"}}},
            }
        )
    return schema


def with_schema(info: CallableInfo) -> Json:
    """The `with:` of a callable; every field may be an expression instead."""
    inner = copy.deepcopy(info.input_schema)
    shared = inner.pop("$defs", {})
    fields = {
        name: {**_described(part), "anyOf": [_inlined(part, shared), TEMPLATE]} for name, part in info.fields.items()
    }
    return {
        "type": "object",
        "description": info.doc,
        "properties": fields,
        "required": list(info.required),
        "additionalProperties": False,
    }


def _described(part: Json) -> dict[str, Json]:
    return {"description": part["description"]} if isinstance(part, dict) and "description" in part else {}


def _inlined(part: Json, shared: dict[str, Json], outer: tuple[str, ...] = ()) -> Json:
    """A schema without references; what refers to itself is open."""
    if isinstance(part, list):
        return [_inlined(item, shared, outer) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        name = str(part["$ref"]).rpartition("/")[2]
        return True if name in outer else _inlined(shared.get(name, True), shared, (*outer, name))
    return {key: _inlined(value, shared, outer) for key, value in part.items()}
