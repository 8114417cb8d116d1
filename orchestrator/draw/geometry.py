"""Boxes, lines and distances: what a layout is made of. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; x and y of its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of the right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of the lower side."""
        return self.y + self.height

    @property
    def middle(self) -> float:
        """The x of the middle."""
        return self.x + self.width / 2

    def overlaps(self, other: Box) -> bool:
        """Whether the two have an area in common."""
        is_beside = self.right <= other.x or other.right <= self.x
        return not (is_beside or self.bottom <= other.y or other.bottom <= self.y)


@dataclass(frozen=True, slots=True)
class Spacing:
    """Least distances, in the unit of the sizes given. With `is_orthogonal` lines have no slants (for character grids)."""

    node: float = 40.0  # between boxes in a row
    label: float = 18.0  # beside a label
    bend: float = 16.0  # between lines
    row: float = 24.0  # for the lines between two rows
    row_stretch: float = 0.11  # more of it for lines that go far sideways
    track: float = 9.0  # between lines that run sideways
    lane: float = 18.0  # between lines that run outside
    port: float = 14.0  # between the ends of lines at a box
    inset: float = 13.0  # from a box's corner to the first line
    arrow: float = 8.0  # room for the tip
    margin: float = 24.0
    is_orthogonal: bool = False

    def half(self, width: float) -> float:
        """Half of a width; on a grid the cells to either side of the middle one."""
        return float(width // 2) if self.is_orthogonal else width / 2


@dataclass(frozen=True, slots=True)
class Route:
    """The line of an edge as a polyline from source to target, and the box of its label.

    `label` is None if the edge has none, or shares the line and the label of an earlier edge to the same target. A slanted
    stretch of the polyline lies between two rows and may be drawn as a curve that starts and ends upright.
    """

    points: tuple[Point, ...]
    label: Box | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """A laid-out graph: boxes by node id, routes by edge id."""

    width: float
    height: float
    nodes: Mapping[str, Box]
    edges: Mapping[str, Route]
