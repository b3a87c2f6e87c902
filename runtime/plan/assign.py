"""Choosing one option for each node so that nodes' and edges' costs add up to the least.

This is the partitioned Boolean quadratic problem, solved by reduction: a node
with at most two neighbours is folded into them exactly; where every node has
more, one is decided by its local costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dispatch.operator import Array

__all__ = ["assign"]


def assign(costs: Sequence[Array], edges: Mapping[tuple[int, int], Array]) -> list[int]:
    """Return the index of the option chosen for each node.

    Parameters
    ----------
    costs
        For each node, the cost of each of its options.
    edges
        (i, j) → the cost for each option of i and of j. Infinite where two
        options don't go together.
    """
    return _Reduction(costs, edges).solve()


class _Reduction:
    """The problem while it is reduced, and the order in which to decide afterwards."""

    def __init__(self, costs: Sequence[Array], edges: Mapping[tuple[int, int], Array]) -> None:
        self.costs = [np.array(c, np.float64) for c in costs]
        self.edges: list[dict[int, Array]] = [{} for _ in costs]
        for (i, j), cost in edges.items():
            if i != j:
                self._add(i, j, np.asarray(cost, np.float64))

    def solve(self) -> list[int]:
        removed: list[tuple[int, dict[int, Array], Array]] = []
        remaining = set(range(len(self.costs)))
        low = [i for i in sorted(remaining, reverse=True) if len(self.edges[i]) <= 2]
        while remaining:
            while low:
                i = low.pop()
                if i not in remaining or len(self.edges[i]) > 2:
                    continue
                neighbours = dict(self.edges[i])
                removed.append((i, neighbours, self.costs[i]))
                self._fold(i, neighbours)
                remaining.discard(i)
                low += [j for j in neighbours if len(self.edges[j]) <= 2]
            if remaining:
                i = max(remaining, key=lambda k: (len(self.edges[k]), -k))
                self._decide(i)
                low.append(i)
                low += [j for j in remaining if len(self.edges[j]) <= 2]
        chosen = [0] * len(self.costs)
        for i, neighbours, cost in reversed(removed):
            total = cost.copy()
            for j, edge in neighbours.items():
                total += edge[:, chosen[j]]
            chosen[i] = int(np.argmin(total))
        return chosen

    def _add(self, i: int, j: int, cost: Array) -> None:
        known = self.edges[i].get(j)
        total = cost if known is None else known + cost
        self.edges[i][j], self.edges[j][i] = total, total.T

    def _fold(self, i: int, neighbours: Mapping[int, Array]) -> None:
        """Remove node `i`; its neighbours take over what it costs at its best."""
        for j in neighbours:
            del self.edges[j][i]
        self.edges[i] = {}
        if len(neighbours) == 1:
            ((j, edge),) = neighbours.items()
            self.costs[j] = self.costs[j] + (self.costs[i][:, None] + edge).min(axis=0)
        elif len(neighbours) == 2:
            (j, to_j), (k, to_k) = neighbours.items()
            total = self.costs[i][:, None, None] + to_j[:, :, None] + to_k[:, None, :]
            self._add(j, k, total.min(axis=0))

    def _decide(self, i: int) -> None:
        """Fix the option of node `i` that is best for it and its neighbours' best answers."""
        total = self.costs[i].copy()
        for j, edge in self.edges[i].items():
            total += (edge + self.costs[j][None, :]).min(axis=1)
        best = int(np.argmin(total))
        for j, edge in list(self.edges[i].items()):
            self.costs[j] = self.costs[j] + edge[best]
            del self.edges[j][i]
        self.edges[i] = {}
        only = np.full_like(self.costs[i], np.inf)
        only[best] = 0.0
        self.costs[i] = only
