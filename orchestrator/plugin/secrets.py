"""Secret values: where they come from, who may have them, and how they are kept out of everything that is shown.

A `Secret` never shows its value in repr, str, format, pickle or JSON. A `SecretVault` knows what one flow was granted, and
which values it has handed out, so that whatever leaves a call can be masked and judged.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus

from orchestrator.errors import StepError

MASK = "***"
SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
SHORTEST_MASKED = 4  # masking shorter values would blank out ordinary text and show where they are
Provider = Callable[[str], "str | None"]


class Secret:
    """A value that is shown nowhere; `reveal()` gives it."""

    __slots__ = ("_value", "name")

    def __init__(self, value: str, name: str = "") -> None:
        self._value = value
        self.name = name

    def reveal(self) -> str:
        """The value itself. Never put it into a message, an event or a result."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name or MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        import hmac

        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self._value.encode(errors="surrogatepass"), other._value.encode(errors="surrogatepass")
        )

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied out of its process")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:  # Any: pydantic's own hook signature
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            _as_secret, serialization=core_schema.plain_serializer_function_ser_schema(lambda _value: MASK)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: Any, handler: Any
    ) -> dict[str, Any]:  # Any: pydantic's hook signature
        return {"type": "string", "format": "secret", "writeOnly": True}


def _as_secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str):
        return Secret(value)
    raise ValueError("a secret must be text")


class Masker:
    """Replaces secret values in text: raw, URL-quoted, base64 at any alignment, and as they stand inside JSON."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        forms: set[str] = set()
        for secret in secrets:
            value = secret.reveal()
            if len(value) >= SHORTEST_MASKED:
                forms.update(secret_forms(value))
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def text(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def json(self, value: Any) -> Any:
        """A copy of a JSON value with every text in it masked, keys too."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(k) if isinstance(k, str) else k: self.json(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(v) for v in value]
        return value

    def holds_secret(self, text: str) -> bool:
        return self._pattern is not None and self._pattern.search(text) is not None


def mask(text: str, secrets: Iterable[Secret]) -> str:
    """The text with every form of every secret replaced by `***`."""
    return Masker(secrets).text(text)


def secret_forms(value: str) -> set[str]:
    """The texts under which a value may show up."""
    raw = value.encode("utf-8", errors="surrogatepass")
    forms = {value, quote(raw, safe=""), quote(raw), quote_plus(raw)}
    forms |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    forms |= {raw.hex(), raw.hex().upper()}
    for offset in range(3):  # base64 works on groups of three bytes, so a value has three looks inside a longer text
        encoded = base64.b64encode(b"\0" * offset + raw).decode()
        start = (0, 2, 3)[offset]  # characters that also hold bits of what stands before
        tail = (offset + len(raw)) % 3
        core = encoded.rstrip("=")[start : None if tail == 0 else -1]
        if len(core) >= SHORTEST_MASKED:
            forms |= {core, core.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= SHORTEST_MASKED}


def read_env_file(path: Path) -> dict[str, str]:
    """`KEY=value` lines of a `.env` file: comments, `export`, single and double quotes. Missing file: empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*\Z", line)
        if match is None:
            continue
        name, value = match.groups()
        if len(value) >= 2 and value[0] == value[-1] == "'":
            value = value[1:-1]
        elif quoted := re.match(r'"((?:[^"\\]|\\.)*)"', value):
            value = re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), quoted[1])
        else:
            value = re.split(r"\s+#", value, maxsplit=1)[0]
        found[name] = value
    return found


def environment_provider(root: Path | None, environ: Mapping[str, str] | None = None) -> Provider:
    """The default provider: the process environment first, then the project's `.env`, which is read once."""
    env = os.environ if environ is None else environ
    from_file = read_env_file(root / ".env") if root is not None else {}
    return lambda name: env.get(name) or from_file.get(name) or None


class SecretVault:
    """The secrets that one flow may use, resolved when asked for, each with the hosts it may be sent to.

    granted None means that no grant is needed (library use, where the caller is the operator).
    hosts_of: name -> hosts; a secret without an entry may be sent nowhere over HTTP.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        granted: Iterable[str] | None = None,
        hosts: Mapping[str, tuple[str, ...]] | None = None,
        flow: str = "",
    ) -> None:
        self._provider = provider
        self._granted = None if granted is None else frozenset(granted)
        self._hosts = dict(hosts or {})
        self._flow = flow
        self._resolved: dict[str, Secret] = {}

    def get(self, name: str) -> Secret:
        """The secret. Raises: StepError `secret.denied` or `secret.missing`."""
        if name in self._resolved:
            return self._resolved[name]
        if self._granted is not None and name not in self._granted:
            raise StepError(
                "secret.denied",
                f'flow "{self._flow}" was not granted the secret {name}; add it to [secrets.grant] in orchestrator.toml: '
                f'{self._flow} = ["{name}"]',
            )
        value = self._provider(name)
        if value is None:
            raise StepError("secret.missing", f"secret {name} is not set; put {name}=... into the environment or .env")
        secret = Secret(value, name)
        self._resolved[name] = secret
        return secret

    def has(self, name: str) -> bool:
        """Whether `get` would succeed."""
        try:
            self.get(name)
        except StepError:
            return False
        return True

    @property
    def resolved(self) -> tuple[Secret, ...]:
        """Every secret that was handed out so far."""
        return tuple(self._resolved.values())

    def hosts_of(self, name: str) -> tuple[str, ...]:
        return self._hosts.get(name, ())

    def with_hosts(self, hosts: Mapping[str, tuple[str, ...]]) -> SecretVault:
        """The same vault with the hosts of a callable for secrets that the operator bound to none; what is resolved is shared."""
        if not hosts:
            return self
        joined = dict(self._hosts)
        for name, declared in hosts.items():
            joined.setdefault(name, declared)
        vault = SecretVault(self._provider, granted=self._granted, hosts=joined, flow=self._flow)
        vault._resolved = self._resolved
        return vault

    def masker(self) -> Masker:
        return Masker(self.resolved)

    def refuse_in(self, text: str, where: str) -> None:
        """Raises: StepError `secret.denied` if a secret stands in a text that is about to leave by a way without hosts."""
        for secret in self.resolved:
            if Masker([secret]).holds_secret(text):
                raise StepError("secret.denied", f"secret {secret.name} may not be put into {where}")
