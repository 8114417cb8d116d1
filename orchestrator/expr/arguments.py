"""Matches the arguments of filters and tests with their tables; says what is wrong with names. Evaluates nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from orchestrator.expr.errors import ExprSyntaxError
from orchestrator.expr.filters import ALIASES, FILTERS, REQUIRED, FilterSpec, Form, Param, find_filter
from orchestrator.expr.hints import refuse_call
from orchestrator.expr.nodes import Call, Expr, Literal, Name, word_span
from orchestrator.expr.predicates import TEST_ALIASES, TESTS, find_test
from orchestrator.expr.suggest import listed, nearest

Named: TypeAlias = tuple[str, int, Expr]  # an argument's name, the place of the name, and its value
Bound: TypeAlias = tuple[tuple[str, Expr], ...]
FUNCTIONS: Final = {"range": (1, 3)}  # name -> fewest and most arguments
_REST = "*"  # the parameter name of further arguments


def check_name(name: str, start: int, what: str) -> None:
    """Refuse names that begin with `_`: nothing of the language or of an event has such a name."""
    if name[0] == "_":
        help = f"a field of that name is read with brackets: `['{name}']`" if what == "field" else None
        raise ExprSyntaxError("FLW311", f"a {what} cannot begin with `_`", start, start + len(name), help)


def function_name(target: Expr) -> str:
    """The name of the function that is called. Raises: ExprSyntaxError for everything but the few that there are."""
    if isinstance(target, Name) and target.id in FUNCTIONS:
        return target.id
    raise refuse_call(target)


def bind_call(name: str, start: int, end: int, args: Sequence[Expr], named: Sequence[Named]) -> Call:
    """The call of an allow-listed function."""
    fewest, most = FUNCTIONS[name]
    if named or not fewest <= len(args) <= most:
        raise ExprSyntaxError("FLW309", f"`{name}` takes {fewest} to {most} arguments", start, end)
    return Call(name, tuple(args), start, end)


def bind_filter(name: str, start: int, end: int, args: Sequence[Expr], named: Sequence[Named]) -> tuple[str, Bound]:
    """The filter's own name and its arguments by parameter name."""
    spec = find_filter(name)
    if spec is None:
        guess = nearest(name, [*FILTERS, *ALIASES])
        help = f"did you mean `{guess}`?" if guess else f"there are: {listed(sorted(FILTERS), 50)}"
        mend = guess if end - start == len(name) else None
        raise ExprSyntaxError("FLW307", f"there is no filter `{name}`", start, end, help, replacement=mend)
    bound = _bind(f"filter `{name}`", spec.params, spec.is_variadic, start, end, args, named)
    _check_constants(spec, bound, start, end)
    return spec.name, bound


def bind_test(name: str, start: int, end: int, args: Sequence[Expr], named: Sequence[Named]) -> tuple[str, Bound]:
    """The test's own name and its arguments by parameter name."""
    spec = find_test(name)
    if spec is None:
        raise _unknown_test(name, start, end)
    return spec.name, _bind(f"test `{name}`", spec.params, False, start, end, args, named)


def rest_of(bound: Bound) -> list[Expr]:
    """The further arguments of a variadic filter."""
    return [arg for name, arg in bound if name == _REST]


def constant_of(bound: Bound, name: str) -> str | int | None:
    """The written value of a constant parameter, None if it is not given."""
    for key, arg in bound:
        if key == name and isinstance(arg, Literal) and isinstance(arg.value, str | int):
            return arg.value
    return None


