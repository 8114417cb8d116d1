"""Expressions: read, checked, compiled once and evaluated against plain data. Never runs code that a flow brings.

This is the surface that the layers above use to evaluate; the checker imports `checking` and `types` besides.
"""

from __future__ import annotations

from orchestrator.expr.compiled import Compiled, compile_expr
from orchestrator.expr.errors import ExprError, ExprSyntaxError
from orchestrator.expr.nodes import Expr
from orchestrator.expr.parser import parse
from orchestrator.expr.secrets import SecretRef, SecretText, resolve_secrets, seal, secret_scope, unseal
from orchestrator.expr.text import bare_source, encode_data, encode_text, find_expressions, split_text
from orchestrator.expr.values import CompiledValue, compile_url_value, compile_value

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
