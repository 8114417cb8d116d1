"""Where vertices stand from left to right: long edges straight, nodes over the middle of what they lead to.

Four placements are made (leaning up or down, left or right) and the mean of the middle two is taken. In each, a vertex is
tied to the median of its neighbours in the row before, giving blocks that share one x; then blocks are packed.
I1  In every row neighbours keep at least their least distance: each of the four placements does, hence the mean as well.
I2  A block is straight; the bends of one edge share a block unless two such edges cross.
Source: Brandes, Köpf 2001 (alignment and balancing), with packing over the graph of blocks instead of classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from orchestrator.draw.mesh import Mesh

Gap = Callable[[int, int], float]


def place_columns(mesh: Mesh, distance: Gap) -> list[float]:
    """The x of the middle of every vertex; `distance(a, b)` is the least for neighbours a, b.

    Cost: linear in vertices and hops.
    """
    if not mesh.size:
        return []
    conflicts = _conflicts(mesh)
    layouts: list[list[float]] = []
    for from_top in (True, False):
        for from_left in (True, False):
            root = _align(mesh, conflicts, from_top=from_top, from_left=from_left)
            xs = _pack(mesh, root, distance, from_left=from_left)
            layouts.append(xs)
    return _balance(mesh, layouts)


def _conflicts(mesh: Mesh) -> set[tuple[int, int]]:
    """Hops that cross a hop between two bends: they give way, so that long edges stay straight."""
    found: set[tuple[int, int]] = set()
    place = mesh.place
    for above, below in zip(mesh.rows, mesh.rows[1:], strict=False):
        left, scanned = 0, 0
        last = len(below) - 1
        for n, vertex in enumerate(below):
            inner = next((u for u in mesh.up[vertex] if mesh.is_bend[u]), None) if mesh.is_bend[vertex] else None
            if inner is None and n != last:
                continue
            right = place[inner] if inner is not None else len(above)
            for other in below[scanned : n + 1]:
                for u in mesh.up[other]:
                    is_inner = mesh.is_bend[u] and mesh.is_bend[other]
                    if not is_inner and (place[u] < left or place[u] > right):
                        found.add((u, other))
            scanned, left = n + 1, right
    return found


def _align(mesh: Mesh, conflicts: set[tuple[int, int]], *, from_top: bool, from_left: bool) -> list[int]:
    """The block of every vertex, named by its first vertex."""
    root = list(range(len(mesh.size)))
    place = mesh.place
    near = mesh.up if from_top else mesh.down
    for row in mesh.rows if from_top else reversed(mesh.rows):
        limit = -1 if from_left else len(mesh.size)
        for vertex in row if from_left else reversed(row):
            others = sorted(near[vertex], key=place.__getitem__)
            middle = [(len(others) - 1) // 2, len(others) // 2] if others else []
            for at in middle if from_left else reversed(middle):
                other = others[at]
                hop = (other, vertex) if from_top else (vertex, other)
                free = place[other] > limit if from_left else place[other] < limit
                if free and hop not in conflicts:
                    root[vertex] = root[other]
                    limit = place[other]
                    break
    return root


def _pack(mesh: Mesh, root: list[int], distance: Gap, *, from_left: bool) -> list[float]:
    """Put blocks as far to one side as they go, then draw each towards the neighbours on its other side."""
    count = len(root)
    after: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    open_in = [0] * count
    for row in mesh.rows:
        ordered = row if from_left else row[::-1]
        for a, b in itertools.pairwise(ordered):
            after[root[a]].append((root[b], distance(a, b)))
            open_in[root[b]] += 1
    order = [v for v in range(count) if root[v] == v and not open_in[v]]
    x = [0.0] * count
    for block in order:
        for other, least in after[block]:
            x[other] = max(x[other], x[block] + least)
            open_in[other] -= 1
            if not open_in[other]:
                order.append(other)
    for block in reversed(order):
        if after[block]:
            x[block] = max(x[block], min(x[other] - least for other, least in after[block]))
    sign = 1.0 if from_left else -1.0
    return [sign * x[root[v]] for v in range(count)]


def _balance(mesh: Mesh, layouts: list[list[float]]) -> list[float]:
    half = [width / 2 for width, _ in mesh.size]
    lows = [min(x - h for x, h in zip(xs, half, strict=True)) for xs in layouts]
    highs = [max(x + h for x, h in zip(xs, half, strict=True)) for xs in layouts]
    narrowest = min(range(4), key=lambda n: highs[n] - lows[n])
    shifted = []
    for n, xs in enumerate(layouts):
        is_left = n % 2 == 0
        shift = lows[narrowest] - lows[n] if is_left else highs[narrowest] - highs[n]
        shifted.append([x + shift for x in xs])
    middle = (sorted(four) for four in zip(*shifted, strict=True))
    return [(four[1] + four[2]) / 2 for four in middle]
