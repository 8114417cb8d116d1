"""Finds steps that keep something in the workflow instance: a store does not keep it, so whoever uses one is warned."""

from __future__ import annotations

import ast
import inspect
import textwrap
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # only named
    from orchestrator.authoring.definition import StepDef

_warned: set[type[Any]] = set()


def warn_of_instance_state(cls: type[Any], steps: Iterable[StepDef]) -> None:
    """Warn, once per class, of every attribute of `self` that a step sets."""
    if cls in _warned:
        return
    _warned.add(cls)
    found = [f"{step.where} sets self.{name}" for step in steps if step.is_method for name in _set_by(step.func)]
    if found:
        warnings.warn(
            f"{cls.__name__}: {'; '.join(found)}. Attributes of the instance are shared by all of its runs and are not "
            "kept in a store; use `await ctx.store.set(...)`",
            UserWarning,
            stacklevel=4,
        )


def _set_by(func: Any) -> list[str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(func)))
    except (OSError, TypeError, SyntaxError):
        return []
    function = tree.body[0] if tree.body else None
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or not function.args.args:
        return []
    owner = function.args.args[0].arg
    targets: list[ast.expr] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets.append(node.target)
    names = (_attribute(target, owner) for target in targets)
    return list(dict.fromkeys(name for name in names if name is not None))


def _attribute(target: ast.expr, owner: str) -> str | None:
    """The attribute of `owner` that an assignment goes to, also through an index."""
    while isinstance(target, ast.Subscript):
        target = target.value
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == owner:
        return target.attr
    return None
