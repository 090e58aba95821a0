"""The Robot SF environment behind the contract of crowd_nav."""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Dict
from numpy.typing import NDArray

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav.observation import add_ray_noise
from dreamer_exp.envs.episode import TIMEOUT
from dreamer_exp.envs.robot_sf.check import checked_spaces
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.outcome import EpisodeRecord, Point, decide_outcome
from dreamer_exp.envs.robot_sf.scenarios import choose, load_scenarios
from dreamer_exp.envs.robot_sf.streams import EpisodeStreams
from dreamer_exp.envs.scene import Scene

Observation = dict[str, NDArray[Any]]

RAYS = "rays"


class RobotSFEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Robot SF with its timeouts truncated, its infos stripped, and episodes that depend on their seed alone.

    Robot SF draws the crowd when an environment is built and keeps it for its life, so each reset builds a new one;
    what it draws comes from the episode's own streams. The lidar's noise is crowd_nav's, drawn here from the episode's
    generator, because Robot SF's ignores `reset(seed)`.

    Observations and actions are Robot SF's own: by default those of crowd_nav (`crowd_nav.spaces`). The info is empty
    but at an episode's end, where it holds `outcome` (success, pedestrian_collision, wall_collision, robot_collision
    or timeout), `scenario` and `seed` (given to `reset`, these two bring this very episode back), `path_length` and
    `route_length` in metres, `time_s`, `min_clearance`, `near_misses` and `reward_terms`, as crowd_nav's does.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  (Gymnasium's)

    def __init__(self, config: RobotSFConfig) -> None:
        """Check the configuration against the package, and build every scenario once (per process).

        Raises:
            UserError: Robot SF cannot be imported, or refuses a value; a scenario whose spaces are not the first's.
        """
        self._config = config
        self._scenarios = load_scenarios(config)
        self.observation_space, self.action_space = checked_spaces(config, self._scenarios)
        self._has_rays = isinstance(self.observation_space, Dict) and RAYS in self.observation_space.spaces
        self._at: int | None = None

    @property
    def scenarios(self) -> list[str | None]:
        """The names of the scenarios, in the order that numbers count them; [None] without a matrix."""
        return [scenario.name for scenario in self._scenarios]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start the episode of this seed or, without one, of the next seed in the stream that the last one began.

        Without `options={"scenario": name or number}` (numbers count round and round), the scenario is drawn by
        weight from the seed, or is the next one under strategy=cycle: a seed s begins the cycle at s. Under
        switch_per_reset=false, resets without a seed keep the scenario.

        Raises:
            UserError: there is no scenario of that name.
        """
        super().reset(seed=seed)
        self._seed, self._at = self._next_episode(seed, (options or {}).get("scenario"))
        scenario = self._scenarios[self._at]
        with self._streams.lent():
            self._env = scenario.make(self._config, self._seed)
            observation, _ = self._env.reset(seed=self._seed)
        self._scenario_name = scenario.name or _map_name(self._env)
        self._record = EpisodeRecord(self.robot_position(), list(self._env.simulator.robot_navs[0].waypoints))
        self._rays: NDArray[np.float32] | None = None
        return self._seen(observation), {}

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply linear and angular accelerations (2,) for one step of `env.dt` seconds.

        Raises:
            ValueError: the action holds a number that isn't finite.
        """
        pushed = np.asarray(action, np.float32)
        if not all(math.isfinite(number) for number in pushed):
            raise ValueError(f"an action must be finite numbers, not {action!r}")
        with self._streams.lent():
            observation, reward, ended, _, info = self._env.step(pushed)
        meta = info["meta"]
        self._record.add(self.robot_position(), meta)
        outcome = decide_outcome(meta) if ended else None
        truncated = outcome == TIMEOUT
        terminated = bool(ended) and not truncated
        return self._seen(observation), float(reward), terminated, truncated, self._info(ended, outcome)

    def episode_scene(self) -> Scene:
        """Return walls and route of the running episode."""
        lines = np.array(self._env.map_def.obstacles_pysf, np.float64).reshape(-1, 4)  # x1, x2, y1, y2
        waypoints = np.array(self._env.simulator.robot_navs[0].waypoints, np.float64).reshape(-1, 2)
        return Scene(lines[:, [0, 2, 1, 3]], waypoints)

    def robot_position(self) -> Point:
        """Return the robot's x and y in metres."""
        (x, y), _ = self._env.simulator.robot_poses[0]
        return float(x), float(y)

    def _next_episode(self, seed: int | None, asked: str | int | None) -> tuple[int, int]:
        """The seed and the place of the scenario of the episode to come; makes its streams."""
        count = len(self._scenarios)
        matrix = self._config.scenario_matrix
        drawn = int(self.np_random.integers(2**31 - count)) if seed is None else int(seed)
        last = None if seed is not None else self._at
        if matrix.strategy == "cycle" and last is not None and asked is None:
            step = 1 if matrix.switch_per_reset else 0
            drawn += (last + step - drawn) % count  # so that this very seed, given to reset, brings this scenario
        self._streams = EpisodeStreams(drawn)
        if asked is not None:
            return drawn, self._place(asked)
        if matrix.strategy == "cycle":
            return drawn, drawn % count
        if last is not None and not matrix.switch_per_reset:
            return drawn, last
        return drawn, choose(self._scenarios, self._streams.choice)

    def _place(self, asked: str | int) -> int:
        if isinstance(asked, int):
            return asked % len(self._scenarios)
        if asked not in self.scenarios:
            raise UserError(f"reset: no scenario {asked!r}; there are: {', '.join(map(str, self.scenarios))}")
        return self.scenarios.index(asked)

    def _seen(self, observation: Observation) -> Observation:
        """Robot SF's observation with the lidar's noise on its newest row; a reset's row fills the stack."""
        if not (self._has_rays and self._config.lidar_noise):
            return observation
        newest = observation[RAYS][-1:].copy()
        add_ray_noise(newest[0], self._streams.noise)
        rows = len(observation[RAYS])
        older = np.repeat(newest, rows - 1, axis=0) if self._rays is None else self._rays[1:]
        self._rays = np.concatenate([older, newest])
        return {**observation, RAYS: self._rays.copy()}

    def _info(self, ended: bool, outcome: str | None) -> dict[str, Any]:
        if not ended:
            return {}
        told = {"outcome": outcome, "scenario": self._scenario_name, "seed": self._seed}
        return {**told, **self._record.summary(self._config.dt)}


def _map_name(env: Any) -> str:
    """The name of the map that a Robot SF environment drives on."""
    pool = env.config.map_pool.map_defs
    return next((str(name) for name, definition in pool.items() if definition is env.map_def), "map")
