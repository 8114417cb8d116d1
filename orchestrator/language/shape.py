"""Reads the parts of a mapping and says what is unknown, misspelt, missing or of the wrong kind.

`Fields` checks the keys of one mapping against those legal there; the `read_*` functions turn one node into one value.
All give None with a finding, or a value without one, so that reading goes on and every finding comes in one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from orchestrator.diagnostics import Edit, Fix, Span
from orchestrator.ir.durations import BadTime, DateMoment, Duration, WeeklyMoment, parse_duration, parse_time
from orchestrator.language.decode import describe_char
from orchestrator.language.findings import Findings
from orchestrator.language.names import NameKind, hidden_char
from orchestrator.language.nodes import Entry, MapNode, Node, ScalarNode, SeqNode, kind_of
from orchestrator.language.quoting import quote
from orchestrator.language.spec import Located, Name, TimeSpec
from orchestrator.language.suggest import suggest
from orchestrator.language.template_scan import OPEN
from orchestrator.language.template_text import ExprSource, MapValue, Value, read_expression, read_text, read_value

_BOOL_WORDS = {
    "yes": "true", "on": "true", "y": "true", "true": "true", "no": "false", "off": "false", "n": "false",
    "false": "false",
}  # fmt: skip


class KeySet:
    """The keys legal in one kind of mapping: `where` names it in messages, `synonyms` are what others call its keys."""

    __slots__ = ("allows_x", "names", "order", "required", "synonyms", "where")

    def __init__(
        self,
        where: str,
        keys: str,
        *,
        required: str = "",
        synonyms: Mapping[str, str] | None = None,
        allows_x: bool = False,
    ) -> None:
        self.where = where
        self.allows_x = allows_x
        self.order = tuple(keys.split())
        self.names = frozenset(self.order)
        self.required = tuple(required.split())
        self.synonyms = synonyms or {}


class Fields:
    """The entries of one mapping after the check of its keys; a misspelt key counts as the one that was meant."""

    __slots__ = ("entries", "get", "node")

    def __init__(self, node: MapNode, entries: Mapping[str, Entry]) -> None:
        self.node = node
        self.entries = entries
        self.get: Callable[[str], Node | None] = {
            key: entry[1] for key, entry in entries.items()
        }.get  # asked for every key


def read_fields(node: Node, keys: KeySet, findings: Findings, owner: Span | None = None) -> Fields | None:
    """The entries of a mapping whose keys are checked; `owner` is blamed for a missing key.

    Returns: None, with a finding, when the node is no mapping.
    """
    if node.__class__ is not MapNode:
        report_kind(node, f"{keys.where} needs a mapping", findings, help=f"its keys are {_listed(keys.order)}")
        return None
    entries: Mapping[str, Entry] = node.entries
    if not node.entries.keys() <= keys.names:
        entries = _check_keys(node, keys, findings)
    for name in keys.required:
        if name not in entries:
            span = owner or _first_line(node)
            findings.error("FLW202", f"{keys.where} lacks `{name}`", span, help=f"add `{name}:`")
    return Fields(node, entries)


def _first_line(node: MapNode) -> Span:
    first = next(iter(node.entries.values()), None)
    return node.span if first is None or node.is_flow else first.key.span


def _check_keys(node: MapNode, keys: KeySet, findings: Findings) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for name, entry in node.entries.items():
        if name in keys.names:
            entries[name] = entry
            continue
        if keys.allows_x and name.startswith("x-"):
            continue
        if entry.key.value.__class__ is not str or report_hidden(entry.key, findings):
            continue  # that it is no text was said when it was read
        free = [key for key in keys.order if key not in node.entries]
        missing = [key for key in keys.required if key not in node.entries and key not in entries]
        meant = suggest(name, missing, keys.synonyms) or suggest(name, free, keys.synonyms)
        findings.error(
            "FLW201",
            f"{keys.where} has no key `{name}`" + (f"; it lacks `{meant}`, which it needs" if meant in missing else ""),
            entry.key.span,
            help=f"did you mean `{meant}`?" if meant else _elsewhere(name, keys),
            fix=Fix(f"rename it to `{meant}`", (Edit(entry.key.span, meant),), is_safe=_is_near(name, meant))
            if meant
            else None,
        )
        if meant is not None and meant not in entries:
            entries[meant] = entry
    return entries


def misspelt(node: MapNode, keys: frozenset[str], beside: frozenset[str]) -> dict[str, str]:
    """The keys that were meant, where every odd key is a misspelling of one, and some key is one of `beside`; else nothing."""
    odd = [name for name in node.entries if name not in keys]
    if not odd or not node.entries.keys() & beside:
        return {}
    free = [key for key in sorted(keys) if key not in node.entries]
    meant = {name: guess for name in odd if (guess := suggest(name, free)) is not None}
    return meant if len(meant) == len(odd) == len(set(meant.values())) else {}


def rename(node: MapNode, meant: Mapping[str, str], where: str, findings: Findings) -> MapNode:
    """The mapping with the keys that were meant, each reported."""
    entries = {}
    for name, entry in node.entries.items():
        guess = meant.get(name)
        if guess is not None:
            findings.error(
                "FLW201",
                f"{where} has no key `{name}`",
                entry.key.span,
                help=f"did you mean `{guess}`?",
                fix=Fix(f"rename it to `{guess}`", (Edit(entry.key.span, guess),)),
            )
        entries[guess or name] = entry
    return MapNode(entries, node.start, node.end, node.source, node.is_flow)


def _is_near(name: str, meant: str) -> bool:
    """Whether the key is a misspelling and not another word for the same."""
    return suggest(name, (meant,)) == meant


def _elsewhere(name: str, keys: KeySet) -> str:
    taken = suggest(name, keys.order, keys.synonyms)
    if taken:
        return f"`{taken}` stands here already"
    return f"the keys are {_listed(keys.order)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def report_hidden(node: ScalarNode, findings: Findings) -> bool:
    """Report an invisible character in a name; whether there was one."""
    char = hidden_char(node.text)
    if char is None:
        return False
    findings.error(
        "FLW103", f"the name holds {describe_char(char)}, which nobody sees", node.span, help="write it anew"
    )
    return True


def report_kind(
    node: Node, message: str, findings: Findings, *, help: str | None = None, fix: Fix | None = None
) -> None:
    """The one message for a value of the wrong kind."""
    if isinstance(node, ScalarNode) and node.bent:
        return
    span = node.span if isinstance(node, ScalarNode) or node.is_flow else _start_of(node)
    findings.error("FLW203", f"{message}, but this is {kind_of(node)}", span, help=help, fix=fix)


def _start_of(node: Node) -> Span:
    return node.source.span(node.start, min(node.start + 1, node.end) if node.end > node.start else node.start)


def read_str(node: Node, what: str, findings: Findings) -> Located[str] | None:
    """A text without expressions."""
    if node.__class__ is ScalarNode:
        if node.value.__class__ is str:
            if OPEN in node.text:
                findings.error(
                    "FLW218", f"{what} is fixed text and takes no expression", node.span, help="write it out"
                )
                return None
            return Located(node.text, node)
        if node.text:
            fix = Fix("quote it as text", (Edit(node.span, quote(node.text)),))
            report_kind(node, f"{what} needs text", findings, help=f"write {quote(node.text)}", fix=fix)
            return None
    report_kind(node, f"{what} needs text", findings)
    return None


def read_plain_text(node: Node, what: str, findings: Findings) -> str:
    """A text that is only shown, such as a description; numbers are fine."""
    if isinstance(node, ScalarNode) and node.value is not None and not isinstance(node.value, bool):
        return node.text
    report_kind(node, f"{what} needs text", findings)
    return ""


def read_template(node: Node, what: str, findings: Findings) -> Value | None:
    """A text in which `${{ }}` marks expressions."""
    if node.__class__ is ScalarNode and node.value is not None:
        return read_text(node, findings)
    report_kind(node, f"{what} needs text", findings)
    return None


def read_name(node: Node, kind: NameKind, what: str, findings: Findings) -> Name | None:
    """A name of the given kind."""
    if node.__class__ is ScalarNode and node.value.__class__ is str and kind.rule(node.text):
        return None if not node.text.isascii() and report_hidden(node, findings) else Located(node.text, node)
    if not isinstance(node, ScalarNode) or node.value is None:
        report_kind(node, f"{what} needs the name of {kind.word}", findings)
        return None
    report_name(node, kind, findings)
    return None


def report_name(node: ScalarNode, kind: NameKind, findings: Findings) -> None:
    """The one message for a name of the wrong form."""
    if node.bent or report_hidden(node, findings):
        return
    mended = kind.mend(node.text) if kind.mend is not None and len(node.text) <= 100 else None
    usable = mended if mended and kind.rule(mended) and mended != node.text else None
    findings.error(
        "FLW206",
        f"`{_short(node.text)}` is no name for {kind.word}: that is {kind.form}",
        node.span,
        help=f"write `{usable}`" if usable else None,
        fix=Fix(f"rename it to `{usable}`", (Edit(node.span, usable),), is_safe=False) if usable else None,
    )


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def read_names(node: Node, kind: NameKind, what: str, findings: Findings) -> tuple[Name, ...]:
    """One name or a list of names, each once."""
    if node.__class__ is ScalarNode:
        name = read_name(node, kind, what, findings)
        return () if name is None else (name,)
    if node.__class__ is not SeqNode:
        report_kind(node, f"{what} needs a name or a list of names", findings)
        return ()
    if not node.items:
        findings.error("FLW203", f"{what} is an empty list", node.span, help=f"name {kind.word}")
    names: dict[str, Name] = {}
    for item in node.items:
        name = read_name(item, kind, what, findings)
        if name is None:
            continue
        if name.value in names:
            findings.error("FLW208", f"`{name.value}` stands twice in the list", name.span, help="delete one")
            continue
        names[name.value] = name
    return tuple(names.values())


def read_choice(node: Node, choices: tuple[str, ...], what: str, findings: Findings) -> Name | None:
    """One of a few words."""
    if isinstance(node, ScalarNode) and node.text in choices and node.value is not None:
        return Located(node.text, node)
    if not isinstance(node, ScalarNode):
        report_kind(node, f"{what} is one of {_listed(choices)}", findings)
        return None
    if node.bent:
        return None
    meant = suggest(node.text, choices)
    findings.error(
        "FLW204",
        f"{what} is one of {_listed(choices)}, not `{_short(node.text)}`",
        node.span,
        help=f"did you mean `{meant}`?" if meant else None,
        fix=Fix(f"write `{meant}`", (Edit(node.span, meant),)) if meant else None,
    )
    return Located(meant, node) if meant else None  # a misspelt word counts as the one that was meant


def read_bool(node: Node, what: str, findings: Findings) -> bool | None:
    """`true` or `false`."""
    if isinstance(node, ScalarNode) and isinstance(node.value, bool):
        return node.value
    word = _BOOL_WORDS.get(node.text.casefold()) if isinstance(node, ScalarNode) and node.is_plain else None
    fix = Fix(f"write `{word}`", (Edit(node.span, word),)) if word else None
    report_kind(node, f"{what} is true or false", findings, help=f"write `{word}`" if word else None, fix=fix)
    return None


def read_int(node: Node, what: str, findings: Findings, *, least: int = 1, most: int = 2**31) -> Located[int] | None:
    """A whole number within bounds."""
    if isinstance(node, ScalarNode) and isinstance(node.value, int) and not isinstance(node.value, bool):
        if least <= node.value <= most:
            return Located(node.value, node)
        bound = f"at least {least:,}" if node.value < least else f"at most {most:,}"
        findings.error("FLW205", f"{what} is {bound}, not {node.value:,}", node.span)
        return None
    fix = None
    if isinstance(node, ScalarNode) and not node.is_plain and node.text.isdecimal() and node.text.isascii():
        fix = Fix("write the number without quotes", (Edit(node.span, node.text),))
    report_kind(node, f"{what} needs a whole number", findings, fix=fix)
    return None


def read_number(node: Node, what: str, findings: Findings, *, least: float = 0) -> Located[float] | None:
    """A number within bounds."""
    if isinstance(node, ScalarNode) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        if node.value >= least:
            return Located(float(node.value), node)
        findings.error("FLW205", f"{what} is at least {least:g}, not {node.value:g}", node.span)
        return None
    report_kind(node, f"{what} needs a number", findings)
    return None


def read_duration(node: Node, what: str, findings: Findings) -> Located[Duration] | None:
    """A fixed length of time."""
    if not isinstance(node, ScalarNode) or node.value is None or isinstance(node.value, bool):
        report_kind(node, f"{what} needs a duration such as `30s`", findings)
        return None
    try:
        return Located(parse_duration(node.text), node)
    except BadTime as error:
        _report_time(node, what, error, findings, "`500ms`, `30s`, `5m`, `4h`, `2d`")
        return None


def read_time(node: Node, what: str, findings: Findings) -> TimeSpec | None:
    """A duration, a moment, or an expression that gives one."""
    if not isinstance(node, ScalarNode) or node.value is None or isinstance(node.value, bool):
        report_kind(node, f"{what} needs a time such as `2d` or `fri 17:00`", findings)
        return None
    if OPEN in node.text:
        value = read_text(node, findings)
        if isinstance(value, ExprSource):
            return value
        findings.error(
            "FLW217",
            f"{what} is a time, and text around an expression makes none",
            node.span,
            help="write one ${{ … }}",
        )
        return None
    try:
        time = parse_time(node.text)
    except BadTime as error:
        _report_time(node, what, error, findings, "`4h`, `fri 17:00`, `2026-12-01T09:00`")
        return None
    match time:
        case Duration():
            return Located(time, node)
        case WeeklyMoment():
            return Located(time, node)
        case DateMoment():
            return Located(time, node)


def _report_time(node: ScalarNode, what: str, error: BadTime, findings: Findings, forms: str) -> None:
    if node.bent:
        return
    is_bare = isinstance(node.value, int | float)
    message = f"{what} has no unit: `{node.text}`" if is_bare else str(error)
    wish = error.suggestion
    fix = Fix(f"write `{wish}`", (Edit(node.span, wish),), is_safe=not is_bare) if wish else None
    findings.error(
        "FLW215", message, node.span, help=f"write `{wish}`" if wish else f"a time is written {forms}", fix=fix
    )


def read_expr(node: Node, key: str, findings: Findings) -> ExprSource | None:
    """A bare expression."""
    if node.__class__ is ScalarNode and node.value is not None:
        return read_expression(node, findings, key=key)
    report_kind(
        node, f"`{key}` needs an expression", findings, help="write it as text, in quotes where YAML needs them"
    )
    return None


def read_map_value(node: Node, what: str, findings: Findings) -> MapValue | None:
    """A mapping of values with expressions in them."""
    if node.__class__ is MapNode:
        value = read_value(node, findings)
        return value if isinstance(value, MapValue) else None
    report_kind(node, f"{what} needs a mapping", findings, help="write `name: value` lines below it")
    return None
