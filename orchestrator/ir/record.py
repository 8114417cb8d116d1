"""What the plain records of the IR share: equality, hash and text by their fields, written once instead of once per class.

A dataclass would generate each of them for each class when it is imported, which is most of what importing the IR costs.
"""

from __future__ import annotations

from typing import Any


class Record:
    """The base of frozen, slotted dataclasses that are made with `eq=False, repr=False`."""

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()  # a dataclass puts the names of its fields here

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__match_args__)

    def __hash__(self) -> int:
        values: tuple[Any, ...] = tuple(getattr(self, name) for name in self.__match_args__)
        return hash(values)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__qualname__}({fields})"
