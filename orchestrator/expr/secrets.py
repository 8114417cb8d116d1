"""Placeholders that stand for secrets from rendering to the call, so that no journal, log or page sees a value.

`secrets.NAME` renders to a `SecretRef`, text around it to a `SecretText`. `seal` writes a rendered value as JSON for
the journal, `unseal` reads it back, `resolve_secrets` puts the values in, in the process that makes the call. Whether
a stored value is sealed is known from the flow (`CompiledValue.has_secrets`), never from the value: data that looks
like a placeholder stays data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

# Rendered values are JSON with placeholders in it; Any is the type of JSON in this package.
Json: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Stands for the secret `name`; `is_quoted` says that it is percent-encoded when it is put in."""

    name: str
    is_quoted: bool = False


@dataclass(frozen=True, slots=True)
class SecretText:
    """A text with secrets in it, in parts."""

    parts: tuple[str | SecretRef, ...]


def secret_scope(names: Iterable[str]) -> dict[str, SecretRef]:
    """What a scope holds as `secrets`: a placeholder for each secret that the flow was granted."""
    return {name: SecretRef(name) for name in names}


def join_secret(parts: Iterable[str | SecretRef | SecretText]) -> SecretText:
    """One text of parts of which at least one is secret; neighbouring plain parts are joined."""
    flat: list[str | SecretRef] = []
    for part in parts:
        for piece in part.parts if isinstance(part, SecretText) else (part,):
            if isinstance(piece, str) and flat and isinstance(flat[-1], str):
                flat[-1] += piece
            elif piece != "":
                flat.append(piece)
    return SecretText(tuple(flat))


def resolve_secrets(value: Json, lookup: Callable[[str], str]) -> Json:
    """The value with every placeholder replaced by what `lookup` gives for its name.

    Cost: O(size of the value). Raises: whatever `lookup` raises for a secret that is not there.
    """
    match value:
        case SecretRef():
            return _secret_text(value, lookup)
        case SecretText(parts=parts):
            return "".join(part if isinstance(part, str) else _secret_text(part, lookup) for part in parts)
        case dict():
            return {key: resolve_secrets(item, lookup) for key, item in value.items()}
        case list():
            return [resolve_secrets(item, lookup) for item in value]
        case _:
            return value


def secret_names(value: Json) -> frozenset[str]:
    """The names of all secrets that a rendered value stands for."""
    match value:
        case SecretRef(name=name):
            return frozenset({name})
        case SecretText(parts=parts):
            return frozenset(part.name for part in parts if isinstance(part, SecretRef))
        case dict():
            return frozenset(name for item in value.values() for name in secret_names(item))
        case list():
            return frozenset(name for item in value for name in secret_names(item))
        case _:
            return frozenset()


def seal(value: Json) -> Json:
    """A rendered value as plain JSON: placeholders become `{"$secret": …}`, data that looks so is wrapped in `$lit`.

    What holds neither comes back as it is, not copied.
    """
    match value:
        case SecretRef():
            return _seal_ref(value)
        case SecretText(parts=parts):
            return {"$text": [part if isinstance(part, str) else _seal_ref(part) for part in parts]}
        case dict():
            sealed = {key: seal(item) for key, item in value.items()}
            if any(isinstance(key, str) and key.startswith("$") for key in sealed):
                return {"$lit": sealed}
            return sealed if any(sealed[key] is not item for key, item in value.items()) else value
        case list():
            items = [seal(item) for item in value]
            return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        case _:
            return value


def unseal(value: Json) -> Json:
    """The rendered value that `seal` wrote."""
    match value:
        case {"$secret": name, **rest}:
            return SecretRef(name, bool(rest.get("quoted", False)))
        case {"$text": parts}:
            return SecretText(tuple(unseal(part) for part in parts))
        case {"$lit": inner}:
            return {key: unseal(item) for key, item in inner.items()}
        case dict():
            return {key: unseal(item) for key, item in value.items()}
        case list():
            return [unseal(item) for item in value]
        case _:
            return value


def _seal_ref(ref: SecretRef) -> Json:
    return {"$secret": ref.name, "quoted": True} if ref.is_quoted else {"$secret": ref.name}


def _secret_text(ref: SecretRef, lookup: Callable[[str], str]) -> str:
    text = lookup(ref.name)
    return quote(text, safe="") if ref.is_quoted else text
