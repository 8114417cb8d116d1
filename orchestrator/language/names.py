"""The form of every kind of name in a flow file. Decides what a name may look like, not whether it exists.

Events are PascalCase, steps snake_case, callables `namespace.verb`, flows kebab-case, secrets UPPER_CASE. Letters of
scripts without capitals stand for both, so such a name may be an event or a step.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from orchestrator.language.decode import HIDDEN_IN_NAME

BUILT_IN_EVENTS = ("Start", "Stop", "Failed", "Cancelled")
STEP_SUFFIXES = ("done", "failed", "timeout")
NONE = "none"

_CALLABLE = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_-]*)+\Z")
_ERROR_CODE = re.compile(r"(?:[a-z][a-z0-9_-]*|\*)(?:\.(?:[a-z0-9_-]+|\*))*\Z")
_SECRET = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[^\W_A-Za-z0-9]+")


def is_event_name(name: str) -> bool:
    return name.isidentifier() and "_" not in name and not name[0].islower()


def is_step_name(name: str) -> bool:
    return name.isidentifier() and name[0] != "_" and (name.islower() or name == name.lower())


def is_field_name(name: str) -> bool:
    return name.isidentifier() and name[0] != "_"


def is_flow_name(name: str) -> bool:
    parts = name.split("-")
    return all(part.isalnum() for part in parts) and name == name.lower()


def is_callable_name(name: str) -> bool:
    return _CALLABLE.match(name) is not None


def is_error_pattern(name: str) -> bool:
    return _ERROR_CODE.match(name) is not None


def is_secret_name(name: str) -> bool:
    return _SECRET.match(name) is not None


def is_event_or_step(name: str) -> bool:
    """Whether a name can stand where `on` or `emit` takes one: an event, a step, or `step.done` and the like."""
    if is_event_name(name) or is_step_name(name):
        return True
    step, dot, suffix = name.rpartition(".")
    return bool(dot) and suffix in STEP_SUFFIXES and is_step_name(step)


def hidden_char(name: str) -> str | None:
    """The first invisible or direction-changing character of a name."""
    if name.isascii():
        return None
    match = HIDDEN_IN_NAME.search(name)
    return match.group() if match else None


def _split(name: str) -> list[str]:
    return _WORDS.findall(name)


def to_pascal(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in _split(name))


def to_snake(name: str) -> str:
    return "_".join(word.lower() for word in _split(name))


def to_kebab(name: str) -> str:
    return "-".join(word.lower() for word in _split(name))


def to_upper(name: str) -> str:
    return "_".join(word.upper() for word in _split(name))


class NameKind:
    """One kind of name: its word in messages, its rule, an example, and the turn into its form."""

    __slots__ = ("form", "mend", "rule", "word")

    def __init__(self, word: str, form: str, rule: Callable[[str], bool], mend: Callable[[str], str] | None) -> None:
        self.word = word
        self.form = form
        self.rule = rule
        self.mend = mend


EVENT = NameKind("an event", "PascalCase, such as `OrderPaid`", is_event_name, to_pascal)
STEP = NameKind("a step", "snake_case, such as `send_mail`", is_step_name, to_snake)
EVENT_OR_STEP = NameKind(
    "an event or a step", "`PascalCase` for an event, `snake_case` for a step", is_event_or_step, None
)
FIELD = NameKind("a field", "a word of letters, digits and `_`, such as `max_rounds`", is_field_name, to_snake)
FLOW = NameKind("a flow", "kebab-case, such as `publish-post`", is_flow_name, to_kebab)
CALLABLE = NameKind("a callable", "`namespace.verb`, such as `http.get`", is_callable_name, None)
ERROR_CODE = NameKind("an error code", "`timeout`, `http.404`, `http.5xx`, `http.*` or `any`", is_error_pattern, None)
SECRET = NameKind("a secret", "UPPER_CASE, such as `CMS_TOKEN`", is_secret_name, to_upper)
