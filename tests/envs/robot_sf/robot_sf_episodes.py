"""Helpers for the Robot SF tests: environments, whole episodes, and what Robot SF itself said of their last steps.

As a script it drives whole scenarios and holds the adapter's outcomes against Robot SF's own flags:

    PYTHONPATH=<checkout>:<checkout>/fast-pysf python tests/envs/robot_sf/robot_sf_episodes.py --episodes 50
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.envs.crowd_nav.baselines import StraightToGoal
from dreamer_exp.envs.robot_sf.config import RobotSFConfig, ScenarioMatrixConfig
from dreamer_exp.envs.robot_sf.env import RobotSFEnv

CLASSIC = "configs/scenarios/classic_interactions.yaml"
SANITY = "configs/scenarios/sanity_v1.yaml"
SCENARIOS = (
    "classic_doorway_low", "classic_head_on_corridor_medium", "classic_t_intersection_low",
    "classic_group_crossing_high", "classic_merging_medium", "classic_urban_crossing_medium",
)  # fmt: skip
EMPTY = "empty_map_8_directions_east"  # 20 x 20 m, a frame of walls, nobody
FLAGS = {
    "pedestrian_collision": "is_pedestrian_collision",
    "wall_collision": "is_obstacle_collision",
    "robot_collision": "is_robot_collision",
    "success": "is_route_complete",
    "timeout": "is_timesteps_exceeded",
}


def matrix(path: str, *include: str, **keys: Any) -> ScenarioMatrixConfig:
    """A matrix of these scenarios, or of all of the file's."""
    return ScenarioMatrixConfig(path=path, include=list(include), **keys)


def empty_area(**keys: Any) -> RobotSFEnv:
    """Robot SF's empty map, without noise."""
    return RobotSFEnv(RobotSFConfig(**{"lidar_noise": False, "scenario_matrix": matrix(SANITY, EMPTY), **keys}))


@dataclass
class Driven:
    """One episode: every step's return values, and Robot SF's own last `terminated` and `info`."""

    observations: list[dict[str, NDArray[Any]]]
    rewards: list[float]
    ends: list[tuple[bool, bool]]
    infos: list[dict[str, Any]]
    own_terminated: bool
    own_info: dict[str, Any]

    @property
    def meta(self) -> dict[str, Any]:
        """Robot SF's `meta` of the last step."""
        meta: dict[str, Any] = self.own_info["meta"]
        return meta

    def disagreement(self) -> str | None:
        """In which way the adapter's outcome is not what Robot SF's own flags say, or None."""
        outcome, (terminated, truncated) = self.infos[-1]["outcome"], self.ends[-1]
        collided = self.own_info["collision"]
        wanted = (
            "collision" if collided else "success" if self.own_info["success"] else
            "timeout" if self.meta["is_timesteps_exceeded"] else "none"
        )  # fmt: skip
        if not outcome.endswith(wanted):
            return f"{outcome}, but Robot SF says {wanted}"
        if not self.meta[FLAGS[outcome]]:
            return f"{outcome}, but {FLAGS[outcome]} is not set"
        if (terminated, truncated) != (outcome != "timeout", outcome == "timeout") or not self.own_terminated:
            return f"{outcome}, but terminated={terminated}, truncated={truncated}"
        return None


def drive(
    env: RobotSFEnv,
    seed: int | None,
    act: Callable[[dict[str, NDArray[Any]]], NDArray[np.float32]],
    *,
    most: int = 10_000,
    scenario: str | int | None = None,
) -> Driven:
    """One episode, at most so many steps of it."""
    observation, info = env.reset(seed=seed, options=None if scenario is None else {"scenario": scenario})
    told: list[Any] = []
    inner, step = env._env, env._env.step
    inner.step = lambda action: told.append(step(action)) or told[-1]  # what Robot SF itself returns
    driven = Driven([observation], [], [], [info], False, {})
    for _ in range(most):
        observation, reward, terminated, truncated, info = env.step(act(observation))
        driven.observations.append(observation)
        driven.rewards.append(reward)
        driven.ends.append((terminated, truncated))
        driven.infos.append(info)
        if terminated or truncated:
            break
    driven.own_terminated, driven.own_info = told[-1][2], told[-1][4]
    return driven


def random_actions(seed: int) -> Callable[[Any], NDArray[np.float32]]:
    """Uniform accelerations, whatever is seen."""
    rng = np.random.default_rng(seed)
    return lambda _: rng.uniform(-1, 1, 2).astype(np.float32)


def toward_the_goal(env: RobotSFEnv) -> Callable[[Any], NDArray[np.float32]]:
    """Drive straight to the waypoint, ignoring walls and pedestrians."""
    return StraightToGoal(env, 0).act


def same(first: Driven, second: Driven) -> bool:
    """Whether all observations, rewards and ends of two episodes are equal bit for bit."""
    return (
        first.rewards == second.rewards
        and first.ends == second.ends
        and first.infos == second.infos
        and all(
            np.array_equal(a[key], b[key])
            for a, b in zip(first.observations, second.observations, strict=True)
            for key in a
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=50, help="random episodes of each scenario")
    parser.add_argument("--goal-episodes", type=int, default=10, help="and episodes straight to the goal")
    parser.add_argument("--scenarios", nargs="*", default=SCENARIOS)
    arguments = parser.parse_args()
    env = RobotSFEnv(RobotSFConfig(scenario_matrix=matrix(CLASSIC, *arguments.scenarios)))
    wrong = 0
    for name in arguments.scenarios:
        outcomes: Counter[str] = Counter()
        lengths = []
        for seed in range(arguments.episodes + arguments.goal_episodes):
            act = random_actions(seed) if seed < arguments.episodes else toward_the_goal(env)
            driven = drive(env, seed, act, scenario=name)
            outcomes[driven.infos[-1]["outcome"]] += 1
            lengths.append(len(driven.rewards))
            if fault := driven.disagreement():
                wrong += 1
                print(f"{name}, seed {seed}: {fault}")
        print(f"{name}: {dict(outcomes)}, {np.mean(lengths):.0f} steps on average", flush=True)
    print(f"{wrong} disagreements")


if __name__ == "__main__":
    main()
