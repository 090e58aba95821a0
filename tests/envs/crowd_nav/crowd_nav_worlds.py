"""Environments with a given layout in place of a drawn one."""

import math
from typing import Any

import numpy as np

from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.crowd_nav.scenarios.floors import box_walls
from dreamer_exp.envs.crowd_nav.scenarios.layout import Layout, Patrol

NO_BOXES = np.zeros((0, 4))


def still(x: float, y: float) -> Patrol:
    """Return a pedestrian that doesn't move."""
    return Patrol(np.array([x, y]), 0.5, np.array([[x, y]]))


def layout(
    start: tuple[float, float, float] = (0.0, 0.0, 0.0),
    route: tuple[tuple[float, float], ...] = ((10.0, 0.0),),
    patrols: tuple[Patrol, ...] = (),
    half: float = 20.0,
) -> Layout:
    """Return a square arena of side 2 * half, centred at the origin."""
    return Layout(
        scenario="open",
        bounds=(-half, -half, half, half),
        walls=np.array(box_walls(-half, -half, half, half)),
        solids=NO_BOXES,
        start=start,
        route=np.array(route),
        patrols=patrols,
    )


class FixedEnv(CrowdNavEnv):
    """The environment with this one layout, without lidar noise."""

    def __init__(self, fixed: Layout, **options: Any) -> None:
        super().__init__("open", **{"lidar_noise": False, **options})
        self.fixed = fixed

    def _draw_layout(self) -> Layout:
        return self.fixed


def drive(env: CrowdNavEnv, linear: float, angular: float = 0.0) -> tuple[Any, ...]:
    """Reset, apply one action until the episode ends, and return the last step."""
    env.reset(seed=0)
    for _ in range(env.max_steps):
        step = env.step(np.array([linear, angular], dtype=np.float32))
        if step[2] or step[3]:
            return step
    raise AssertionError("the episode never ended")


QUARTER = math.pi / 2
