"""Accounts: users, groups, API keys, sessions, used decision links, and the secret that signs. One SQLite file or memory.

Kept apart from the runs: a copy of the run store holds no credential. Passwords, keys and session tokens are hashed; a key is
shown once, when it is made. Calls are short and synchronous; `Gate` remembers identities for a few seconds.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import JournalConflict, StoreError, UsageError
from orchestrator.server.access import Role
from orchestrator.server.passwords import (
    DUMMY_HASH,
    SHORTEST_PASSWORD,
    hash_password,
    hash_token,
    is_password,
    is_same,
    key_id_of,
    new_key,
    new_token,
)

Row = tuple[Any, ...]  # a row as sqlite3 gives it
SESSION_S = 12 * 3600.0
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}\Z")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, password TEXT, email TEXT NOT NULL DEFAULT '',
    roles TEXT NOT NULL, is_disabled INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS members (name TEXT NOT NULL, user TEXT NOT NULL REFERENCES users(name) ON DELETE CASCADE,
    PRIMARY KEY (name, user));
CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES users(name) ON DELETE CASCADE,
    label TEXT NOT NULL, hash TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL, used_at REAL);
CREATE TABLE IF NOT EXISTS sessions (hash TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES users(name) ON DELETE CASCADE,
    created_at REAL NOT NULL, expires_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS subjects (issuer TEXT NOT NULL, subject TEXT NOT NULL,
    user TEXT NOT NULL REFERENCES users(name) ON DELETE CASCADE, PRIMARY KEY (issuer, subject));
CREATE TABLE IF NOT EXISTS used_links (nonce TEXT PRIMARY KEY, expires_at REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    name: str
    roles: frozenset[Role]
    groups: tuple[str, ...] = ()
    email: str = ""
    is_disabled: bool = False
    has_password: bool = False
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key, without the key."""

    id: str
    user: str
    label: str
    created_at: float
    expires_at: float | None
    used_at: float | None