def _bind(
    what: str,
    params: tuple[Param, ...],
    is_variadic: bool,
    start: int,
    end: int,
    args: Sequence[Expr],
    named: Sequence[Named],
) -> Bound:
    bound: list[tuple[str, Expr]] = []
    names = [param.name for param in params]
    positional = [param.name for param in params if not param.is_keyword]
    for i, arg in enumerate(args):
        if i < len(positional):
            bound.append((positional[i], arg))
        elif is_variadic:
            bound.append((_REST, arg))
        else:
            limit = f"at most {len(params)} arguments" if len(params) > 1 else f"{len(params) or 'no'} argument"
            raise ExprSyntaxError("FLW309", f"{what} takes {limit}", arg.start, arg.end, _usage(params))
    for name, at, arg in named:
        if name not in names:
            guess = nearest(name, names)
            help = f"did you mean `{guess}`?" if guess else _usage(params)
            message = f"{what} has no argument `{name}`"
            raise ExprSyntaxError("FLW309", message, at, at + len(name), help, replacement=guess)
        if any(name == key for key, _ in bound):
            raise ExprSyntaxError("FLW309", f"{what} gets `{name}` twice", at, arg.end)
        bound.append((name, arg))
    for param in params:
        if param.default is REQUIRED and all(param.name != key for key, _ in bound):
            raise ExprSyntaxError("FLW309", f"{what} needs the argument `{param.name}`", start, end, _usage(params))
    for param in params:
        if param.is_constant:
            _check_constant(what, param, bound)
    return tuple(bound)


def _check_constant(what: str, param: Param, bound: list[tuple[str, Expr]]) -> None:
    for key, arg in bound:
        if key != param.name:
            continue
        if not isinstance(arg, Literal) or not isinstance(arg.value, str | int) or isinstance(arg.value, bool):
            message = f"`{param.name}` of {what} must be written out as a quoted name"
            raise ExprSyntaxError("FLW309", message, arg.start, arg.end)
        parts = arg.value.replace(",", ".").split(".") if isinstance(arg.value, str) else []
        if any(part.startswith("_") for part in parts):
            raise ExprSyntaxError("FLW311", "a field cannot begin with `_`", arg.start, arg.end)


def _check_constants(spec: FilterSpec, bound: Bound, start: int, end: int) -> None:
    """What the names given to `map`, `select` and their kin must stand for."""
    match spec.form:
        case Form.MAP:
            _check_map(bound, start, end)
        case Form.SELECT | Form.SELECT_ATTR:
            name = constant_of(bound, "test")
            if name is None:
                return
            test = find_test(str(name))
            if test is None:
                raise _unknown_test(str(name), *_place(bound, "test"))
            given, wanted = len(rest_of(bound)), len(test.params)
            if given != wanted:
                message = f"test `{name}` takes {wanted or 'no'} argument{'s' if wanted > 1 else ''}"
                raise ExprSyntaxError("FLW309", message, *_place(bound, "test"))
        case _:
            pass


def _check_map(bound: Bound, start: int, end: int) -> None:
    name, attribute = constant_of(bound, "filter"), constant_of(bound, "attribute")
    if (name is None) == (attribute is None):
        help = "write `map(attribute='field')` or `map('filter')`"
        raise ExprSyntaxError("FLW309", "`map` needs a field or a filter", start, end, help)
    if name is None:
        return
    inner = find_filter(str(name))
    place = _place(bound, "filter")
    if inner is None:
        bind_filter(str(name), *place, [], [])
    elif inner.form not in (Form.PLAIN, Form.SOFT):
        raise ExprSyntaxError("FLW309", f"`map` cannot apply `{inner.name}`", *place)
    else:
        bind_filter(str(name), *place, rest_of(bound), [])


def _place(bound: Bound, name: str) -> tuple[int, int]:
    return next(word_span(arg) for key, arg in bound if key == name)


def _usage(params: tuple[Param, ...]) -> str | None:
    return f"its arguments are: {listed(param.name for param in params)}" if params else None


def _unknown_test(name: str, start: int, end: int) -> ExprSyntaxError:
    guess = nearest(name, [*TESTS, *TEST_ALIASES])
    help = f"did you mean `{guess}`?" if guess else f"there are: {listed(sorted(TESTS), 50)}"
    if name == "empty":
        help = "write `x | length == 0`, or `not x`"
    mend = guess if end - start == len(name) else None
    return ExprSyntaxError("FLW308", f"there is no test `{name}`", start, end, help, replacement=mend)
