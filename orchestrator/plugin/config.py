"""The project's config: `orchestrator.toml` or `[tool.orchestrator]`, each key also as `ORCHESTRATOR_SECTION_KEY`.

Reads and checks; decides nothing. A mistake is a diagnostic with its line, and the rest of the file is still read. `KEYS` is
the one place that says which keys exist.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.diagnostics import Diagnostic, Severity, Span
from orchestrator.plugin import config_values as v
from orchestrator.plugin.config_values import LlmProvider, McpServer, OidcConfig

FILE_NAME = "orchestrator.toml"


@dataclass(frozen=True, slots=True)
class LlmConfig:
    """`[llm]`. `api_key` is the name of a secret; prices are per million tokens, (input, output)."""

    base_url: str = ""
    model: str = ""
    api_key: str = ""
    timeout_s: float = 300.0
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    record: str = ""
    replay: str = ""
    fake: bool = False
    providers: Mapping[str, LlmProvider] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SecretsConfig:
    """`[secrets]`. `grant`: flow -> secret names; `hosts`: secret name -> hosts it may be sent to."""

    provider: str = "env"
    grant: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PeopleConfig:
    """`[people]`. `users`: name -> facts such as `email`; `groups`: name -> user names; `notify`: callables that tell them."""

    users: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_strict: bool = False
    notify: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SmtpConfig:
    """`[smtp]`, for `notify.email`. `password` is the name of a secret."""

    host: str = ""
    port: int = 587
    user: str = ""
    password: str = ""
    sender: str = ""
    tls: str = "starttls"


@dataclass(frozen=True, slots=True)
class ProjectConfig:
    """All of a project's config. `root` is the folder of the file, None without one."""

    root: Path | None = None
    file: Path | None = None
    store_url: str = ""
    store_keep_days: float | None = None
    http_allow_hosts: tuple[str, ...] = ()
    llm: LlmConfig = field(default_factory=LlmConfig)
    plugins_folder: str = ""
    plugins_allow: tuple[str, ...] = ()
    python_allow: tuple[str, ...] = ()
    secrets: SecretsConfig = field(default_factory=SecretsConfig)
    people: PeopleConfig = field(default_factory=PeopleConfig)
    smtp: SmtpConfig = field(default_factory=SmtpConfig)
    process_allow: tuple[str, ...] = ()
    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict)
    oidc: OidcConfig = field(default_factory=OidcConfig)
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def mcp_path(self) -> Path:
        """The folder that holds the pinned tools of MCP servers."""
        return (self.root or Path.cwd()) / "mcp"

    @property
    def plugins_path(self) -> Path | None:
        """The folder of local plugins, if the project has one."""
        return None if self.root is None or not self.plugins_folder else self.root / self.plugins_folder


LIMITS = (
    "event_bytes",
    "state_bytes",
    "undelivered_events",
    "fan_out",
    "subflow_depth",
    "max_visits",
    "http_body_bytes",
    "plugin_import_s",
    "llm_tokens",
    "llm_cost",
)


KEYS: dict[str, dict[str, Callable[[v.Toml], Any]]] = {
    "store": {"url": v.text, "keep_days": v.days},
    "http": {"allow_hosts": v.texts},
    "llm": {
        "base_url": v.text,
        "model": v.text,
        "api_key": v.secret_name,
        "timeout_s": v.number,
        "prices": v.prices,
        "record": v.text,
        "replay": v.text,
        "fake": v.flag,
        "providers": v.llm_providers,
    },
    "plugins": {"folder": v.text, "allow": v.texts},
    "python": {"allow": v.texts},
    "secrets": {"provider": v.text, "grant": v.lists, "hosts": v.lists},
    "people": {"users": v.users, "groups": v.lists, "notify": v.texts},
    "smtp": {
        "host": v.text,
        "port": v.port,
        "user": v.text,
        "password": v.secret_name,
        "sender": v.text,
        "tls": v.text,
    },
    "process": {"allow": v.texts},
    "mcp": {"servers": v.mcp_servers},
    "oidc": {
        "issuer": v.text,
        "client_id": v.text,
        "client_secret": v.secret_name,
        "scopes": v.texts,
        "name_claim": v.text,
        "groups_claim": v.text,
        "roles": v.lists,
        "label": v.text,
    },
    "limits": dict.fromkeys(LIMITS, v.number),
}


def find_config(start: Path) -> Path | None:
    """The config file of the project that a folder or file is in: the nearest one on the way up."""
    folder = os.path.realpath(start)
    while True:  # paths as text: this is done for every flow that is loaded, and Path takes ten times as long
        if os.path.isfile(own := os.path.join(folder, FILE_NAME)):
            return Path(own)
        if os.path.isfile(shared := os.path.join(folder, "pyproject.toml")) and _has_table(Path(shared)):
            return Path(shared)
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def load_config(
    start: Path | None, environ: Mapping[str, str] | None = None
) -> tuple[ProjectConfig, tuple[Diagnostic, ...]]:
    """The config that holds for a folder, and what is wrong with it. Wrong values keep their defaults."""
    env = os.environ if environ is None else environ
    file = find_config(start) if start is not None else None
    values: dict[str, dict[str, Any]] = {section: {} for section in KEYS}
    found: list[Diagnostic] = []
    if file is not None:
        found += _read_file(file, values)
    found += _read_environment(env, values)
    return _assemble(file, values), tuple(found)


