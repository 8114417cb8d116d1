"""Rules on secrets, hosts, shell commands and patterns. A flow author is only half trusted (SAFETY.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from orchestrator.analysis.facts import Facts
from orchestrator.analysis.places import Path
from orchestrator.analysis.report import Report
from orchestrator.analysis.results import CatalogLike
from orchestrator.analysis.values import Found, calls_of, expressions_in, texts_in
from orchestrator.expr.suggest import nearest
from orchestrator.ir.model import CallIR, Json, Value
from orchestrator.plugin.pattern_guard import pattern_problem

SECRET_SITES = frozenset({"with", "fallback", "finally", "undo"})
UNTRUSTED = frozenset({"ev", "result", "answers", "events", "item"})
INTERPRETERS = frozenset(
    {"sh", "bash", "zsh", "dash", "ksh", "ash", "fish", "busybox", "cmd", "powershell", "pwsh", "su"}
    | {"python", "python3", "perl", "ruby", "node", "deno", "php", "lua"}
)
REMOTE_SHELLS = frozenset({"ssh", "rsh", "awk", "gawk", "xargs"})
ECHOING = frozenset({"text", "data"})  # namespaces whose results hold what was given
COMMAND_FIELDS = frozenset({"command", "shell", "script", "cmd"})

# What real keys look like. Each begins with its issuer's mark, so ordinary words do not match.
_KEY = re.compile(
    r"\b(?:sk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}"
    r"|AKIA[0-9A-Z]{16}|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[0-9A-Za-z_-]{35}|glpat-[A-Za-z0-9_-]{20}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})"
    r"|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"
)
_BEARER = re.compile(r"^(?:bearer|basic|token)\s+[A-Za-z0-9._~+/=-]{8,}$", re.IGNORECASE)
_URL_LOGIN = re.compile(r"^[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s:@]+@", re.IGNORECASE)
_SECRET_FIELD = re.compile(r"(?:^|[_-])(?:password|passwd|secret|token|api[_-]?key|private[_-]?key)$", re.IGNORECASE)
_PLAIN_FIELDS: tuple[Json, ...] = ({}, {"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": "number"})
_CODE_FLAG = re.compile(
    r"^(?:-[a-z]*[ce]|-p|-r|/[ck]|--(?:eval|command|print)|-(?:command|encodedcommand))$", re.IGNORECASE
)
_HEADER_FIELD = re.compile(r"^(?:authorization|x-api-key|api-key|x-auth-token|cookie)$", re.IGNORECASE)


def check_secret_use(found: Found, roots: frozenset[str], report: Report) -> bool:
    """FLW701: a secret stands only in the `with` of a call. Returns whether the expression leaks one."""
    if "secrets" not in roots or found.site in SECRET_SITES:
        return False
    at = re.search(r"\bsecrets\b", found.source)
    start, end = at.span() if at is not None else (0, len(found.source))
    key = next((str(part) for part in found.path[2:] if isinstance(part, str)), "this key")
    report.add(
        "FLW701",
        f"a secret must not be read in `{key}`: it would reach titles, events, state or the journal",
        report.places.within(found.path, found.ordinal, start, end),
        help="secrets stand only in the `with` of a call",
    )
    return True


def check_secret_echoes(facts: Facts, report: Report, roots_of: Mapping[str, frozenset[str]]) -> None:
    """FLW701: a call that only reshapes what it gets would give the secret back as its result."""
    if not facts.flow.secrets:
        return
    for step in facts.flow.steps.values():
        for call, path, _ in calls_of(step):
            if call.target.partition(".")[0] not in ECHOING:
                continue
            for at, source, ordinal, _ in expressions_in(call.with_, (*path, "with")):
                if "secrets" in roots_of.get(source, ()):
                    report.add(
                        "FLW701",
                        f"`{call.target}` would give the secret back as its result, from where it reaches events and state",
                        report.places.within(at, ordinal, 0, len(source)),
                        help="give a secret to the call that needs it, such as in `headers` or `auth` of `http.get`",
                    )


def check_secret_texts(facts: Facts, report: Report) -> None:
    """FLW702: keys and passwords are not written into flows."""
    for step in facts.flow.steps.values():
        for call, path, _ in calls_of(step):
            for fixed in texts_in(call.with_, (*path, "with")):
                _check_secret_text(fixed.text, fixed.path, call, report)
        for values, path in ((step.set, ("steps", step.name, "set")),):
            for fixed in texts_in(values, path):
                _check_secret_text(fixed.text, fixed.path, None, report)
    for fixed in texts_in(facts.flow.state, ("state",)):
        _check_secret_text(fixed.text, fixed.path, None, report)


def _check_secret_text(text: str, path: Path, call: CallIR | None, report: Report) -> None:
    field = next((str(part) for part in reversed(path) if isinstance(part, str)), "")
    looks = (_KEY.search(text) or _URL_LOGIN.match(text)) if len(text) > 7 else None
    if call is not None and looks is None:
        in_header = _HEADER_FIELD.match(field) is not None
        looks = (_BEARER.match(text) if in_header else None) or (
            _SECRET_FIELD.search(field) if len(text) >= 4 and " " not in text.strip() else None
        )
    if not looks:
        return
    report.add(
        "FLW702",
        f"this looks like a secret written into the flow (in `{field}`)",
        path,
        help="name it under `secrets:` and write `${{ secrets.NAME }}` here; then change the leaked one",
    )


def check_commands(facts: Facts, report: Report) -> None:
    """FLW703: a command line is not put together from data."""
    for step in facts.flow.steps.values():
        for call, path, _ in calls_of(step):
            if not _runs_commands(call.target):
                continue
            for name, value in call.with_.items():
                if name in COMMAND_FIELDS and isinstance(value, dict | str | list):
                    _check_command(step.name, name, value, (*path, "with", name), report)


def _runs_commands(target: str) -> bool:
    namespace, _, verb = target.partition(".")
    return namespace in ("process", "shell") or verb in ("shell", "exec", "bash")


def _check_command(step: str, name: str, value: Value, path: Path, report: Report) -> None:
    for at, source, ordinal, _ in expressions_in(value, path):
        item = at[len(path)] if len(at) > len(path) else 0
        if item != 0 and not (isinstance(item, int) and isinstance(value, list | tuple) and _is_code(value, item)):
            continue  # an argument of its own in a list: no shell reads it
        report.add(
            "FLW703",
            f"the command of step `{step}` is put together from data: whoever writes that data runs commands",
            report.places.within(at, ordinal, 0, len(source)),
            help=f'pass data as words of their own after the program, as in `{name}: [grep, "${{{{ … }}}}", notes.txt]`, '
            "or on standard input",
        )
        return


def _is_code(words: list[Value] | tuple[Value, ...], item: int) -> bool:
    """Whether a word of a command is code that a program named before it runs, as in `[sh, -c, …]` or `[ssh, host, …]`."""
    before = [word for word in words[:item] if isinstance(word, str)]
    programs = {re.split(r"[/\\]", word)[-1].removesuffix(".exe").lower() for word in before}
    if programs & REMOTE_SHELLS or "eval" in programs:
        return True
    return bool(programs & INTERPRETERS) and any(_CODE_FLAG.match(word) for word in before)


def check_hosts(facts: Facts, report: Report, roots_of: Mapping[str, frozenset[str]]) -> None:
    """FLW705: the host of a request does not come from outside data."""
    for step in facts.flow.steps.values():
        for call, path, _ in calls_of(step):
            url = call.with_.get("url")
            if not isinstance(url, dict):
                continue
            for ordinal, source in _host_expressions(url):
                from_outside = sorted(roots_of.get(source, frozenset()) & UNTRUSTED)
                if from_outside:
                    report.add(
                        "FLW705",
                        f"the host of this request comes from `{from_outside[0]}`: it could send the call anywhere",
                        report.places.within((*path, "with", "url"), ordinal, 0, len(source)),
                        help="write the host into the flow, or take it from `inputs`",
                    )
                    break


def _host_expressions(url: dict[str, Value]) -> Iterator[tuple[int, str]]:
    """The expressions of an `url` that stand in its scheme or host."""
    if "$expr" in url:
        yield 0, url["$expr"]
        return
    before = ""
    ordinal = 0
    for part in url.get("$text", ()):
        if isinstance(part, str):
            before += part
            continue
        scheme, marker, rest = before.partition("://")
        if (
            (marker and "/" not in rest and "?" not in rest)
            or (not marker and not before.strip("\x00"))
            or (not marker and "/" not in scheme)
        ):
            yield ordinal, part["$expr"]
        before += "\x00"
        ordinal += 1


def check_patterns(facts: Facts, report: Report) -> None:
    """FLW704: patterns in schemas that could take for ever."""
    flow = facts.flow
    schemas: list[tuple[Json, Path]] = [
        (flow.inputs, ("inputs",)),
        (flow.outputs, ("outputs",)),
        (flow.state_schema, ("state",)),
    ]
    schemas += [(event.schema, ("events", name)) for name, event in flow.events.items() if event.kind != "step"]
    for step in flow.steps.values():
        if step.body.ask is not None:
            schemas.append((step.body.ask.form, ("steps", step.name, "ask", "form")))
        for call, path, _ in calls_of(step):
            if isinstance(call.with_.get("schema"), dict):
                schemas.append((call.with_["schema"], (*path, "with", "schema")))
    for schema, path in schemas:
        for at, pattern in _patterns(schema, path):
            problem = pattern_problem(pattern)
            if problem is not None:
                report.add(
                    "FLW704",
                    f"the pattern `{pattern}` is refused: {problem}",
                    at,
                    help="write it without nested repeats, look-around and back-references",
                )


def _patterns(schema: Json, path: Path) -> Iterator[tuple[Path, str]]:
    stack: list[tuple[Json, Path]] = [(schema, path)]
    while stack:
        item, at = stack.pop()
        if isinstance(item, dict):
            if isinstance(item.get("pattern"), str):
                yield (*at, "pattern"), item["pattern"]
            for key, sub in item.items():
                if sub.__class__ is str:
                    continue
                if key == "properties" and isinstance(sub, dict):
                    stack += [(field, (*at, key, name)) for name, field in sub.items() if field not in _PLAIN_FIELDS]
                elif key == "patternProperties" and isinstance(sub, dict):
                    yield from (((*at, key, pattern), pattern) for pattern in sub)
                    stack += [(field, (*at, key, pattern)) for pattern, field in sub.items()]
                elif isinstance(sub, dict | list):
                    stack.append((sub, (*at, key)))
        elif isinstance(item, list):
            stack += [(sub, (*at, n)) for n, sub in enumerate(item) if isinstance(sub, dict | list)]


def check_retries(facts: Facts, report: Report, catalog: CatalogLike) -> None:
    """FLW709: a call that must not be repeated is retried without a key that makes it safe."""
    for step in facts.flow.steps.values():
        call, retry = step.body.call, step.policy.retry
        if call is None or retry is None or retry.max < 2 or step.key is not None:
            continue
        info = catalog.get(call.target)
        if info is not None and info.is_idempotent is False:
            report.add(
                "FLW709",
                f"`{call.target}` is declared not idempotent, and a retry may do its work twice",
                ("steps", step.name, "retry"),
                help="give the step an `id`, such as `id: ${{ run.id }}/" + step.name + "`",
            )


def check_verifiers(facts: Facts, report: Report) -> None:
    """FLW710: the secret that a webhook is verified with is one that the flow asks for."""
    for n, trigger in enumerate(facts.flow.triggers):
        name = trigger.verify.get("hmac")
        if name is None or name in facts.flow.secrets:
            continue
        path: Path = ("triggers", n, "webhook", "verify", "hmac")
        guess = nearest(str(name), facts.flow.secrets)
        report.add(
            "FLW710",
            f"the webhook is verified with the secret `{name}`, which the flow does not ask for",
            path,
            help=f"did you mean `{guess}`?" if guess else f"add it at the top: `secrets: [{name}]`",
            fix=report.replace(path, guess) if guess else None,
        )
