"""How an expression is put into a URL, by the place where it stands. Makes no request and checks no address.

At the very start it is a base address and goes in as it is. In the host only the characters of a host name may come
of it. After the host it is percent-encoded, `/` too; `| urlencode` says that the author has encoded it and wants `/`
kept, and is not encoded again. Neither can make a `.` or `..` of the path.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from orchestrator.expr.errors import Fault
from orchestrator.expr.nodes import Cond, Expr, Filter
from orchestrator.expr.operators import NUMBERS, kind, number_text
from orchestrator.expr.secrets import SecretRef, SecretText

if TYPE_CHECKING:  # only its type: a part of a text is a literal or something compiled
    from orchestrator.expr.compiled import Compiled

_HOST = re.compile(r"[A-Za-z0-9._\-]{0,253}(?::[0-9]{1,5})?", re.ASCII)
_AFTER_HOST = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//[^/?#]*[/?#]|^/(?!/)|^[^:/?#]*[/?#]", re.ASCII)


class Place(Enum):
    """Where in a text an expression stands."""

    TEXT = "text"  # any text that is no URL
    BASE = "base"  # goes in as it is
    HOST = "host"
    PATH = "path"
    ENCODED_PATH = "encoded path"  # encoded by the author
    QUERY = "query"

    # Any is a plain value of the expression language.
    def convert(self, value: Any) -> Any:
        """The value as it goes into the URL. Raises: Fault for what cannot."""
        match self:
            case Place.TEXT:
                return value
            case Place.BASE:
                return _url_text(value)
            case Place.HOST:
                return _host(value)
            case Place.PATH:
                return _encoded(_no_dots(_url_text(value)))
            case Place.ENCODED_PATH:
                return _no_dots(_url_text(value))
            case Place.QUERY:
                return _encoded(_url_text(value))


def compile_url_parts(parts: Sequence[str | Compiled]) -> list[tuple[str | Compiled, Place]]:
    """Each part of a URL with the place that decides how it is put in."""
    placed: list[tuple[str | Compiled, Place]] = []
    before = ""
    has_base = False
    for i, part in enumerate(parts):
        if isinstance(part, str):
            placed.append((part, Place.TEXT))
            before += part
        elif i == 0:
            placed.append((part, Place.BASE))
            has_base = True
        elif has_base or _AFTER_HOST.match(before):
            placed.append((part, _after_host(part.expr, "?" in before or "#" in before)))
        else:
            placed.append((part, Place.HOST))
            before += "x"
    return placed


def _after_host(node: Expr, is_query: bool) -> Place:
    if is_encoded(node):
        return Place.BASE if is_query else Place.ENCODED_PATH
    return Place.QUERY if is_query else Place.PATH


def is_encoded(node: Expr) -> bool:
    """Whether the author has encoded the value already."""
    match node:
        case Filter(name="urlencode"):
            return True
        case Cond(then=then, orelse=orelse):
            return is_encoded(then) and is_encoded(orelse)
        case _:
            return False


def _url_text(value: Any) -> Any:
    if type(value) is str or type(value) in (SecretRef, SecretText):
        return value
    if type(value) in NUMBERS:
        return number_text(value)
    raise Fault(f"{kind(value)} cannot be put into a URL", "an object becomes a query with `| urlencode`")


def _host(value: Any) -> Any:
    text = _url_text(value)
    if type(text) is str and _HOST.fullmatch(text):
        return text
    help = "write the `/` after the host before the expression: `https://host/${{ … }}`"
    raise Fault("in the host of a URL only letters, digits, `.`, `-` and a port may come of an expression", help)


def _encoded(text: Any) -> Any:
    if isinstance(text, SecretRef):
        return SecretRef(text.name, is_quoted=True)
    if isinstance(text, SecretText):
        pieces = (quote(p, safe="") if isinstance(p, str) else SecretRef(p.name, is_quoted=True) for p in text.parts)
        return SecretText(tuple(pieces))
    return quote(text, safe="")


def _no_dots(text: Any) -> Any:
    if isinstance(text, str) and any(part in (".", "..") for part in re.split(r"[/\\?#]", unquote(text))):
        raise Fault("`.` and `..` cannot be put into the path of a URL")
    return text
