"""crowd_nav in the area of a Robot SF environment: the same walls, start and route."""

import numpy as np

from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.crowd_nav.scenarios.layout import Layout
from dreamer_exp.envs.robot_sf.env import RobotSFEnv


class StandIn(CrowdNavEnv):
    """crowd_nav in the world of a Robot SF environment after its reset, without pedestrians and noise."""

    def __init__(self, real: RobotSFEnv) -> None:
        super().__init__("open", 2000, lidar_noise=False)
        self.real = real._env

    def _draw_layout(self) -> Layout:
        simulator, area = self.real.simulator, self.real.map_def
        (x, y), heading = simulator.robot_poses[0]
        return Layout(
            scenario="open",
            bounds=(0.0, 0.0, float(area.width), float(area.height)),
            walls=np.asarray(simulator.get_obstacle_lines(), dtype=np.float64),
            solids=np.zeros((0, 4)),
            start=(float(x), float(y), float(heading)),
            route=np.asarray(simulator.robot_navs[0].waypoints, dtype=np.float64),
            patrols=(),
        )
