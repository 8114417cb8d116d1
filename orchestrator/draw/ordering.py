"""The order of vertices within rows: barycentre sweeps that keep the order with the fewest crossings.

Source: Sugiyama, Tagawa, Toda 1981 (sweeps); Barth, Jünger, Mutzel 2004 (counting crossings with a binary indexed tree).
"""

from __future__ import annotations

import itertools

from orchestrator.draw.mesh import Mesh, fill_rows

_SWEEPS = 12
_WORK = 60_000  # vertices looked at over all sweeps; a large graph gets fewer of them
_SWAP_LIMIT = 1_500  # vertices up to which neighbours are also swapped pairwise, and several starts are tried
# (ways on in reverse order, rows mirrored, first sweep downwards); the order of the flow itself comes first.
_STARTS = tuple(itertools.product((False, True), (False, True), (True, False)))


def order_rows(mesh: Mesh) -> None:
    """Reorder the rows of the mesh in place so that few edges cross.

    Cost: O((vertices + hops) log hops) per sweep, a bounded number of sweeps. Ties keep the earlier order.
    """
    best = _crossings(mesh)
    kept = [row[:] for row in mesh.rows]
    sweeps = max(4, min(_SWEEPS, _WORK // max(1, len(mesh.size))))
    starts = _STARTS if len(mesh.size) <= _SWAP_LIMIT else _STARTS[:1]
    for is_turned, is_mirrored, goes_down in starts:
        fill_rows(mesh, is_turned=is_turned)
        if is_mirrored:
            mesh.rows = [row[::-1] for row in mesh.rows]
            mesh.number_rows()
        for n in range(sweeps):
            if best == 0:
                break
            _sweep(mesh, downwards=(n % 2 == 0) == goes_down)
            if len(mesh.size) <= _SWAP_LIMIT:
                _swap_neighbours(mesh)
            crossings = _crossings(mesh)
            if crossings < best:
                best, kept = crossings, [row[:] for row in mesh.rows]
    mesh.rows = kept
    mesh.number_rows()


def _sweep(mesh: Mesh, *, downwards: bool) -> None:
    near = mesh.up if downwards else mesh.down
    place = mesh.place
    for row in mesh.rows if downwards else reversed(mesh.rows):
        keys: dict[int, float] = {}
        for n, vertex in enumerate(row):
            others = near[vertex]
            keys[vertex] = sum(place[o] for o in others) / len(others) if others else n
        row.sort(key=keys.__getitem__)
        for n, vertex in enumerate(row):
            place[vertex] = n


def _swap_neighbours(mesh: Mesh) -> None:
    """Swap two neighbours in a row wherever that alone removes a crossing."""
    place = mesh.place
    for row in mesh.rows:
        for n in range(len(row) - 1):
            left, right = row[n], row[n + 1]
            now = later = 0
            for near in (mesh.up, mesh.down):
                for a in near[left]:
                    for b in near[right]:
                        now += place[a] > place[b]
                        later += place[a] < place[b]
            if later < now:
                row[n], row[n + 1] = right, left
                place[left], place[right] = n + 1, n


def _crossings(mesh: Mesh) -> int:
    total = 0
    place = mesh.place
    for above, below in zip(mesh.rows, mesh.rows[1:], strict=False):
        ends = [p for vertex in above for p in sorted(place[w] for w in mesh.down[vertex])]
        total += _inversions(ends, len(below))
    return total


def _inversions(values: list[int], size: int) -> int:
    tree = [0] * (size + 1)
    total = 0
    for seen, value in enumerate(values):
        at = value + 1
        smaller = 0
        while at:
            smaller += tree[at]
            at &= at - 1
        total += seen - smaller
        at = value + 1
        while at <= size:
            tree[at] += 1
            at += at & -at
    return total
