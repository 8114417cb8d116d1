"""Cuts an expression into tokens, with a helpful word for what other languages write. Knows no grammar.

Token kinds are `name str int float end`, the operators as they are written, and the words `and or not in is if else`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.expr.errors import ExprSyntaxError

WORDS = frozenset({"and", "or", "not", "in", "is", "if", "else"})
CONSTANTS: dict[str, bool | None] = {
    "true": True,
    "false": False,
    "null": None,
    "none": None,
    "True": True,
    "False": False,
    "None": None,
}

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<name>[^\W\d]\w*)
  | (?P<float>(?<!\.)[0-9][0-9_]*(?:(?:\.[0-9][0-9_]*)?[eE][+-]?[0-9]+|\.[0-9][0-9_]*))
  | (?P<int>[0-9][0-9_]*)
  | (?P<str>'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")
  | (?P<op>\*\*|//|==|!=|<=|>=|[-+*/%~<>|.,:()\[\]{}=])
  | (?P<bad>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "\n": "",
}
_FOREIGN = {
    "&": ("&&", "`&&` is written `and` here", "and"),
    "!": ("!", "`!` is written `not` here", "not "),
    "?": ("?", "`c ? a : b` is written `a if c else b` here", None),
    ";": (";", "an expression is one value; there are no statements", None),
    "$": ("${{", "inside an expression write the name alone, without `${{ }}`", None),
    "#": ("#", "there are no comments inside an expression", None),
    "`": ("`", "text is written in plain quotes: 'text' or \"text\"", None),
    "“": ("“", "text is written in plain quotes: 'text' or \"text\"", '"'),
    "”": ("”", "text is written in plain quotes: 'text' or \"text\"", '"'),
    "‘": ("‘", "text is written in plain quotes: 'text' or \"text\"", "'"),
    "’": ("’", "text is written in plain quotes: 'text' or \"text\"", "'"),
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """A source in columns: kind, text and place of every token, an `end` token last."""

    kinds: list[str]
    texts: list[str]
    starts: list[int]
    ends: list[int]


def tokenize(source: str) -> Tokens:
    """Cut a source into tokens.

    Cost: O(len(source)). Raises: ExprSyntaxError at the first character that belongs to no token.
    """
    kinds: list[str] = []
    texts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for found in _TOKEN.finditer(source):
        kind = found.lastgroup
        if kind == "space":
            continue
        text = found.group()
        if kind == "op" or text in WORDS:
            kind = text
        elif kind is None or kind == "bad" or (kind == "name" and not text.isidentifier()):
            raise _bad_character(source, found.start())
        kinds.append(kind)
        texts.append(text)
        starts.append(found.start())
        ends.append(found.end())
    kinds.append("end")
    texts.append("")
    starts.append(len(source))
    ends.append(len(source))
    return Tokens(kinds, texts, starts, ends)


def unquote(token: str, start: int) -> str:
    """The text that a quoted token stands for; unknown escapes keep their backslash."""
    body = token[1:-1]
    if "\\" not in body:
        return body
    try:
        text = _ESCAPE.sub(_unescape, body)
        text.encode("utf-8")
    except (ValueError, OverflowError):
        raise ExprSyntaxError(
            "FLW302", "the text holds an escape that is no character", start, start + len(token)
        ) from None
    return text


def _unescape(found: re.Match[str]) -> str:
    escape = found.group()
    if len(escape) > 2:
        return chr(int(escape[2:], 16))
    return _ESCAPES.get(escape[1], escape)


def _bad_character(source: str, at: int) -> ExprSyntaxError:
    char = source[at]
    if char in "'\"":
        return ExprSyntaxError(
            "FLW302",
            f"the text that begins with {char} is not closed",
            at,
            len(source),
            f"end it with {char}; inside it write \\{char}",
        )
    if char in _FOREIGN:
        whole, help, replacement = _FOREIGN[char]
        end = at + len(whole) if source.startswith(whole, at) else at + 1
        if replacement == "and":
            replacement = (
                f"{'' if source[at - 1 : at].isspace() else ' '}and{'' if source[end : end + 1].isspace() else ' '}"
            )
        return ExprSyntaxError(
            "FLW306", f"`{source[at:end]}` is not part of an expression", at, end, help, replacement=replacement
        )
    name = char if char.isprintable() else f"U+{ord(char):04X}"
    return ExprSyntaxError("FLW301", f"`{name}` does not belong in an expression", at, at + 1)
