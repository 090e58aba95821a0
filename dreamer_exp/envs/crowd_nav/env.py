"""The crowd-navigation environment: one robot, its route, pedestrians and walls, with Robot SF's contract."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav import spaces
from dreamer_exp.envs.crowd_nav.config import CrowdNavRanges, CrowdNavReward
from dreamer_exp.envs.crowd_nav.constants import (
    DT,
    LIDAR,
    LIDAR_RANGE,
    PEDESTRIAN_RADIUS,
    ROBOT_RADIUS,
    SOCNAV_STRUCT,
    WAYPOINT_RADIUS,
)
from dreamer_exp.envs.crowd_nav.kinematics import RobotState, accelerate, clip
from dreamer_exp.envs.crowd_nav.navground_simulator import NavgroundSimulator
from dreamer_exp.envs.crowd_nav.observation import (
    RAY_ANGLES,
    Observation,
    ObservationStack,
    add_ray_noise,
    drive_state,
    normalised,
)
from dreamer_exp.envs.crowd_nav.options import (
    MIXED,
    check_family,
    check_max_steps,
    check_scenario,
    family_probabilities,
)
from dreamer_exp.envs.crowd_nav.outcome import EpisodeRecord, decide_outcome
from dreamer_exp.envs.crowd_nav.ranges import draw_difficulty, ranges_of
from dreamer_exp.envs.crowd_nav.reward import TERMS, Transition, action_change, reward_terms, reward_weights
from dreamer_exp.envs.crowd_nav.route import Route
from dreamer_exp.envs.crowd_nav.scenarios.families import load_family
from dreamer_exp.envs.crowd_nav.scenarios.generate import generate_layout
from dreamer_exp.envs.crowd_nav.scenarios.layout import Float32Array, Layout
from dreamer_exp.envs.crowd_nav.simulator import Collisions, Simulator
from dreamer_exp.envs.crowd_nav.socnav import SocNavObservation
from dreamer_exp.envs.episode import TIMEOUT, EpisodeInfo, Outcome
from dreamer_exp.envs.scene import LidarScan, Scene, SceneState
from dreamer_exp.envs.scene_picture import draw_scene
from dreamer_exp.envs.seeds import draw_seed


class CrowdNavEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """A robot that drives to its goal among pedestrians; an episode depends on its seed and the actions alone.

    Observations and actions: see `spaces`; rewards: `reward.reward_terms`. `terminated` at a collision or success,
    `truncated` at the step limit. The info is empty except at the end of an episode, where it holds every key of
    EpisodeInfo but `faults` and `fault`. Source of contract and constants: Robot SF, 40d0854.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": round(1 / DT)}  # noqa: RUF012  (Gymnasium's)

    def __init__(
        self,
        scenario: str = MIXED,
        max_steps: int = 400,
        *,
        scenario_weights: Mapping[str, float] | None = None,
        lidar_noise: bool = True,
        observation: str = LIDAR,
        grid_width: float = 6.4,
        ranges: CrowdNavRanges | Mapping[str, list[float]] | None = None,
        reward: CrowdNavReward | Mapping[str, float] | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Check the options and build the spaces; `reset` builds a world.

        Args:
            scenario: one family, or `mixed`: drawn at each reset.
            max_steps: steps of 0.1 s after which an episode is truncated.
            scenario_weights: relative frequency of each family under `mixed`; None: equal; unnamed families: 0.
            lidar_noise: whether rays miss or fall short, by the probabilities in `ranges`.
            observation: `lidar` or `socnav_struct`.
            grid_width: of the occupancy grid of `socnav_struct`, in metres.
            ranges: what is drawn for each episode, [low, high] by name; a mapping overrides some of the defaults.
            reward: the weights of the terms; a mapping overrides some of the defaults.
            render_mode: `rgb_array` or None.

        Raises:
            UserError: an option is unknown or out of its range.
        """
        check_scenario(scenario)
        check_max_steps(max_steps)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UserError(f"env.render_mode={render_mode!r}: null or rgb_array")
        self._families = family_probabilities(scenario_weights) if scenario == MIXED else {scenario: 1.0}
        if scenario != MIXED and scenario_weights is not None:
            family_probabilities(scenario_weights)
        self.max_steps = max_steps
        self.render_mode = render_mode
        self.observation_space = spaces.observed(observation, grid_width)
        self.action_space = spaces.action_space()
        self._lidar_noise = lidar_noise
        self._ranges = ranges_of(ranges)
        self._weights = reward_weights(reward)
        self._stack = ObservationStack()
        self._socnav = SocNavObservation(grid_width) if observation == SOCNAV_STRUCT else None
        self._newest_rays: Float32Array | None = None
        self.simulator: Simulator = NavgroundSimulator()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start the episode of this seed.

        Without a seed, one that isn't reserved (envs/seeds.py) is drawn from the generator that the last seed started.

        Args:
            seed: of the episode.
            options: `{"scenario": family}` selects the family.

        Raises:
            UserError: there is no such family.
        """
        super().reset(seed=seed)
        self._seed = draw_seed(self.np_random, 2**31) if seed is None else int(seed)
        self._rng = np.random.default_rng(np.random.SeedSequence([self._seed]))
        self._difficulty = draw_difficulty(self._ranges, self._seed)
        self._selected: str | None = (options or {}).get("scenario")
        self.layout: Layout = self._draw_layout()
        self.simulator.reset(self.layout, self._rng)
        self.route = Route(self.layout.route)
        self._record = EpisodeRecord(TERMS)
        self._last_action = (0.0, 0.0)
        return self._observe(self._stack.fill), {}

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply linear and angular accelerations (2,) for 0.1 s, clipped to +-1 m/s^2 and +-1 rad/s^2.

        Raises:
            ValueError: the action isn't finite.
        """
        push = linear, angular = _accelerations(action)
        before = self.simulator.robot
        left = self.route.remaining(before)
        self.simulator.step(*accelerate(before, linear, angular))
        robot, collisions = self.simulator.robot, self.simulator.collisions()
        progress = left - self.route.remaining(robot)
        self.route.advance(robot)
        outcome = self._outcome(collisions)
        reward = self._account(before, push, progress, collisions.clearance, outcome)
        observation = self._observe(self._stack.push)
        terminated = outcome is not None and outcome != TIMEOUT
        return observation, reward, terminated, outcome == TIMEOUT, self._info(outcome)

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]  # Gymnasium's type is for all render modes
        """Return the scene (480, 480, 3) as uint8 under `rgb_array`, else None."""
        if self.render_mode != "rgb_array":
            return None
        return np.asarray(draw_scene(self.episode_scene(), self.scene_state()))

    def episode_scene(self) -> Scene:
        """Return walls and route of the running episode."""
        solids = tuple(self.layout.solids[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2))
        return Scene(self.layout.walls, self.layout.route, WAYPOINT_RADIUS, ROBOT_RADIUS, PEDESTRIAN_RADIUS, DT, solids)

    def scene_state(self) -> SceneState:
        """Return robot and pedestrians now; navground's pedestrians follow no forces."""
        robot = self.simulator.robot
        positions = np.array(self.simulator.pedestrians[0], np.float64).reshape(-1, 2)
        rays = self._newest_rays
        lidar = None if rays is None else LidarScan(rays * np.float32(LIDAR_RANGE), RAY_ANGLES, LIDAR_RANGE)
        return SceneState(self._record.steps * DT, (robot.x, robot.y), robot.heading, positions, lidar=lidar)

    def robot_position(self) -> tuple[float, float]:
        """Return the robot's x and y in metres."""
        return self.simulator.robot.x, self.simulator.robot.y

    def _draw_layout(self) -> Layout:
        names = list(self._families)
        drawn = names[self._rng.choice(len(names), p=list(self._families.values()))]
        family = drawn if self._selected is None else self._selected
        check_family(family)
        return generate_layout(load_family(family), self._rng, self._difficulty)

    def _observe(self, stacked: Callable[[tuple[float, ...], Float32Array], Observation]) -> Observation:
        if self._socnav is not None:
            return self._socnav.observe(self.layout, self.simulator, self.route)
        return stacked(drive_state(self.simulator.robot, self.route), self._rays())

    def _rays(self) -> Float32Array:
        rays = normalised(self.simulator.scan())
        if self._lidar_noise:
            add_ray_noise(rays, self._rng, self._difficulty.ray_miss, self._difficulty.ray_short)
        self._newest_rays = rays
        return rays

    def _outcome(self, collisions: Collisions) -> Outcome | None:
        return decide_outcome(
            pedestrian=collisions.pedestrian,
            wall=collisions.wall,
            success=self.route.finished,
            timeout=self._record.steps + 1 >= self.max_steps,
        )

    def _account(
        self,
        before: RobotState,
        action: tuple[float, float],
        progress: float,
        clearance: float | None,
        outcome: Outcome | None,
    ) -> float:
        """Add the step to the episode's record and return its reward."""
        change = action_change(self._last_action, action)
        self._last_action = action
        terms = reward_terms(self._weights, Transition(progress, clearance, change, outcome))
        distance = 0.5 * (before.speed + self.simulator.robot.speed) * DT
        self._record.add(distance, clearance, terms)
        return sum(terms.values())

    def _info(self, outcome: Outcome | None) -> dict[str, Any]:
        if outcome is None:
            return {}
        info: EpisodeInfo = {
            "outcome": outcome,
            "scenario": self.layout.scenario,
            "seed": self._seed,
            "route_length": self.layout.route_length,
            **self._record.summary(),
        }
        return dict(info)


def _accelerations(action: NDArray[np.float32]) -> tuple[float, float]:
    linear, angular = float(action[0]), float(action[1])
    if not (math.isfinite(linear) and math.isfinite(angular)):
        raise ValueError(f"an action must be finite numbers, not {action!r}")
    return clip(linear, -1.0, 1.0), clip(angular, -1.0, 1.0)
