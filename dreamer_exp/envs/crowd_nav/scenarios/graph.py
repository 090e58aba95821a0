"""Waypoint graphs: which nodes can be joined, shortest paths, and closed walks."""

import heapq

import numpy as np

from dreamer_exp.envs.crowd_nav.scenarios.geometry import segments_to_segments
from dreamer_exp.envs.crowd_nav.scenarios.layout import FloatArray

WAYPOINT_COST = 1.0
"""Cost of a waypoint in metres: of paths with similar lengths, the one with fewer turns is the shortest."""


class WaypointGraph:
    """Nodes (N, 2) in metres, joined where the straight line keeps a clearance from every wall."""

    def __init__(self, nodes: FloatArray, walls: FloatArray, clearance: float) -> None:
        """Join the nodes; `walls` is (W, 4)."""
        self.nodes = nodes
        first, second = np.triu_indices(len(nodes), k=1)
        free = clear_of_walls(np.hstack([nodes[first], nodes[second]]), walls, clearance)
        self.neighbours: list[list[int]] = [[] for _ in nodes]
        for a, b in zip(first[free].tolist(), second[free].tolist(), strict=True):
            self.neighbours[a].append(b)
            self.neighbours[b].append(a)

    def shortest_path(self, start: int, goal: int) -> list[int] | None:
        """Return the nodes from start to goal, both included, or None if they aren't connected."""
        best = {start: 0.0}
        before: dict[int, int] = {}
        queue = [(0.0, start)]
        while queue:
            cost, node = heapq.heappop(queue)
            if node == goal:
                return _trace(before, start, goal)
            if cost > best[node]:
                continue
            for neighbour in self.neighbours[node]:
                step = float(np.linalg.norm(self.nodes[node] - self.nodes[neighbour]))
                if cost + step + WAYPOINT_COST < best.get(neighbour, np.inf):
                    best[neighbour] = cost + step + WAYPOINT_COST
                    before[neighbour] = node
                    heapq.heappush(queue, (best[neighbour], neighbour))
        return None

    def closed_walk(self, steps: int, rng: np.random.Generator) -> list[int]:
        """Return a random walk of some steps, then the same nodes in reverse order without the first.

        The walk reverses only at dead ends. It is empty if no node has a neighbour.
        """
        joined = [node for node, neighbours in enumerate(self.neighbours) if neighbours]
        if not joined:
            return []
        walk = [joined[rng.integers(len(joined))]]
        for _ in range(steps):
            onward = [node for node in self.neighbours[walk[-1]] if node not in walk[-2:-1]]
            choices = onward or self.neighbours[walk[-1]]
            walk.append(choices[rng.integers(len(choices))])
        return walk + walk[-2:0:-1]


def clear_of_walls(
    segments: FloatArray, walls: FloatArray, clearance: float
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which segments (S, 4) keep the clearance, in metres, from all walls (W, 4)."""
    if not len(segments):
        return np.zeros(0, dtype=np.bool_)
    clear: np.ndarray[tuple[int], np.dtype[np.bool_]] = segments_to_segments(segments, walls).min(axis=1) >= clearance
    return clear


def _trace(before: dict[int, int], start: int, goal: int) -> list[int]:
    path = [goal]
    while path[-1] != start:
        path.append(before[path[-1]])
    return path[::-1]
