"""Passwords, API keys and session tokens: how they are made, hashed and compared. Stores nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets

KEY_PREFIX = "orc"
SHORTEST_PASSWORD = 10
_N, _R, _P = 2**14, 8, 1  # scrypt: 16 MiB and about 50 ms


def hash_password(password: str) -> str:
    """The text to store for a password. Cost: 16 MiB and some 50 ms, on purpose."""
    salt = os.urandom(16)
    return f"scrypt${_N}${_R}${_P}${_text(salt)}${_text(_scrypt(password, salt, _N, _R, _P))}"


def is_password(password: str, stored: str) -> bool:
    """Whether a password is the one that was hashed."""
    try:
        kind, n, r, p, salt, digest = stored.split("$")
    except ValueError:
        return False
    if kind != "scrypt":
        return False
    return hmac.compare_digest(_scrypt(password, _bytes(salt), int(n), int(r), int(p)), _bytes(digest))


DUMMY_HASH = "scrypt$16384$8$1$" + base64.b64encode(bytes(16)).decode() + "$" + base64.b64encode(bytes(32)).decode()
"""Compared with when there is no such user, so that an answer takes as long as for a wrong password."""


def new_key() -> tuple[str, str, str]:
    """A new API key: its public id, the whole key (shown once), and the hash to store."""
    key_id = secrets.token_hex(6)
    key = f"{KEY_PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
    return key_id, key, hash_token(key)


def key_id_of(key: str) -> str | None:
    """The public id in an API key; None if it does not look like one."""
    parts = key.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == KEY_PREFIX and parts[1] else None


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """The stored form of a key or session token: they are long and random, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def is_same(one: str, other: str) -> bool:
    """Compare two texts in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    data = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=64 * 1024 * 1024, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
