"""Our metrics against Robot SF's own, computed by its package from the states of the same episodes."""

import math
from typing import Any

import numpy as np
import pytest

from dreamer_exp.envs.baselines import make_baseline
from dreamer_exp.envs.episode import EpisodeResult, result_of
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.env import RobotSFEnv
from dreamer_exp.envs.scene import Scene, SceneState, scene_of, state_of
from dreamer_exp.evaluation.social import social_metrics

pytestmark = pytest.mark.robot_sf

HORIZON = 300


def drive(seed: int) -> tuple[EpisodeResult, Scene, list[SceneState]]:
    """Drive an episode of Robot SF's default map; return its result, scene, and the state after each step."""
    config = RobotSFConfig(max_steps=HORIZON)
    env = RobotSFEnv(config)
    observation, info = env.reset(seed=seed)
    scene = scene_of(env)
    assert scene is not None
    baseline, states, ended = make_baseline("straight_to_goal", config, env, seed), [], False
    while not ended:
        observation, _, terminated, truncated, info = env.step(baseline.act(observation))
        state = state_of(env)
        assert state is not None
        states.append(state)
        ended = terminated or truncated
    return result_of(info, 0.0, len(states)), scene, states


def as_robot_sf(result: EpisodeResult, scene: Scene, states: list[SceneState]) -> Any:
    """Return the episode as Robot SF's metrics take it."""
    from robot_sf.benchmark.map_runner_policies.map_runner_actions import vel_and_acc
    from robot_sf.benchmark.metrics import EpisodeData

    positions = np.array([state.position for state in states])
    velocities, accelerations = vel_and_acc(positions, scene.step_s)
    return EpisodeData(
        robot_pos=positions,
        robot_vel=velocities,
        robot_acc=accelerations,
        peds_pos=np.array([state.pedestrians for state in states]),
        ped_forces=np.array([state.forces for state in states]),
        goal=scene.route[-1],
        dt=scene.step_s,
        reached_goal_step=len(states) - 1 if result.outcome == "success" else None,
        robot_radius=scene.robot_radius,
        ped_radius=scene.pedestrian_radius,
    )


@pytest.mark.parametrize("seed", [101, 102])
def test_metrics_equal_those_of_robot_sf(seed: int) -> None:
    from robot_sf.benchmark import metrics

    result, scene, states = drive(seed)
    ours, data = social_metrics(states, scene, result, HORIZON), as_robot_sf(result, scene, states)
    pairs = {
        "jerk_mean": (ours["jerk_mean"] or 0.0) * scene.step_s,  # Robot SF's is that of a step
        "curvature_mean": ours["curvature_mean"],
        "stalled_time": ours["stalled_time"],
        "comfort_exposure": ours["comfort_exposure"],
        "force_exceed_events": ours["force_exceed_events"],
        "near_misses": result.near_misses,
        "min_clearance": result.min_clearance,
    }
    assert ours["time_to_goal_norm"] == pytest.approx(metrics.time_to_goal_norm(data, HORIZON))
    touching = scene.robot_radius + scene.pedestrian_radius  # Robot SF's distance is that between the centres
    for ending, spaces in ((0.45, ("intimate",)), (1.2, ("intimate", "personal"))):
        share = sum(ours[f"{space}_space_share"] or 0.0 for space in spaces)
        assert share == pytest.approx(metrics.space_compliance(data, threshold=ending + touching))
    for name, value in pairs.items():
        theirs = getattr(metrics, name)(data)
        assert value is not None, name
        assert math.isclose(value, theirs, rel_tol=1e-6, abs_tol=1e-9), name
