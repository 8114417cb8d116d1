"""Parses a type written in one text: `approve | reject`, `[str] | null`, `{name: str}`. Offsets are into that text.

Grammar:
    union = atom { "|" atom }
    atom  = word | quoted | "[" union "]" | "{" [ name ":" union { "," name ":" union } ] "}"
A word is a type's name, a model's name when it begins with a capital, and inside a union otherwise a fixed value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from orchestrator.expr.suggest import edit_distance
from orchestrator.language.nodes import Scalar
from orchestrator.language.suggest import suggest
from orchestrator.language.types import (
    PRIMITIVES,
    TYPE_SYNONYMS,
    TYPE_WORDS,
    EnumType,
    FieldType,
    ListType,
    ModelType,
    NullType,
    ObjectType,
    Primitive,
    TypeIR,
    UnionType,
    type_to_text,
)

_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[|\[\]{},]|:(?=\s|$))|(?P<quoted>"[^"]*"|'[^']*')|(?P<word>[^\s|\[\]{},:"'](?:[^|\[\]{},:"']*[^\s|\[\]{},:"'])?))"""
)
_INT = re.compile(r"-?[0-9]{1,18}\Z")
_MODEL = re.compile(r"[A-Z]\w*\Z")
_GENERIC = re.compile(r"(?:list|List|array|Array|Sequence|set|tuple)\Z")
_DEPTH = 32
MAX_TEXT = 10_000
MAX_MEMBERS = 500


