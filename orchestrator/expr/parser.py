"""Reads an expression into a syntax tree: Jinja2's expression grammar and precedence, closed and exact to the column.

Binding from loose to tight: `a if c else b`, `or`, `and`, `not`, comparisons and `in`, `+ -`, `~`, `* / // %`, `**`,
sign, `.x [i]`, filters and `is`. So `a + b | length` is `a + (b | length)`. What Jinja allows and we refuse: calls
other than `range(…)`, names that begin with `_`, `a ** b ** c`, an `if` without `else`. What we add: `null`.
Filters, tests and their arguments are checked against their tables here, by `arguments`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NoReturn

from orchestrator.expr import hints
from orchestrator.expr.arguments import Named, bind_call, bind_filter, bind_test, check_name, function_name
from orchestrator.expr.errors import ExprSyntaxError
from orchestrator.expr.lexer import CONSTANTS, tokenize, unquote
from orchestrator.expr.limits import DEPTH, SOURCE_BYTES
from orchestrator.expr.nodes import (
    Attr,
    Binary,
    Compare,
    Concat,
    Cond,
    DictLit,
    Expr,
    Filter,
    Index,
    ListLit,
    Literal,
    Logic,
    Name,
    Not,
    Slice,
    Test,
    Unary,
)

OR, AND, NOT, COMPARE, SUM, CONCAT, PRODUCT, POWER = range(1, 9)
_INFIX: Final = {
    "or": OR,
    "and": AND,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in", "not"), COMPARE),
    "+": SUM,
    "-": SUM,
    "~": CONCAT,
    "*": PRODUCT,
    "/": PRODUCT,
    "//": PRODUCT,
    "%": PRODUCT,
    "**": POWER,
}


def parse(source: str) -> Expr:
    """The syntax tree of an expression.

    Cost: O(len(source)); short sources are kept, so that the same expression is read once.
    Raises: ExprSyntaxError with the place, at the first thing that is wrong.
    """
    return _parse_kept(source) if len(source) <= 512 else _parse(source)


def _parse(source: str) -> Expr:
    size = len(source.encode("utf-8", "surrogatepass"))
    if size > SOURCE_BYTES:
        message = f"the expression has {size:,} bytes; the limit is {SOURCE_BYTES:,}"
        raise ExprSyntaxError("FLW312", message, 0, len(source))
    parser = _Parser(source)
    tree = parser.expression()
    if parser.kind != "end":
        parser.unexpected()
    if parser.made > DEPTH:  # fewer nodes cannot be deeper
        hints.check_size(tree, len(source))
    return tree


_parse_kept = lru_cache(maxsize=4096)(_parse)


class _Parser:
    """A recursive descent over the tokens; `kind` is the current one's. Nodes span their parentheses."""

    __slots__ = ("at", "depth", "ends", "kind", "kinds", "made", "starts", "texts")

    def __init__(self, source: str) -> None:
        tokens = tokenize(source)
        self.kinds = tokens.kinds
        self.texts = tokens.texts
        self.starts = tokens.starts
        self.ends = tokens.ends
        self.at = 0
        self.kind = self.kinds[0]
        self.depth = 0
        self.made = 0

    def advance(self) -> None:
        self.at += 1
        self.kind = self.kinds[self.at]

    def last_end(self) -> int:
        return self.ends[self.at - 1]

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEPTH:
            start, end = self.starts[self.at], self.ends[self.at]
            raise ExprSyntaxError("FLW312", f"the expression is nested more than {DEPTH} deep", start, end)

    def expression(self) -> Expr:
        self.deeper()
        start = self.starts[self.at]
        left = self.infix(OR)
        while self.kind == "if":
            left = self.condition(left, start)
        self.depth -= 1
        return left

    def condition(self, then: Expr, start: int) -> Expr:
        at = self.at
        self.made += 1
        self.advance()
        test = self.infix(OR)
        if self.kind != "else":
            help = "write what the value is otherwise: `… else null`"
            raise ExprSyntaxError("FLW315", "`if` needs an `else`", self.starts[at], self.ends[at], help)
        self.advance()
        return Cond(test, then, self.expression(), start, self.last_end())

    def infix(self, loosest: int) -> Expr:
        start = self.starts[self.at]
        left = self.negation() if self.kind == "not" and loosest <= NOT else self.unary(True)
        while True:
            op = self.kind
            binding = _INFIX.get(op, 0)
            if binding < loosest or (op == "not" and self.kinds[self.at + 1] != "in"):
                return left
            self.made += 1
            if binding == COMPARE:
                left = self.comparison(left, start)
            elif binding <= AND or binding == CONCAT:
                items = (left, *self.further(op, binding))
                end = self.last_end()
                left = Concat(items, start, end) if op == "~" else Logic(op, items, start, end)
            else:
                left = Binary(op, left, self.right_side(op, binding), start, self.last_end())

    def further(self, op: str, binding: int) -> list[Expr]:
        items: list[Expr] = []
        while self.kind == op:
            self.advance()
            items.append(self.infix(binding + 1))
        return items

    def right_side(self, op: str, binding: int) -> Expr:
        self.advance()
        if op != "**":
            return self.infix(binding + 1)
        right = self.unary(True)
        if self.kind == "**":
            start = self.starts[self.at]
            raise ExprSyntaxError("FLW301", "say with parentheses which `**` comes first", start, start + 2)
        return right

    def negation(self) -> Expr:
        start = self.starts[self.at]
        self.deeper()
        self.made += 1
        self.advance()
        operand = self.infix(NOT)
        self.depth -= 1
        return Not(operand, start, self.last_end())

    def comparison(self, first: Expr, start: int) -> Expr:
        rest: list[tuple[str, Expr]] = []
        while _INFIX.get(self.kind) == COMPARE:
            op = self.kind
            if op == "not":
                if self.kinds[self.at + 1] != "in":
                    break
                op = "not in"
                self.advance()
            self.advance()
            if self.kind == "=":
                raise hints.triple_equals(op, self.starts[self.at - 1], self.ends[self.at])
            rest.append((op, self.infix(SUM)))
        return Compare(first, tuple(rest), start, self.last_end())

    def unary(self, with_filters: bool) -> Expr:
        kind, start = self.kind, self.starts[self.at]
        if kind == "-" or kind == "+":
            self.deeper()
            self.made += 1
            self.advance()
            operand = self.unary(False)
            self.depth -= 1
            node: Expr = Unary(kind, operand, start, self.last_end())
        else:
            node = self.primary()
        node = self.postfix(node, start)
        return self.filters(node, start) if with_filters else node

    def primary(self) -> Expr:
        self.made += 1
        kind, text, start, end = self.kind, self.texts[self.at], self.starts[self.at], self.ends[self.at]
        match kind:
            case "name":
                self.advance()
                if text in CONSTANTS and self.kind != "(":
                    return Literal(CONSTANTS[text], start, end)
                check_name(text, start, "name")
                return Name(text, start, end)
            case "str":
                return self.text(start)
            case "int" | "float":
                self.advance()
                return Literal(hints.number_of(kind, text, start), start, end)
            case "(":
                items, has_comma = self.items(")")
                is_list = has_comma or not items
                return ListLit(tuple(items), start, self.last_end()) if is_list else items[0]
            case "[":
                return ListLit(tuple(self.items("]")[0]), start, self.last_end())
            case "{":
                return self.object(start)
            case _:
                self.unexpected()

    def text(self, start: int) -> Expr:
        parts: list[str] = []
        while self.kind == "str":
            parts.append(unquote(self.texts[self.at], self.starts[self.at]))
            self.advance()
        return Literal("".join(parts), start, self.last_end())

    def items(self, closer: str) -> tuple[list[Expr], bool]:
        opener = self.at
        self.advance()
        found: list[Expr] = []
        has_comma = False
        while self.kind != closer:
            found.append(self.expression())
            has_comma = self.separator(opener) or has_comma
        self.advance()
        return found, has_comma

    def separator(self, opener: int) -> bool:
        """Pass a comma; without one the bracket must close."""
        if self.kind == ",":
            self.advance()
            return True
        if self.kind != hints.CLOSERS[self.kinds[opener]]:
            self.unclosed(opener)
        return False

    def object(self, start: int) -> Expr:
        opener = self.at
        self.advance()
        entries: list[tuple[Expr, Expr]] = []
        while self.kind != "}":
            key = self.expression()
            if isinstance(key, Name) and self.kind in (":", "}", ","):
                raise hints.unquoted_key(key)
            if self.kind != ":":
                self.unclosed(opener)
            self.advance()
            entries.append((key, self.expression()))
            self.separator(opener)
        self.advance()
        return DictLit(tuple(entries), start, self.last_end())

    def postfix(self, node: Expr, start: int) -> Expr:
        while True:
            match self.kind:
                case ".":
                    node = self.field(node, start)
                case "[":
                    node = self.subscript(node, start)
                case "(":
                    node = self.call(node)
                case _:
                    return node

    def field(self, base: Expr, first: int) -> Expr:
        self.made += 1
        self.advance()
        text, start, end = self.texts[self.at], self.starts[self.at], self.ends[self.at]
        if self.kind == "int":
            self.made += 1
            self.advance()
            return Index(base, Literal(int(text.replace("_", "")[:9]), start, end), first, end)
        if not text.isidentifier():
            self.unexpected("the name of a field")
        self.advance()
        if text[0] == "_":
            check_name(text, start, "field")
        return Attr(base, text, first, end)

    def subscript(self, base: Expr, first: int) -> Expr:
        self.made += 1
        opener = self.at
        self.advance()
        parts: list[Expr | None] = [None]
        while self.kind != "]":
            if self.kind == ":" and len(parts) < 3:
                parts.append(None)
                self.advance()
            elif parts[-1] is None and self.kind not in (",", "end"):
                parts[-1] = self.expression()
            else:
                self.unclosed(opener)
        self.advance()
        end = self.last_end()
        if len(parts) > 1:
            return Slice(base, parts[0], parts[1], (*parts, None)[2], first, end)
        if parts[0] is None:
            help = "the first item is `[0]`"
            raise ExprSyntaxError("FLW301", "`[]` needs an index", self.starts[opener], end, help)
        return Index(base, parts[0], first, end)

    def filters(self, node: Expr, start: int) -> Expr:
        while True:
            match self.kind:
                case "|":
                    node = self.filter(node, start)
                case "is":
                    node = self.test(node, start)
                case "(":
                    node = self.call(node)
                case _:
                    return node

    def filter(self, base: Expr, first: int) -> Expr:
        self.made += 1
        self.advance()
        name, start, end = self.texts[self.at], self.starts[self.at], self.ends[self.at]
        if self.kind == "|":
            raise hints.double_bar(self.starts[self.at - 1], self.ends[self.at - 2], self.starts[self.at + 1])
        if self.kind != "name":
            self.unexpected("the name of a filter")
        self.advance()
        args, named = self.arguments() if self.kind == "(" else ([], [])
        bound_name, bound = bind_filter(name, start, end, args, named)
        return Filter(base, bound_name, bound, start, first, self.last_end())

    def test(self, base: Expr, first: int) -> Expr:
        self.made += 1
        self.advance()
        is_negated = self.kind == "not"
        if is_negated:
            self.advance()
        name, start, end = self.texts[self.at], self.starts[self.at], self.ends[self.at]
        if self.kind not in ("name", "in"):
            self.unexpected("the name of a test, such as `defined`,")
        self.advance()
        args: list[Expr] = []
        named: list[Named] = []
        if self.kind == "(":
            args, named = self.arguments()
        elif self.kind in ("name", "str", "int", "float", "[", "{"):
            begin = self.starts[self.at]
            args = [self.postfix(self.primary(), begin)]
        bound_name, bound = bind_test(name, start, end, args, named)
        return Test(base, bound_name, bound, is_negated, start, first, self.last_end())

    def arguments(self) -> tuple[list[Expr], list[Named]]:
        opener = self.at
        self.advance()
        args: list[Expr] = []
        named: list[Named] = []
        while self.kind != ")":
            if self.kind == "name" and self.kinds[self.at + 1] == "=":
                name, start = self.texts[self.at], self.starts[self.at]
                self.advance()
                self.advance()
                named.append((name, start, self.expression()))
            elif named:
                self.unexpected("an argument with its name")
            else:
                args.append(self.expression())
            self.separator(opener)
        self.advance()
        return args, named

    def call(self, target: Expr) -> Expr:
        name = function_name(target)
        args, named = self.arguments()
        return bind_call(name, target.start, self.last_end(), args, named)

    def unclosed(self, opener: int) -> NoReturn:
        bracket = self.kinds[opener]
        if self.kind != "end":
            self.unexpected(f"`,` or `{hints.CLOSERS[bracket]}`")
        raise hints.not_closed(bracket, self.starts[opener])

    def unexpected(self, wanted: str = "") -> NoReturn:
        before = self.kinds[self.at - 1] if self.at else ""
        if self.kind == "end":
            raise hints.ends_early(self.starts[-1], self.starts[self.at - 1] if self.at else None, wanted)
        raise hints.unexpected_token(self.kind, self.texts[self.at], self.starts[self.at], before, wanted)
