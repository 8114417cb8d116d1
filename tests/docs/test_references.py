"""What the pages point to is there: pages, headings, files, commands, options and make targets."""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Iterator

import click
import pytest

from orchestrator.cli.app import GROUPS
from tests.docs.pages import MADE, PAGES, ROOT, text_of

LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
CODE = re.compile(r"```[\w]*\n.*?^```|`[^`\n]+`", re.S | re.M)
TOPS = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
PATH = re.compile(rf"`((?:{'|'.join(TOPS)}|\.ci)/[\w./-]*)`")
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()
WRITTEN = [page for page in PAGES if page not in MADE]


def anchors(page: str) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    body = re.sub(r"^```.*?^```", "", text_of(page), flags=re.S | re.M)
    heads = re.findall(r"^#+ (.+)$", body, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    broken = []
    for target, anchor in LINK.findall(CODE.sub("", text_of(page)) if page in MADE else text_of(page)):
        path = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        if not path.exists():
            broken.append(target)
        elif anchor and path.suffix == ".md" and anchor not in anchors(str(path.relative_to(ROOT))):
            broken.append(f"{target}#{anchor}")
    assert broken == []


@pytest.mark.parametrize(
    "page", [page for page in WRITTEN if page != "docs/first-hour.md"]
)  # which is about a new project
def test_files_that_are_named_exist(page: str) -> None:
    assert [name for name in PATH.findall(text_of(page)) if "NNNN" not in name and not (ROOT / name).exists()] == []


def test_the_architecture_names_every_package_and_folder() -> None:
    page = text_of("docs/ARCHITECTURE.md")
    packages = [path.name for path in (ROOT / "orchestrator").iterdir() if (path / "__init__.py").exists()]
    assert [name for name in packages if f"`orchestrator/{name}/" not in page] == []
    tops = [line.split("/")[0] for line in TRACKED if "/" in line]
    assert [name for name in set(tops) if name[0] != "." and f"`{name}/" not in page] == []


def command_at(words: list[str]) -> tuple[click.Command | None, list[str]]:
    """The command that words begin with, and the words after it."""
    known = {name: module for group in GROUPS.values() for name, (module, _) in group.items()}
    if words[0] not in known:
        return None, words
    command: click.Command = importlib.import_module(known[words[0]]).command
    rest = words[1:]
    while isinstance(command, click.Group) and rest and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def wrong_words(line: str) -> Iterator[str]:
    """The command and the options of `orchestrator …` that do not exist."""
    words = re.split(r"[\s`]+", re.split(r"[#|>&;]", line)[0].strip())
    command, rest = command_at([word for word in words if word])
    if command is None:
        yield words[0]
        return
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help", "-h"}
    yield from (word for word in rest if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known)


@pytest.mark.parametrize("page", WRITTEN)
def test_commands_and_options_that_are_named_exist(page: str) -> None:
    code = "\n".join(CODE.findall(text_of(page)))
    named = re.findall(r"(?<![\w./-])(?:\.venv/bin/|\.\./\.venv/bin/)?orchestrator (?!import )([a-z][^\n`]*)", code)
    assert [(line, list(wrong_words(line))) for line in named if list(wrong_words(line))] == []


@pytest.mark.parametrize("page", WRITTEN)
def test_make_targets_that_are_named_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.M))
    code = "\n".join(CODE.findall(text_of(page)))
    assert [name for name in re.findall(r"(?:^|`)make ([a-z]+)", code, re.M) if name not in targets] == []