def _read_file(file: Path, values: dict[str, dict[str, Any]]) -> list[Diagnostic]:
    import tomllib

    name = str(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        return [_finding("CFG001", f"the config cannot be read: {problem}", Span(name, 1, 1, 1, 1))]
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        line, column = _toml_place(str(problem))
        return [_finding("CFG001", f"the config is not TOML: {problem}", Span(name, line, column, line, column + 1))]
    prefix: tuple[str, ...] = ()
    if file.name == "pyproject.toml":
        document, prefix = document.get("tool", {}).get("orchestrator", {}), ("tool", "orchestrator")
    places = _Places(name, text, prefix)
    found: list[Diagnostic] = []
    for section, content in document.items():
        if section not in KEYS:
            found.append(_unknown("section", section, KEYS, places.of(section)))
        elif not isinstance(content, dict):
            found.append(_finding("CFG003", f"[{section}] must be a table", places.of(section)))
        else:
            found += _read_section(section, content, values[section], places)
    return found


def _read_section(
    section: str, content: dict[str, v.Toml], values: dict[str, Any], places: _Places
) -> list[Diagnostic]:
    found = []
    for key, value in content.items():
        reader = KEYS[section].get(key)
        if reader is None:
            found.append(_unknown(f"key of [{section}]", key, KEYS[section], places.of(section, key)))
            continue
        try:
            values[key] = reader(value)
        except v.WrongValue as wrong:
            found.append(_finding("CFG003", f"[{section}] {key} must be {wrong}", places.of(section, key)))
    return found


def _read_environment(env: Mapping[str, str], values: dict[str, dict[str, Any]]) -> list[Diagnostic]:
    given = sorted(name for name in env if name.startswith("ORCHESTRATOR_"))
    if not given:
        return []
    known = {f"ORCHESTRATOR_{s}_{k}".upper(): (s, k) for s, keys in KEYS.items() for k in keys}
    found = []
    for name in given:
        place = Span("environment", 1, 1, 1, 1)
        target = known.get(name)
        if target is None:
            near = difflib.get_close_matches(name, known, 1, 0.88)
            if near:
                found.append(
                    _finding("CFG002", f'environment variable {name} is unknown; did you mean "{near[0]}"?', place)
                )
            continue
        section, key = target
        try:
            values[section][key] = env[name] if name == "ORCHESTRATOR_LLM_API_KEY" else KEYS[section][key](env[name])
        except v.WrongValue as wrong:
            found.append(_finding("CFG003", f"environment variable {name} must be {wrong}", place))
    return found


def _assemble(file: Path | None, values: dict[str, dict[str, Any]]) -> ProjectConfig:
    people = values["people"]
    return ProjectConfig(
        root=None if file is None else file.parent,
        file=file,
        store_url=values["store"].get("url", ""),
        store_keep_days=values["store"].get("keep_days"),
        http_allow_hosts=values["http"].get("allow_hosts", ()),
        llm=LlmConfig(**values["llm"]),
        plugins_folder=values["plugins"].get("folder", ""),
        plugins_allow=values["plugins"].get("allow", ()),
        python_allow=values["python"].get("allow", ()),
        secrets=SecretsConfig(**values["secrets"]),
        people=PeopleConfig(
            people.get("users", {}),
            people.get("groups", {}),
            is_strict="users" in people or "groups" in people,
            notify=people.get("notify", ()),
        ),
        smtp=SmtpConfig(**values["smtp"]),
        process_allow=values["process"].get("allow", ()),
        mcp_servers=values["mcp"].get("servers", {}),
        oidc=OidcConfig(**values["oidc"]),
        limits=values["limits"],
    )


class _Places:
    """Where a section or key stands in a TOML text, for messages. Falls back to the section, then to the first line."""

    _HEADER = re.compile(r"\s*\[+\s*([^\]#]+?)\s*\]+")
    _KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=""")

    def __init__(self, file: str, text: str, prefix: tuple[str, ...]) -> None:
        self._file = file
        self._prefix = prefix
        self._found: dict[tuple[str, ...], Span] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(text.splitlines(), 1):
            if header := self._HEADER.match(line):
                table = self._split(header[1])
                self._note(table, number, line, header.start(1))
            elif key := self._KEY.match(line):
                self._note(table + self._split(key[1]), number, line, key.start(1))

    def of(self, *path: str) -> Span:
        full = self._prefix + path
        for size in range(len(full), 0, -1):
            if full[:size] in self._found:
                return self._found[full[:size]]
        return Span(self._file, 1, 1, 1, 1)

    def _note(self, path: tuple[str, ...], line: int, text: str, start: int) -> None:
        for size in range(1, len(path) + 1):
            word = path[size - 1]
            column = text.find(word, start) + 1
            self._found.setdefault(path[:size], Span(self._file, line, column, line, column + len(word)))

    @staticmethod
    def _split(name: str) -> tuple[str, ...]:
        parts = re.findall(r"""\s*("[^"]*"|'[^']*'|[^."']+)\s*""", name)
        return tuple(part.strip().strip("\"'") for part in parts)


def _toml_place(message: str) -> tuple[int, int]:
    match = re.search(r"line (\d+), column (\d+)", message)
    return (int(match[1]), int(match[2])) if match else (1, 1)


def _unknown(what: str, name: str, known: Mapping[str, object], span: Span) -> Diagnostic:
    near = difflib.get_close_matches(name, known, 1, 0.6)
    help_text = f'did you mean "{near[0]}"?' if near else "known: " + ", ".join(known)
    return _finding("CFG002", f'unknown {what} "{name}"; {help_text}', span, help_text)


def _finding(code: str, message: str, span: Span, help_text: str | None = None) -> Diagnostic:
    return Diagnostic(code, Severity.ERROR, message, span, help=help_text)


def _has_table(project: Path) -> bool:
    try:
        text = project.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return re.search(r"^\s*\[\s*tool\s*\.\s*orchestrator\b", text, re.MULTILINE) is not None