class BadType(Exception):
    """Why a text is no type: the offsets of the part to blame, and how to write it."""

    def __init__(
        self,
        code: str,
        message: str,
        start: int,
        end: int,
        help: str | None = None,
        replacement: str | None = None,
        is_safe: bool = True,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.start = start
        self.end = end
        self.help = help
        self.replacement = replacement
        self.is_safe = is_safe  # whether the replacement is another way to write the same


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # "mark", "quoted", "word" or "end"
    text: str
    start: int
    end: int


def parse_type_text(text: str) -> TypeIR:
    """The type that a text stands for.

    Raises: BadType.
    """
    if len(text) > MAX_TEXT:
        raise BadType("FLW212", f"the type has more than {MAX_TEXT:,} characters", 0, len(text), "write a JSON Schema")
    parser = _Parser(_tokens(text), text)
    type_ = parser.union(0)
    parser.expect_end()
    return type_


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadType("FLW212", "this is no type", at, len(text), "write one such as `str`, `[str]`, `a | b`")
        kind = match.lastgroup or ""
        tokens.append(_Token(kind, match[kind], match.start(kind), match.end(kind)))
        at = match.end()
    tokens.append(_Token("end", "", len(text), len(text)))
    return tokens


class _Parser:
    def __init__(self, tokens: list[_Token], text: str) -> None:
        self.tokens = tokens
        self.text = text
        self.index = 0

    def take(self) -> _Token:
        token = self.tokens[self.index]
        self.index = min(self.index + 1, len(self.tokens) - 1)
        return token

    def peek(self) -> _Token:
        return self.tokens[self.index]

    def expect(self, mark: str, opened: _Token) -> None:
        token = self.peek()
        if token.kind == "mark" and token.text == mark:
            self.take()
            return
        raise BadType("FLW212", f"`{opened.text}` is not closed by `{mark}`", opened.start, opened.end)

    def expect_end(self) -> None:
        token = self.peek()
        if token.kind == "end":
            return
        raise BadType("FLW212", f"`{token.text}` has no place here", token.start, token.end, "join types with `|`")

    def _refuse_generic(self, word: _Token) -> NoReturn:
        """`list[str]` and the like."""
        opened = self.take()
        item = self.union(_DEPTH - 1)
        end = self.peek().end
        self.expect("]", opened)
        if _GENERIC.match(word.text):
            inner = f"[{type_to_text(item)}]"
            raise BadType("FLW212", f"a list is written `{inner}`", word.start, end, None, inner)
        raise BadType(
            "FLW212", f"`{word.text}` takes no type in brackets", word.start, end, "a mapping is `{field: str}`"
        )

    def union(self, depth: int) -> TypeIR:
        if depth > _DEPTH:
            raise BadType("FLW212", "the type is nested too deep", 0, len(self.text))
        first = self.peek()
        members = [self.atom(depth, is_alone=self._is_alone())]
        while self.peek().kind == "mark" and self.peek().text == "|":
            self.take()
            members.append(self.atom(depth, is_alone=False))
            if len(members) > MAX_MEMBERS:
                message = f"a union of more than {MAX_MEMBERS} members"
                raise BadType("FLW212", message, first.start, self.peek().start, "write a JSON Schema")
        return members[0] if len(members) == 1 else _join(members, first, self.peek())

    def _is_alone(self) -> bool:
        following = self.tokens[min(self.index + 1, len(self.tokens) - 1)]
        return not (following.kind == "mark" and following.text == "|")

    def atom(self, depth: int, *, is_alone: bool) -> TypeIR:
        token = self.take()
        if token.kind == "word":
            if self.peek().text == "[" and self.peek().start == token.end:
                self._refuse_generic(token)
            return _word(token, is_alone)
        if token.kind == "quoted":
            return EnumType((token.text[1:-1],))
        if token.text == "[":
            item = self.union(depth + 1)
            self.expect("]", token)
            return ListType(item)
        if token.text == "{":
            return self.fields(token, depth)
        if token.kind == "end":
            raise BadType("FLW212", "a type is missing here", max(0, token.start - 1), token.end)
        raise BadType("FLW212", f"a type is missing before `{token.text}`", token.start, token.end)

    def fields(self, opened: _Token, depth: int) -> TypeIR:
        fields: dict[str, FieldType] = {}
        while not (self.peek().kind == "mark" and self.peek().text == "}"):
            name = self.take()
            if name.kind != "word":
                raise BadType("FLW212", "the name of a field is missing here", max(0, name.start - 1), name.end)
            colon = self.take()
            if colon.text != ":":
                raise BadType("FLW212", f"`{name.text}` needs a type: `{name.text}: str`", name.start, name.end)
            fields[name.text] = FieldType(self.union(depth + 1))
            if self.peek().text != ",":
                break
            self.take()
        self.expect("}", opened)
        return ObjectType(fields)


def _word(token: _Token, is_alone: bool) -> TypeIR:
    word = token.text
    if word in PRIMITIVES:
        return Primitive(word)
    if word in ("null", "~"):
        return NullType()
    if word.endswith("?") and (word[:-1] in PRIMITIVES or _MODEL.match(word[:-1])):
        raise _bad_word(token, f"an optional type is written `{word[:-1]} | null`", f"{word[:-1]} | null")
    if is_alone and _MODEL.match(word) and word.casefold() not in TYPE_WORDS and word.casefold() not in TYPE_SYNONYMS:
        return ModelType(word)
    if is_alone:
        raise _bad_word(token, f"`{word}` is no type", suggest(word, TYPE_WORDS, TYPE_SYNONYMS))
    near = _letter_away(word)
    if near is not None:
        raise _bad_word(token, f"`{word}` is within a letter of the type `{near}`", near)
    if word.casefold() in TYPE_SYNONYMS and word.casefold() in ("string", "integer", "boolean", "none"):
        raise _bad_word(token, f"`{word}` is no type", suggest(word, TYPE_WORDS, TYPE_SYNONYMS))
    if _INT.match(word):
        return EnumType((int(word),))
    if _MODEL.match(word):
        return ModelType(word)
    return EnumType((word,))


@lru_cache(maxsize=1024)
def _letter_away(word: str) -> str | None:
    """The type that a word is one letter from."""
    if len(word) < 2:
        return None
    return next(
        (name for name in TYPE_WORDS if abs(len(word) - len(name)) < 2 and edit_distance(word, name, 1) == 1), None
    )


def _bad_word(token: _Token, message: str, meant: str | None) -> BadType:
    help_text = f"did you mean `{meant}`?" if meant else "the types are " + ", ".join(f"`{t}`" for t in PRIMITIVES)
    if meant and meant in TYPE_WORDS and " is within " in message:
        help_text = f"did you mean `{meant}`? A fixed value that looks like a type must be quoted"
    is_safe = token.text.endswith("?") or TYPE_SYNONYMS.get(token.text.casefold()) == meant
    return BadType("FLW211", message, token.start, token.end, help_text, meant, is_safe)


def _join(members: list[TypeIR], first: _Token, last: _Token) -> TypeIR:
    """A union; fixed values next to each other become one enum, which null joins."""
    values: list[Scalar] = []
    others: list[TypeIR] = []
    has_null = False
    for member in members:
        if isinstance(member, EnumType):
            values.extend(member.values)
        elif isinstance(member, NullType):
            has_null = True
        else:
            others.append(member)
    seen: list[object] = []
    for item in [*values, *others]:
        if item in seen:
            shown = item if isinstance(item, str) else "a type"
            raise BadType("FLW208", f"`{shown}` stands twice in the union", first.start, last.start, "write it once")
        seen.append(item)
    models = [m.name for m in others if isinstance(m, ModelType)]
    if models and values:
        raise BadType(
            "FLW212",
            f"`{models[0]}` reads as a model beside fixed values",
            first.start,
            last.start,
            f"quote it if it is a fixed value: '\"{models[0]}\"'",
        )
    result: list[TypeIR] = list(others)
    if values:
        result.insert(0, EnumType((*values, None) if has_null and not others else tuple(values)))
    if has_null and not (values and not others):
        result.append(NullType())
    return result[0] if len(result) == 1 else UnionType(tuple(result))
