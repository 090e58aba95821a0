"""The Robot SF environment with crowd_nav's contract."""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Dict
from numpy.typing import NDArray

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav.observation import add_ray_noise
from dreamer_exp.envs.episode import TIMEOUT, EpisodeInfo, Outcome
from dreamer_exp.envs.robot_sf.check import checked_spaces
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.outcome import EpisodeRecord, Point, decide_outcome
from dreamer_exp.envs.robot_sf.reward import ROUTE
from dreamer_exp.envs.robot_sf.route_progress import RouteReward
from dreamer_exp.envs.robot_sf.scenarios import choose, load_scenarios
from dreamer_exp.envs.robot_sf.streams import EpisodeStreams
from dreamer_exp.envs.scene import LidarScan, Scene, SceneState
from dreamer_exp.envs.scene_picture import draw_scene
from dreamer_exp.envs.seeds import draw_seed, is_reserved

Observation = dict[str, NDArray[Any]]

RAYS = "rays"


class RobotSFEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Robot SF with timeouts as truncations, reduced infos, and episodes that depend on their seed alone.

    Robot SF draws the crowd when an environment is built and keeps it, so each `reset` builds a new environment, with
    the random streams of the episode. The lidar noise is crowd_nav's, drawn from the episode's generator, because
    Robot SF's noise ignores `reset(seed)`.

    Observations and actions are Robot SF's: by default those of crowd_nav (`crowd_nav.spaces`). The info is empty
    except at the end of an episode, where it holds every key of EpisodeInfo but `faults` and `fault`. `scenario` and
    `seed`, given to `reset`, repeat the episode.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012  (Gymnasium's)

    def __init__(self, config: RobotSFConfig, render_mode: str | None = None) -> None:
        """Check the configuration with the package; every scenario is built once in a process.

        Args:
            config: the options.
            render_mode: `rgb_array` or None.

        Raises:
            UserError: Robot SF cannot be imported or refuses a value, or the spaces of a scenario differ.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UserError(f"env.render_mode={render_mode!r}: null or rgb_array")
        self._config, self.render_mode = config, render_mode
        self.metadata = {**self.metadata, "render_fps": 1 / config.dt}
        self._scenarios = load_scenarios(config)
        self.observation_space, self.action_space = checked_spaces(config, self._scenarios)
        self._has_rays = isinstance(self.observation_space, Dict) and RAYS in self.observation_space.spaces
        self._scenario_number: int | None = None
        self._newest_rays: NDArray[np.float32] | None = None

    @property
    def scenarios(self) -> list[str | None]:
        """The names of the scenarios by number; [None] without a matrix."""
        return [scenario.name for scenario in self._scenarios]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start the episode of this seed.

        Without a seed, one that isn't reserved (envs/seeds.py) is drawn from the generator that the last seed started.

        Args:
            seed: of the episode.
            options: `{"scenario": name or number}` selects the scenario; a number is taken modulo their count. Without
                it, the scenario is drawn by weight from the seed, or is the next one under strategy=cycle, where seed s
                selects scenario s modulo their count. Under switch_per_reset=false, resets without a seed keep it.

        Raises:
            UserError: there is no scenario of that name.
        """
        super().reset(seed=seed)
        self._seed, self._scenario_number = self._next_episode(seed, (options or {}).get("scenario"))
        scenario = self._scenarios[self._scenario_number]
        with self._streams.installed():
            self._env = scenario.make(self._config, self._seed)
            observation, _ = self._env.reset(seed=self._seed)
        if self._config.progress == ROUTE:
            self._env.reward_func = RouteReward(self._env.reward_func, self._env.simulator.robot_navs[0])
        self._scenario_name = scenario.name or _map_name(self._env)
        self._record = EpisodeRecord(self.robot_position(), list(self._env.simulator.robot_navs[0].waypoints))
        self._rays: NDArray[np.float32] | None = None
        return self._with_noise(observation), {}

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply linear and angular accelerations (2,) for one step of `env.dt` seconds.

        Raises:
            ValueError: the action isn't finite.
        """
        action_array = np.asarray(action, np.float32)
        if not all(math.isfinite(number) for number in action_array):
            raise ValueError(f"an action must be finite numbers, not {action!r}")
        with self._streams.installed():
            observation, reward, ended, _, details = self._env.step(action_array)
        meta = details["meta"]
        self._record.add(self.robot_position(), meta)
        outcome = decide_outcome(meta) if ended else None
        truncated = outcome == TIMEOUT
        terminated = bool(ended) and not truncated
        info = self._info(outcome) if ended else {}
        return self._with_noise(observation), float(reward), terminated, truncated, info

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]  # Gymnasium's type is for all render modes
        """Return the scene (480, 480, 3) as uint8 under `rgb_array`, else None."""
        if self.render_mode != "rgb_array":
            return None
        return np.asarray(draw_scene(self.episode_scene(), self.scene_state()))

    @property
    def simulation(self) -> Any:
        """Robot SF's environment of the running episode."""
        return self._env

    def episode_scene(self) -> Scene:
        """Return walls and route of the running episode."""
        lines = np.array(self._env.map_def.obstacles_pysf, np.float64).reshape(-1, 4)  # x1, x2, y1, y2
        simulator = self._env.simulator
        navigator = simulator.robot_navs[0]
        waypoints = np.array(navigator.waypoints, np.float64).reshape(-1, 2)
        return Scene(
            lines[:, [0, 2, 1, 3]],
            waypoints,
            goal_radius=float(navigator.proximity_threshold),
            robot_radius=float(simulator.robots[0].config.radius),
            pedestrian_radius=float(simulator.config.ped_radius),
            step_s=self._config.dt,
            solids=_solids(self._env.map_def),
        )

    def scene_state(self) -> SceneState:
        """Return robot and pedestrians now; the forces are those of the last step."""
        simulator = self._env.simulator
        (x, y), heading = simulator.robot_poses[0]
        positions = np.array(simulator.ped_pos, np.float64).reshape(-1, 2)
        forces = np.array(simulator.last_ped_forces, np.float64).reshape(-1, 2)
        if len(forces) != len(positions):
            forces = np.zeros_like(positions)
        time_s = self._record.steps * self._config.dt
        return SceneState(time_s, (float(x), float(y)), float(heading), positions, forces, self._scan())

    def _scan(self) -> LidarScan | None:
        """Return the newest rays as the policy observes them."""
        if self._newest_rays is None:
            return None
        settings = self._env.config.lidar_config
        ranges = self._newest_rays * np.float32(settings.max_scan_dist)
        return LidarScan(ranges, settings.ray_offsets, float(settings.max_scan_dist))

    def robot_position(self) -> Point:
        """Return the robot's x and y in metres."""
        (x, y), _ = self._env.simulator.robot_poses[0]
        return float(x), float(y)

    def _next_episode(self, seed: int | None, selected: str | int | None) -> tuple[int, int]:
        """Return seed and scenario number of the next episode; create its random streams."""
        count = len(self._scenarios)
        matrix = self._config.scenario_matrix
        drawn = draw_seed(self.np_random, 2**31 - count) if seed is None else int(seed)
        last = None if seed is not None else self._scenario_number
        if matrix.strategy == "cycle" and last is not None and selected is None:
            step = 1 if matrix.switch_per_reset else 0
            drawn += (last + step - drawn) % count  # so that this seed, given to reset, selects this scenario
            while is_reserved(drawn):
                drawn += count
        self._streams = EpisodeStreams(drawn)
        if selected is not None:
            return drawn, self._number(selected)
        if matrix.strategy == "cycle":
            return drawn, drawn % count
        if last is not None and not matrix.switch_per_reset:
            return drawn, last
        return drawn, choose(self._scenarios, self._streams.choice)

    def _number(self, selected: str | int) -> int:
        if isinstance(selected, int):
            return selected % len(self._scenarios)
        if selected not in self.scenarios:
            raise UserError(f"reset: no scenario {selected!r}; there are: {', '.join(map(str, self.scenarios))}")
        return self.scenarios.index(selected)

    def _with_noise(self, observation: Observation) -> Observation:
        """Return the observation with noise on its newest rays; after a reset, they fill the stack."""
        if not self._has_rays:
            return observation
        if not self._config.lidar_noise:
            self._newest_rays = observation[RAYS][-1].copy()
            return observation
        newest = observation[RAYS][-1:].copy()
        add_ray_noise(newest[0], self._streams.noise)
        rows = len(observation[RAYS])
        older = np.repeat(newest, rows - 1, axis=0) if self._rays is None else self._rays[1:]
        self._rays = np.concatenate([older, newest])
        self._newest_rays = newest[0]
        return {**observation, RAYS: self._rays.copy()}

    def _info(self, outcome: Outcome | None) -> dict[str, Any]:
        info: EpisodeInfo = {"scenario": self._scenario_name, "seed": self._seed}
        if outcome is not None:
            info["outcome"] = outcome
        return {**info, **self._record.summary(self._config.dt)}


def _solids(definition: Any) -> tuple[NDArray[np.float64], ...]:
    """Return the outlines of a map's obstacles without holes; those with holes are rooms more often than solid."""
    parts = [
        part
        for obstacle in definition.obstacles
        if (geometry := obstacle.geometry) is not None
        for part in getattr(geometry, "geoms", [geometry])
    ]
    return tuple(np.array(part.exterior.coords, np.float64)[:, :2] for part in parts if not part.interiors)


def _map_name(env: Any) -> str:
    """Return the name of the map of a Robot SF environment."""
    pool = env.config.map_pool.map_defs
    return next((str(name) for name, definition in pool.items() if definition is env.map_def), "map")
