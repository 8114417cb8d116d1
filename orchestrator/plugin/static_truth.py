"""What the text of a file tells without running it: which branches are taken, what is caught, which names may be there.

Every answer errs on the side of not knowing: a file that may work is not called broken.
"""

from __future__ import annotations

import ast
import builtins
import os
import sys
from pathlib import Path

from orchestrator.errors import PluginError
from orchestrator.plugin.syntax import parse_module


def may_catch(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches a failed import; names that are not Python's own may mean anything."""
    match handler.type:
        case None:
            return True
        case ast.Tuple(elts=kinds):
            return any(_catches(kind) for kind in kinds)
        case kind:
            return _catches(kind)


def _catches(kind: ast.expr) -> bool:
    known = getattr(builtins, kind.id, None) if isinstance(kind, ast.Name) else None
    return known is None or (isinstance(known, type) and issubclass(ModuleNotFoundError, known))


def truth(test: ast.expr) -> bool | None:
    """What a test at the top of a file is worth here; None where only running it would tell."""
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return False
        case ast.Constant(value=value):
            return bool(value)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = truth(operand)
            return None if inner is None else not inner
        case ast.BoolOp(op=op, values=values):
            truths = [truth(value) for value in values]
            decided = isinstance(op, ast.Or)
            if decided in truths:
                return decided
            return None if None in truths else not decided
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _comparison(left, op, right)
        case _:
            return None


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr) -> bool | None:
    known = {"sys.version_info": tuple(sys.version_info), "sys.platform": sys.platform, "os.name": os.name}
    value = known.get(ast.unparse(left))
    if isinstance(left, ast.Name) and left.id == "__name__":
        return isinstance(op, ast.NotEq)  # it is imported, not run as a program
    try:
        wanted = ast.literal_eval(right)
        match op:
            case ast.Eq():
                return None if value is None else value == wanted
            case ast.NotEq():
                return None if value is None else value != wanted
            case ast.Lt() if value is not None:
                return bool(value < wanted)
            case ast.LtE() if value is not None:
                return bool(value <= wanted)
            case ast.Gt() if value is not None:
                return bool(value > wanted)
            case ast.GtE() if value is not None:
                return bool(value >= wanted)
            case _:
                return None
    except (ValueError, TypeError, SyntaxError):
        return None


def moves_path(tree: ast.Module) -> bool:
    """Whether a file itself says where modules come from, so that what it imports cannot be told from here."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr in ("path", "meta_path", "path_hooks", "modules", "addsitedir"))
        and isinstance(node.value, ast.Name)
        and node.value.id in ("sys", "site")
        for node in ast.walk(tree)
    )


def bound_names(file: Path) -> frozenset[str] | None:
    """Every name that a file may define; None where it makes names that its text does not show."""
    try:
        tree = parse_module(file).tree
    except PluginError:
        return None
    found: set[str] = set(dir(type(sys)))
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found.update((alias.asname or alias.name).partition(".")[0] for alias in names)
            case ast.Call(func=ast.Name(id="globals" | "vars" | "exec" | "setattr")):
                return None
            case _:
                pass
    return (
        None if found & {"__getattr__", "*"} else frozenset(found | {"__file__", "__path__", "__name__", "__package__"})
    )
