"""`orchestrator new`: a project that runs at once, offline: a flow with tests, a plugin, a config."""

from __future__ import annotations

import re
from pathlib import Path

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import exists, open_project
from orchestrator.cli.output import print_json, say
from orchestrator.cli.schema_cmd import bundled_schema, write_schema

SCHEMA = "schemas/flow.schema.json"

CONFIG = """\
# The project's config; `orchestrator explain config` shows all of it. Every key can be set by ORCHESTRATOR_SECTION_KEY too.
[llm]
fake = true                       # answers come from a built-in fake model; remove this line to use a real one
# base_url = "https://api.openai.com/v1"
# model = "gpt-4o-mini"
# api_key = "OPENAI_API_KEY"      # the name of an environment variable, or of a line in .env

[plugins]
folder = "plugins"                # your own steps: every @plugin.step in there can be called from a flow

[people.groups]
editors = ["kim", "lee", "noa"]
"""
FLOW = """\
# yaml-language-server: $schema=../schemas/flow.schema.json
flow: {name}
description: Draft a post, let an editor approve it, and give it a web address.
inputs:
  topic: str
  author: str
outputs:
  status: str
  slug: str | null
events:
  Drafted:
    text: str
  Approved:
    text: str
  Dropped:
    reason: str
steps:
  write:
    on: Start
    call: llm.chat
    with:
      prompt: |
        Write two sentences about ${{{{ inputs.topic }}}}.
    emit: Drafted
  review:
    on: Drafted
    ask:
      title: Publish the post about ${{{{ inputs.topic }}}}?
      show:
        body: ${{{{ ev.text }}}}
      form:
        verdict: approve | reject
      to:
        groups: [editors]
        not:
          - "${{{{ inputs.author }}}}"
      deadline: 2d
    emit:
      - when: outcome == "approve"
        event: Approved
      - event: Dropped
        with:
          reason: ${{{{ outcome }}}}
  address:
    on: Approved
    call: site.address
    with:
      title: ${{{{ inputs.topic }}}}
    emit:
      event: Stop
      with:
        status: published
        slug: ${{{{ result }}}}
  drop:
    on: Dropped
    emit:
      event: Stop
      with:
        status: ${{{{ ev.reason }}}}
        slug: ${{{{ null }}}}
tests:
  - name: an editor approves
    inputs:
      topic: Autumn Leaves
      author: kim
    mocks:
      write:
        text: Leaves fall.
    answers:
      review:
        - as: kim
          verdict: approve
        - as: lee
          verdict: approve
    expect:
      path: [write, review, address]
      outputs:
        status: published
        slug: autumn-leaves
  - name: nobody answers in two days
    inputs:
      topic: Autumn Leaves
      author: kim
    mocks:
      write:
        text: Leaves fall.
    expect:
      outputs:
        slug: null
"""
PLUGIN = '''\
"""Steps of this project. A typed function is a step: its parameters are the fields of `with:`, its result is `result`."""

from orchestrator.plugin import Plugin

plugin = Plugin("site")


@plugin.step(effect="none", examples=[{"with": {"title": "Hello World"}, "result": "hello-world"}])
def address(title: str) -> str:
    """The web address of a post."""
    return "-".join(title.lower().split())
'''
IGNORE = ".env\n.orchestrator/\n*.db\n*.db-wal\n*.db-shm\n"
README = """\
# {name}

    orchestrator check                       # every mistake, at its place
    orchestrator test                        # the tests that stand in the flows
    orchestrator run flows/{name}.flow.yaml -i topic=Tea -i author=kim
"""


@click.command("new")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="The flow's name; by default the folder's.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(folder: Path, name: str | None, as_json: bool) -> int:
    """Make a project in a new or empty FOLDER: a flow with tests, a plugin, a config. It runs at once, offline."""
    flow = name or flow_name(folder)
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", flow):
        raise CommandFailed(f"`{flow}` is no name for a flow; pass --name with letters, digits and dashes", Exit.USAGE)
    files = {
        "orchestrator.toml": CONFIG,
        f"flows/{flow}.flow.yaml": FLOW.format(name=flow),
        "plugins/site.py": PLUGIN,
        ".gitignore": IGNORE,
        "README.md": README.format(name=flow),
    }
    try:
        if exists(folder) and (not folder.is_dir() or any(folder.iterdir())):
            raise CommandFailed(f"{folder} exists and is not empty; nothing was changed", Exit.CONFLICT)
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
    except (OSError, ValueError) as error:
        raise CommandFailed(f"{folder}: {getattr(error, 'strerror', None) or error}", Exit.ENVIRONMENT) from error
    write_schema(bundled_schema(open_project((folder,))), folder / SCHEMA)
    if as_json:
        print_json("new", ok=True, data={"folder": str(folder), "files": sorted([*files, SCHEMA])})
        return Exit.OK
    say(f"made {folder} with a flow, its tests and a plugin; next:\n")
    say(f"  cd {folder}")
    say("  orchestrator test")
    say(f"  orchestrator run flows/{flow}.flow.yaml -i topic=Tea -i author=kim")
    return Exit.OK


def flow_name(folder: Path) -> str:
    """A flow's name made of a folder's: `My Blog` gives `my-blog`."""
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
