"""docs/promises.md: every test that it names is there, and every limit that the config knows is in its table."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from orchestrator.plugin.config import LIMITS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def test_the_page_names_tests() -> None:
    assert len(NAMED) > 15
    assert not set(re.findall(r"tests/[^`\s]+", PAGE)) - {f"{file}::{name}" for file, name in NAMED}


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_holds_a_promise_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in tree.body if isinstance(node, functions)}


def test_every_limit_of_the_config_is_explained() -> None:
    keys = re.findall(r"`(\w+)`", PAGE.partition("## Limits")[2])
    assert not set(LIMITS) - set(keys)
