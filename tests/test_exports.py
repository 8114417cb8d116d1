"""The public modules: what each offers is listed, sorted, documented, and nothing else of ours shows."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import types
from typing import Any

import pytest

PUBLIC_MODULES = (
    "orchestrator",
    "orchestrator.agents",
    "orchestrator.functional",
    "orchestrator.plugin",
    "orchestrator.testing",
    "orchestrator.server",
)
EXISTING = [name for name in PUBLIC_MODULES if importlib.util.find_spec(name) is not None]


def is_ours(value: object) -> bool:
    """Whether a module-level value is a promise of ours: not an import of someone else's name, not a submodule."""
    if isinstance(value, types.ModuleType) or type(value).__module__ == "__future__":
        return False
    origin = getattr(value, "__module__", None)
    return not isinstance(origin, str) or origin.split(".")[0] == "orchestrator"


def lacks_docstring(value: Any) -> bool:  # Any: exported names are of every kind
    """Whether a class or function has no text of its own (a dataclass's generated signature is none)."""
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return False
    text = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
    return not text or text.startswith(f"{value.__name__}(")


def test_the_root_package_is_among_the_modules_checked() -> None:
    assert "orchestrator" in EXISTING


@pytest.mark.parametrize("name", EXISTING)
def test_public_module_has_a_docstring_and_a_sorted_list_of_names(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    assert list(module.__all__) == sorted(set(module.__all__))


@pytest.mark.parametrize("name", EXISTING)
def test_every_listed_name_can_be_imported_and_is_listed_by_dir(name: str) -> None:
    module = importlib.import_module(name)
    assert [entry for entry in module.__all__ if not hasattr(module, entry)] == []
    assert sorted(set(module.__all__) - set(dir(module))) == []


@pytest.mark.parametrize("name", EXISTING)
def test_every_listed_class_and_function_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert [entry for entry in module.__all__ if lacks_docstring(getattr(module, entry))] == []


@pytest.mark.parametrize("name", EXISTING)
def test_no_other_name_of_ours_shows_in_a_public_module(name: str) -> None:
    module = importlib.import_module(name)
    shown = {entry for entry in dir(module) if not entry.startswith("_")} - set(module.__all__)
    assert sorted(entry for entry in shown if is_ours(getattr(module, entry))) == []
