"""`env.progress=route`: Robot SF's reward with the distance to the goal along the route."""

import math
from collections.abc import Callable, MutableMapping
from itertools import pairwise
from typing import Any

Reward = Callable[[MutableMapping[str, Any]], float]


class RouteReward:
    """A reward of Robot SF that reads distances along the route in place of straight ones.

    Robot SF pays for straight-line distance to the goal, so that a route around an obstacle costs what it leads away
    from the goal. Here the distance is that to the current waypoint, and from there from waypoint to waypoint. Both
    distances of a step are measured over the waypoint that was current before it: reaching a waypoint early, within its
    radius, pays nothing by itself.
    """

    def __init__(self, reward: Reward, navigator: Any) -> None:
        """Start an episode.

        Args:
            reward: Robot SF's reward of a step's `meta`.
            navigator: the robot's RouteNavigator, which has `pos`, `waypoints` and `waypoint_id`.
        """
        self._reward, self._navigator = reward, navigator
        self._measure()

    def __call__(self, meta: MutableMapping[str, Any]) -> float:
        """Return the reward of the step; `meta` keeps the distances along the route."""
        if self._navigator.waypoints:
            meta["prev_distance_to_goal"] = self._distance
            meta["distance_to_goal"] = self._distance_from(self._waypoint)
        self._measure()
        return self._reward(meta)

    def _measure(self) -> None:
        self._waypoint: int = self._navigator.waypoint_id
        self._distance = self._distance_from(self._waypoint)

    def _distance_from(self, waypoint: int) -> float:
        """Return the metres from the robot over this waypoint and the later ones."""
        return sum(math.dist(a, b) for a, b in pairwise([self._navigator.pos, *self._navigator.waypoints[waypoint:]]))
