"""The reference of the public names is as the code is, and every one of them says what it is."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

from tests.docs.api_page import MODULES, api_page
from tests.docs.pages import ROOT, text_of
from tests.support.golden import matches_golden


def test_the_reference_is_golden() -> None:
    assert matches_golden(ROOT / "docs" / "api.md", api_page())


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_and_its_methods_say_what_they_are(module: str) -> None:
    found = importlib.import_module(module)
    silent = []
    for name in found.__all__:
        value = getattr(found, name)
        if inspect.isclass(value):
            own = [(k, getattr(v, "__func__", v)) for k, v in vars(value).items() if not k.startswith("_")]
            silent += [f"{name}.{k}" for k, v in own if inspect.isfunction(v) and not inspect.getdoc(v)]
        if not inspect.getdoc(value):
            silent.append(name)
    assert silent == []


def test_every_error_of_the_guide_is_a_public_name() -> None:
    table = text_of("docs/python.md").partition("## What is raised")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", table, re.M)
    names = [name for cell in first_cells for name in re.findall(r"`([\w.]+)`", cell)]
    modules = {name: importlib.import_module(f"orchestrator.{name}") for name in ("errors", "functional")}
    assert len(names) > 15
    for name in names:
        module, _, public = name.rpartition(".")
        assert public in (modules[module] if module else importlib.import_module("orchestrator")).__all__
