"""Expressions: read, checked, compiled once and evaluated against plain data. Never runs code that a flow brings.

This is the surface that the layers above use to evaluate; the checker imports `checking` and `types` besides. Names are
loaded at first use: the codec of the runtime needs `secrets` alone, and a run of a Python workflow no expression at all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # at run time see __getattr__
    from orchestrator.expr.compiled import Compiled, compile_expr
    from orchestrator.expr.errors import ExprError, ExprSyntaxError
    from orchestrator.expr.nodes import Expr
    from orchestrator.expr.parser import parse
    from orchestrator.expr.secrets import SecretRef, SecretText, resolve_secrets, seal, secret_scope, unseal
    from orchestrator.expr.text import bare_source, encode_data, encode_text, find_expressions, split_text
    from orchestrator.expr.values import CompiledValue, compile_url_value, compile_value

_PLACES = {
    "compiled": ("Compiled", "compile_expr"),
    "errors": ("ExprError", "ExprSyntaxError"),
    "nodes": ("Expr",),
    "parser": ("parse",),
    "secrets": ("SecretRef", "SecretText", "resolve_secrets", "seal", "secret_scope", "unseal"),
    "text": ("bare_source", "encode_data", "encode_text", "find_expressions", "split_text"),
    "values": ("CompiledValue", "compile_url_value", "compile_value"),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Compiled",
    "CompiledValue",
    "Expr",
    "ExprError",
    "ExprSyntaxError",
    "SecretRef",
    "SecretText",
    "bare_source",
    "compile_expr",
    "compile_url_value",
    "compile_value",
    "encode_data",
    "encode_text",
    "find_expressions",
    "parse",
    "resolve_secrets",
    "seal",
    "secret_scope",
    "split_text",
    "unseal",
]


def __getattr__(name: str) -> Any:  # whatever the name stands for
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'orchestrator.expr' has no attribute {name!r}")
    value = getattr(import_module(f"orchestrator.expr.{module}"), name)
    globals()[name] = value
    return value
