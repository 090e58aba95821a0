"""Helpers for the Robot SF tests: environments, episodes, and Robot SF's own results of their last steps.

As a script: drive complete scenarios and compare the adapter's outcomes with Robot SF's flags:

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
EMPTY = "empty_map_8_directions_east"  # 20 x 20 m, a frame of walls, without pedestrians
FLAGS = {
    "pedestrian_collision": "is_pedestrian_collision",
    "wall_collision": "is_obstacle_collision",
    "robot_collision": "is_robot_collision",
    "success": "is_route_complete",
    "timeout": "is_timesteps_exceeded",
}


def matrix(path: str, *include: str, **keys: Any) -> ScenarioMatrixConfig:
    """Return a matrix of these scenarios, or of all in the file."""
    return ScenarioMatrixConfig(path=path, include=list(include), **keys)


def empty_area(**keys: Any) -> RobotSFEnv:
    """Return Robot SF's empty map, without noise."""
    return RobotSFEnv(RobotSFConfig(**{"lidar_noise": False, "scenario_matrix": matrix(SANITY, EMPTY), **keys}))


@dataclass
class Episode:
    """One episode: the return values of every step, and Robot SF's own last `terminated` and `info`."""

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
        """Return how the adapter's outcome differs from Robot SF's flags, or None."""
        outcome, (terminated, truncated) = self.infos[-1]["outcome"], self.ends[-1]
        collided = self.own_info["collision"]
        wanted = (
            "collision" if collided else "success" if self.own_info["success"] else
            "timeout" if self.meta["is_timesteps_exceeded"] else "none"
        )  # fmt: skip
        if not outcome.endswith(wanted):
            return f"{outcome}, but Robot SF reports {wanted}"
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
) -> Episode:
    """Run one episode of at most `most` steps."""
    observation, info = env.reset(seed=seed, options=None if scenario is None else {"scenario": scenario})
    returned: list[Any] = []
    inner, step = env._env, env._env.step
    inner.step = lambda action: returned.append(step(action)) or returned[-1]
    episode = Episode([observation], [], [], [info], False, {})
    for _ in range(most):
        observation, reward, terminated, truncated, info = env.step(act(observation))
        episode.observations.append(observation)
        episode.rewards.append(reward)
        episode.ends.append((terminated, truncated))
        episode.infos.append(info)
        if terminated or truncated:
            break
    episode.own_terminated, episode.own_info = returned[-1][2], returned[-1][4]
    return episode


def random_actions(seed: int) -> Callable[[Any], NDArray[np.float32]]:
    """Return uniform accelerations for every observation."""
    rng = np.random.default_rng(seed)
    return lambda _: rng.uniform(-1, 1, 2).astype(np.float32)


def toward_the_goal(env: RobotSFEnv) -> Callable[[Any], NDArray[np.float32]]:
    """Drive straight to the waypoint, ignoring walls and pedestrians."""
    return StraightToGoal(env, 0).act


def same(first: Episode, second: Episode) -> bool:
    """Return whether two episodes are equal bit for bit."""
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
            episode = drive(env, seed, act, scenario=name)
            outcomes[episode.infos[-1]["outcome"]] += 1
            lengths.append(len(episode.rewards))
            if fault := episode.disagreement():
                wrong += 1
                print(f"{name}, seed {seed}: {fault}")
        print(f"{name}: {dict(outcomes)}, {np.mean(lengths):.0f} steps on average", flush=True)
    print(f"{wrong} disagreements")


if __name__ == "__main__":
    main()
