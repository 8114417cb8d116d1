"""Short texts for pictures: values, conditions, durations and policies in a few words. Pure; escapes nothing."""

from __future__ import annotations

import re
import unicodedata

from orchestrator.draw.model import Badge
from orchestrator.ir.model import AskIR, AudienceIR, CatchIR, JoinIR, PolicyIR, StepIR, Value, WaitIR

_SPACE = re.compile(r"\s+")
_OUTCOME = re.compile(r"outcome\s*==\s*(?P<quote>['\"])(?P<name>[^'\"]*)(?P=quote)")
_MAX_CONDITION = 120  # pictures cut it further, to the room they have
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s"))


def one_line(text: str) -> str:
    """The text on one line, without anything that could steer a terminal or turn the reading direction.

    Control, format (bidi) and surrogate characters become U+FFFD; joiners that emoji and scripts need are kept.
    """
    flat = _SPACE.sub(" ", text).strip()
    if flat.isascii() and flat.isprintable():
        return flat
    return "".join("\ufffd" if _is_unsafe(c) else c for c in flat)


def plain_text(text: str) -> str:
    """The text with its lines, each as safe as one_line makes it."""
    return "\n".join(one_line(line) for line in text.strip().splitlines())


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, with an ellipsis for what is left out."""
    return text if len(text) <= limit else text[: limit - 1].rstrip(" .,") + "…"


def duration_text(seconds: float) -> str:
    """Seconds as they are written in a flow, in at most two units: `90` is `1m 30s`."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    parts: list[str] = []
    rest = round(seconds, 3)
    for size, unit in _UNITS:
        whole = int(rest // size)
        rest -= whole * size
        if whole:
            parts.append(f"{whole}{unit}")
    if rest >= 0.001 and seconds < 60:
        parts[-1] = f"{seconds:g}s"
    return " ".join(parts[:2])


def value_text(value: Value) -> str:
    """A marked value as a reader would say it: expressions bare, templates with their holes in braces."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return one_line(value)
        case {"$expr": str() as source}:
            return one_line(source)
        case {"$text": list() as parts}:
            pieces = (p if isinstance(p, str) else "{" + value_text(p) + "}" for p in parts)
            return one_line("".join(pieces))
        case list() | tuple():
            return ", ".join(value_text(v) for v in value)
        case dict():
            return ", ".join(f"{one_line(str(k))}: {value_text(v)}" for k, v in value.items())
        case _:
            return one_line(str(value))


def condition_text(when: str | None) -> str:
    """A condition in few words; `outcome == "approve"` says just `approve`."""
    if when is None:
        return ""
    return shorten(_OUTCOME.sub(lambda m: m["name"], one_line(when)), _MAX_CONDITION)


def is_timeout_condition(when: str | None) -> bool:
    """Whether a condition holds just when a request has run out of time."""
    match = _OUTCOME.fullmatch((when or "").strip())
    return match is not None and match["name"] in ("timeout", "undecided")


def errors_text(caught: CatchIR) -> str:
    """The error codes of a catch entry."""
    return shorten(", ".join(one_line(e) for e in caught.errors) or "any error", _MAX_CONDITION)


def join_text(join: JoinIR) -> str:
    """The rule of a fan-in, such as `collect 3, within 2h`."""
    match join.mode:
        case "all":
            text = "collect all"
        case "each":
            text = f"collect each of {len(join.events)}" if join.events else "collect each"
        case "count":
            text = f"collect {join.count}" if join.count else "collect a number"
        case "first":
            text = f"take first {join.count}" if join.count else "take the first"
        case _:
            closing = join.until_event or condition_text(join.until)
            text = f"collect until {one_line(closing)}"
    if join.key is not None:
        text += f" by {shorten(one_line(join.key), 20)}"
    if join.within is not None:
        text += f", within {shorten(value_text(join.within), 20)}"
    return text


def audience_text(audience: AudienceIR) -> str:
    """Who may answer, groups first."""
    names = [value_text(v) for v in (audience.groups, audience.users) if v]
    text = ", ".join(names) or "anybody"
    return f"{text} (not {value_text(audience.exclude)})" if audience.exclude else text


def wait_text(wait: WaitIR) -> str:
    """What a wait waits for."""
    if wait.event is None:
        return value_text(wait.until)
    text = f"for {one_line(wait.event)}"
    return text if wait.within is None else f"{text}, within {value_text(wait.within)}"


def step_badges(step: StepIR, *, is_in_loop: bool) -> tuple[Badge, ...]:
    """Everything around a step's body that a reader should know, most telling first.

    Cost: linear in the step.
    """
    out: list[Badge] = []
    if step.join is not None:
        out.append(Badge("join", join_text(step.join)))
    if step.guard is not None:
        out.append(Badge("guard", f"when {condition_text(step.guard)}"))
    if step.for_each is not None:
        out.append(Badge("for-each", f"for each {condition_text(step.for_each.items)}"))
    if step.body.ask is not None:
        out.extend(_people_badges(step.body.ask))
    out.extend(_policy_badges(step.policy, is_in_loop=is_in_loop))
    if step.cache is not None:
        ttl = step.cache.ttl_s
        out.append(Badge("cache", "cached" if ttl is None else f"cached {duration_text(ttl)}"))
    for kind, call in (("fallback", step.fallback), ("finally", step.finally_), ("undo", step.undo)):
        if call is not None:
            out.append(Badge(kind, f"{kind} {one_line(call.target)}"))
    return tuple(out)


def _people_badges(ask: AskIR) -> list[Badge]:
    out = [Badge("people", audience_text(ask.to))] if ask.to is not None else []
    if ask.quorum:
        votes = " · ".join(f"{one_line(str(verdict))}: {_votes(need)}" for verdict, need in ask.quorum.items())
        out.append(Badge("quorum", votes))
    if ask.deadline is not None:
        out.append(Badge("deadline", f"until {value_text(ask.deadline)}"))
    if ask.remind:
        out.append(Badge("remind", "reminds after " + ", ".join(value_text(r) for r in ask.remind)))
    if ask.escalate is not None:
        after, to = value_text(ask.escalate.after), audience_text(ask.escalate.to)
        out.append(Badge("escalate", f"after {after} also {to}"))
    return out


def _votes(need: object) -> str:
    if isinstance(need, dict):
        return " + ".join(f"{count} {one_line(str(group))}" for group, count in need.items())
    return str(need)


def _policy_badges(policy: PolicyIR, *, is_in_loop: bool) -> list[Badge]:
    out: list[Badge] = []
    if policy.retry is not None and policy.retry.max > 1:
        out.append(Badge("retry", f"{policy.retry.max} attempts"))
    if policy.timeout_s is not None:
        out.append(Badge("timeout", f"timeout {duration_text(policy.timeout_s)}"))
    if policy.deadline is not None:
        out.append(Badge("deadline", f"until {value_text(policy.deadline)}"))
    if policy.repeat is not None:
        out.append(Badge("repeat", f"every {duration_text(policy.repeat.every_s)}"))
    if policy.concurrency is not None:
        out.append(Badge("concurrency", f"{policy.concurrency} at a time"))
    if policy.rate is not None:
        out.append(Badge("rate", f"{policy.rate.count} per {duration_text(policy.rate.per_s)}"))
    # A bound that the compiler filled in says nothing about this flow.
    if is_in_loop and policy.max_visits is not None and not policy.has_default_bound:
        out.append(Badge("loop", f"at most {policy.max_visits} rounds"))
    if policy.effect == "at_most_once":
        out.append(Badge("effect", "at most once"))
    if policy.placement is not None:
        out.append(Badge("placement", f"on {one_line(policy.placement)}"))
    return out


def _is_unsafe(char: str) -> bool:
    if char in "\u200c\u200d\ufe0f":
        return False
    category = unicodedata.category(char)
    return category in ("Cc", "Cf", "Cs", "Zl", "Zp") or ord(char) & 0xFFFE == 0xFFFE
