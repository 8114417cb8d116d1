"""Cycles of a directed graph given as lists of numbers: which edges close one, and which nodes lie on one."""

from __future__ import annotations

from collections.abc import Sequence

_NEW, _OPEN, _DONE = 0, 1, 2


def back_edges(size: int, edges: Sequence[tuple[int, int]]) -> list[bool]:
    """For each edge whether it goes back to a node on the way to it, in a depth-first walk from node 0, then the others.

    Of several ways on, the walk takes that to the lowest number first: steps are numbered as their author wrote them, so
    a way back to an earlier step is found to be one. Without the marked edges the graph has no cycle.
    Cost: linear but for sorting; no recursion.
    """
    out: list[list[int]] = [[] for _ in range(size)]
    for number in sorted(range(len(edges)), key=lambda n: edges[n][1]):
        out[edges[number][0]].append(number)
    marks = [False] * len(edges)
    state = [_NEW] * size
    for root in range(size):
        if state[root] != _NEW:
            continue
        state[root] = _OPEN
        path = [(root, iter(out[root]))]
        while path:
            node, rest = path[-1]
            for number in rest:
                target = edges[number][1]
                if state[target] == _OPEN:
                    marks[number] = True
                elif state[target] == _NEW:
                    state[target] = _OPEN
                    path.append((target, iter(out[target])))
                    break
            else:
                state[node] = _DONE
                path.pop()
    return marks


def loops(size: int, edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The sets of nodes that can reach each other, those with a cycle only; nodes ascending, sets by first node.

    Cost: linear; no recursion. Source: Tarjan 1972, strongly connected components.
    """
    out: list[list[int]] = [[] for _ in range(size)]
    to_self = set()
    for source, target in edges:
        out[source].append(target)
        if source == target:
            to_self.add(source)
    index = [0] * size  # 0: not seen
    low = [0] * size
    on_stack = [False] * size
    stack: list[int] = []
    found: list[list[int]] = []
    counter = 0
    for root in range(size):
        if index[root]:
            continue
        counter += 1
        index[root] = low[root] = counter
        stack.append(root)
        on_stack[root] = True
        path = [(root, iter(out[root]))]
        while path:
            node, rest = path[-1]
            for target in rest:
                if not index[target]:
                    counter += 1
                    index[target] = low[target] = counter
                    stack.append(target)
                    on_stack[target] = True
                    path.append((target, iter(out[target])))
                    break
                if on_stack[target]:
                    low[node] = min(low[node], index[target])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == index[node]:
                    members = _pop_until(stack, on_stack, node)
                    if len(members) > 1 or node in to_self:
                        found.append(sorted(members))
    return sorted(found)


def _pop_until(stack: list[int], on_stack: list[bool], node: int) -> list[int]:
    members: list[int] = []
    while True:
        member = stack.pop()
        on_stack[member] = False
        members.append(member)
        if member == node:
            return members
