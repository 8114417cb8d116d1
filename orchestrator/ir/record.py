"""Records: slotted dataclasses that the type checker holds frozen, and what those of the IR share.

A dataclass that is frozen at run time as well takes five times as long to make (80 ns a field instead of 16), and reading
and compiling a flow makes about twenty of them per step: 15 % of its time. So nothing but mypy stops an assignment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


class Record:
    """The base of records whose equality, hash and text are written once, here, instead of once per class.

    A dataclass would generate each of them for each class when it is imported, which is most of what importing the IR costs.
    """

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


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make the class a record: slotted, compared and hashed by its fields; frozen to the type checker only."""
    generated = not issubclass(cls, Record)
    return dataclass(slots=True, eq=generated, repr=generated, unsafe_hash=generated)(cls)