class Accounts:
    """The accounts of one server or project. Without a path they last as long as the process.

    Example: Accounts(Path(".orchestrator/accounts.db")).add_user("kim", roles=[Role.APPROVER], password="…")
    """

    def __init__(self, path: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600, exist_ok=True)
            self._db = sqlite3.connect(
                str(path) if path is not None else ":memory:",
                check_same_thread=False,
                isolation_level=None,
                timeout=5.0,
            )
            self._db.execute("PRAGMA foreign_keys = ON")
            if path is not None:
                self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the accounts in {path} cannot be used: {error}", code="accounts") from error
        self.secret = self._signing_secret()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    # Users.

    def is_empty(self) -> bool:
        """Whether there is no account at all."""
        return self._one("SELECT 1 FROM users LIMIT 1") is None

    def add_user(
        self,
        name: str,
        *,
        roles: Iterable[Role] = (),
        password: str | None = None,
        groups: Iterable[str] = (),
        email: str = "",
    ) -> User:
        """A new account.

        Raises: UsageError for a bad name or password; JournalConflict if the name is taken.
        """
        _check_name(name, "a user")
        stored = _stored_password(password)
        with self._transaction() as db:
            self._insert(db, name, stored, email, roles, groups)
        return self.user(name)

    def change_user(
        self,
        name: str,
        *,
        roles: Iterable[Role] | None = None,
        password: str | None = None,
        groups: Iterable[str] | None = None,
        email: str | None = None,
        is_disabled: bool | None = None,
    ) -> User:
        """Change what is given; a new password, or being disabled, ends the user's sessions. Raises: UsageError."""
        self.user(name)
        with self._transaction() as db:
            if roles is not None:
                db.execute("UPDATE users SET roles = ? WHERE name = ?", (_role_text(roles), name))
            if email is not None:
                db.execute("UPDATE users SET email = ? WHERE name = ?", (email, name))
            if password is not None:
                db.execute("UPDATE users SET password = ? WHERE name = ?", (_stored_password(password), name))
            if is_disabled is not None:
                db.execute("UPDATE users SET is_disabled = ? WHERE name = ?", (int(is_disabled), name))
            if password is not None or is_disabled:
                db.execute("DELETE FROM sessions WHERE user = ?", (name,))
            if groups is not None:
                self._set_groups(db, name, groups)
        return self.user(name)

    def remove_user(self, name: str) -> None:
        """Remove an account with its keys and sessions. Raises: UsageError if there is none."""
        self.user(name)
        with self._transaction() as db:
            db.execute("DELETE FROM users WHERE name = ?", (name,))

    def user(self, name: str) -> User:
        """One account. Raises: UsageError `user.unknown`."""
        row = self._one(
            "SELECT name, roles, email, is_disabled, password IS NOT NULL, created_at FROM users WHERE name = ?", name
        )
        if row is None:
            known = ", ".join(user.name for user in self.users()[:8]) or "none yet"
            raise UsageError(f"there is no user {name!r}; there are: {known}", code="user.unknown")
        groups = tuple(g for (g,) in self._all("SELECT name FROM members WHERE user = ? ORDER BY name", name))
        return User(row[0], _roles_of(row[1]), groups, row[2], bool(row[3]), bool(row[4]), row[5])

    def users(self) -> list[User]:
        """All accounts, by name."""
        return [self.user(name) for (name,) in self._all("SELECT name FROM users ORDER BY name")]

    def groups(self) -> dict[str, list[str]]:
        """Every group with its members."""
        found: dict[str, list[str]] = {}
        for group, user in self._all("SELECT name, user FROM members ORDER BY name, user"):
            found.setdefault(group, []).append(user)
        return found

    def user_of_subject(
        self, issuer: str, subject: str, *, name: str, roles: Iterable[Role], groups: Iterable[str], email: str
    ) -> User:
        """The account of somebody whom a provider has signed in, made at the first time; roles and groups become these.

        An account that was not made so is never taken over. Raises: UsageError for a name that is none; JournalConflict
        if somebody else has it.
        """
        row = self._one("SELECT user FROM subjects WHERE issuer = ? AND subject = ?", issuer, subject)
        if row is None:
            _check_name(name, "a user")
            with self._transaction() as db:
                self._insert(db, name, None, email, roles, groups)
                db.execute("INSERT INTO subjects VALUES (?, ?, ?)", (issuer, subject, name))
            return self.user(name)
        return self.change_user(str(row[0]), roles=roles, groups=groups, email=email)

    def check_password(self, name: str, password: str) -> User | None:
        """The account, if the password is right and it is not disabled. Slow on purpose: call it in a thread."""
        row = self._one("SELECT password, is_disabled FROM users WHERE name = ?", name)
        stored = row[0] if row is not None and row[0] else DUMMY_HASH
        is_right = is_password(password, stored)
        return self.user(name) if is_right and row is not None and row[0] and not row[1] else None

    # Keys.

    def add_key(self, user: str, label: str = "", *, lasts_s: float | None = None) -> tuple[str, ApiKey]:
        """A new API key of a user: the key itself, to be shown once, and what is kept of it. Raises: UsageError."""
        self.user(user)
        key_id, key, digest = new_key()
        now = self._clock()
        expires = now + lasts_s if lasts_s is not None else None
        with self._transaction() as db:
            db.execute(
                "INSERT INTO keys (id, user, label, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
                (key_id, user, label, digest, now, expires),
            )
        return key, ApiKey(key_id, user, label, now, expires, None)

    def api_keys(self) -> list[ApiKey]:
        """All keys, the newest first."""
        rows = self._all(
            "SELECT id, user, label, created_at, expires_at, used_at FROM keys ORDER BY created_at DESC, id"
        )
        return [ApiKey(*row) for row in rows]

    def remove_key(self, key_id: str) -> None:
        """Revoke a key. Raises: UsageError `key.unknown`."""
        with self._transaction() as db:
            if db.execute("DELETE FROM keys WHERE id = ?", (key_id,)).rowcount == 0:
                raise UsageError(f"there is no key {key_id!r}; `orchestrator keys list` shows them", code="key.unknown")

    def user_of_key(self, key: str) -> User | None:
        """Whose key it is; None for one that is unknown, expired, or of a disabled user."""
        key_id = key_id_of(key)
        row = self._one("SELECT user, hash, expires_at, used_at FROM keys WHERE id = ?", key_id) if key_id else None
        now = self._clock()
        if row is None or not is_same(row[1], hash_token(key)) or (row[2] is not None and row[2] <= now):
            return None
        if row[3] is None or now - row[3] > 60:
            with self._transaction() as db:
                db.execute("UPDATE keys SET used_at = ? WHERE id = ?", (now, key_id))
        return self._enabled(row[0])

    # Sessions.

    def open_session(self, user: str) -> str:
        """A new session; gives the token for the cookie."""
        token, now = new_token(), self._clock()
        with self._transaction() as db:
            db.execute("DELETE FROM sessions WHERE expires_at <= ?", (now,))
            db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", (hash_token(token), user, now, now + SESSION_S))
        return token

    def user_of_session(self, token: str) -> User | None:
        """Whose session it is; None for one that has ended."""
        row = self._one("SELECT user, expires_at FROM sessions WHERE hash = ?", hash_token(token))
        return self._enabled(row[0]) if row is not None and row[1] > self._clock() else None

    def close_session(self, token: str) -> None:
        """End a session."""
        with self._transaction() as db:
            db.execute("DELETE FROM sessions WHERE hash = ?", (hash_token(token),))

    # Decision links.

    def use_link(self, nonce: str, expires_at: float) -> bool:
        """Take a link's one use; False if it was used before."""
        with self._transaction() as db:
            db.execute("DELETE FROM used_links WHERE expires_at <= ?", (self._clock() - 86_400,))
            return db.execute("INSERT OR IGNORE INTO used_links VALUES (?, ?)", (nonce, expires_at)).rowcount == 1

    def is_link_used(self, nonce: str) -> bool:
        """Whether a link was used."""
        return self._one("SELECT 1 FROM used_links WHERE nonce = ?", nonce) is not None

    def free_link(self, nonce: str) -> None:
        """Give a link's use back: what it was used for was refused."""
        with self._transaction() as db:
            db.execute("DELETE FROM used_links WHERE nonce = ?", (nonce,))

    # Inside.

    def _signing_secret(self) -> str:
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO settings VALUES ('secret', ?)", (secrets.token_urlsafe(48),))
        row = self._one("SELECT value FROM settings WHERE name = 'secret'")
        assert row is not None
        return str(row[0])

    def _insert(
        self,
        db: sqlite3.Connection,
        name: str,
        password: str | None,
        email: str,
        roles: Iterable[Role],
        groups: Iterable[str],
    ) -> None:
        try:
            db.execute(
                "INSERT INTO users (name, password, email, roles, created_at) VALUES (?, ?, ?, ?, ?)",
                (name, password, email, _role_text(roles), self._clock()),
            )
        except sqlite3.IntegrityError:
            raise JournalConflict(f"there is a user {name!r} already", code="user.exists") from None
        self._set_groups(db, name, groups)

    def _enabled(self, name: str) -> User | None:
        try:
            user = self.user(name)
        except UsageError:
            return None
        return None if user.is_disabled else user

    def _set_groups(self, db: sqlite3.Connection, user: str, groups: Iterable[str]) -> None:
        names = list(dict.fromkeys(groups))
        for group in names:
            _check_name(group, "a group")
        db.execute("DELETE FROM members WHERE user = ?", (user,))
        db.executemany("INSERT INTO members VALUES (?, ?)", [(group, user) for group in names])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _one(self, sql: str, *values: object) -> Row | None:
        with self._lock:
            found: Row | None = self._db.execute(sql, values).fetchone()
        return found

    def _all(self, sql: str, *values: object) -> list[Row]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()


def _check_name(name: str, what: str) -> None:
    if not NAME.match(name):
        raise UsageError(
            f"{name!r} is no name for {what}: letters, digits and . _ @ + - are allowed, at most 100 of them",
            code="user.name",
        )


def _stored_password(password: str | None) -> str | None:
    if password is None:
        return None
    if len(password) < SHORTEST_PASSWORD:
        raise UsageError(f"a password has at least {SHORTEST_PASSWORD} characters", code="user.password")
    return hash_password(password)


def _role_text(roles: Iterable[Role]) -> str:
    return " ".join(sorted({str(role) for role in roles}))


def _roles_of(text: object) -> frozenset[Role]:
    return frozenset(Role(word) for word in str(text).split() if word in set(Role))
