"""Social and motion metrics of one episode, under the field's names and in SI units (docs/metrics.md)."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.envs.episode import SUCCESS, EpisodeResult
from dreamer_exp.envs.scene import Scene, SceneState

Floats = NDArray[np.float64]

SPACES = {"intimate": (0.0, 0.45), "personal": (0.45, 1.2), "social": (1.2, 3.6)}
"""Metres between the surfaces of robot and nearest pedestrian, the lower bound included (Hall 1966; HuNavSim)."""
STANDING_SPEED = 0.01
"""m/s below which the robot isn't moving, if it doesn't turn either (HuNavSim)."""
STANDING_YAW_RATE = 0.02
"""rad/s."""
STALLED_SPEED = 0.05
"""m/s below which the robot is stalled (Robot SF)."""
COMFORT_FORCE = 2.0
"""Magnitude of the social force above which a pedestrian is uncomfortable (Robot SF)."""
LEAST_SPEED = 1e-9
"""m/s below which a path has no curvature."""

NAMES = (
    "time_to_goal_norm",
    "path_efficiency",
    "jerk_mean",
    "curvature_mean",
    "time_not_moving",
    "stalled_time",
    *(f"{space}_space_share" for space in SPACES),
    "force_exceed_events",
    "comfort_exposure",
)
"""The metrics, in the order of the rows."""


class Motion(NamedTuple):
    """The states after each step of an episode, as arrays."""

    times: Floats
    """(T,) seconds."""
    positions: Floats
    """(T, 2) metres."""
    headings: Floats
    """(T,) radians."""
    clearances: Floats
    """(T,) metres between the surfaces of robot and nearest pedestrian; infinite without pedestrians."""


def social_metrics(
    states: Sequence[SceneState], scene: Scene, result: EpisodeResult, max_steps: int
) -> dict[str, float | None]:
    """Return the metrics of NAMES for a finished episode; None for one that the episode doesn't have, or isn't finite.

    Args:
        states: after each step.
        scene: of the episode.
        result: of the episode.
        max_steps: the evaluation's step limit (env.max_steps).
    """
    with np.errstate(all="ignore"):  # times that do not increase, by the state of an environment that isn't ours
        motion = _motion(states, scene)
        found: dict[str, float | None] = {
            "time_to_goal_norm": _time_to_goal_norm(scene, result, max_steps),
            "path_efficiency": _path_efficiency(result),
            "jerk_mean": _jerk(motion),
            "curvature_mean": _curvature(motion),
            **_standing(motion),
            **_shares_of_spaces(motion),
            **_force_exposure(states),
        }
    finite = {name: value for name, value in found.items() if value is not None and math.isfinite(value)}
    return {name: finite.get(name) for name in NAMES}


def _motion(states: Sequence[SceneState], scene: Scene) -> Motion:
    touching = scene.robot_radius + scene.pedestrian_radius
    clearances = [
        np.linalg.norm(state.pedestrians - np.array(state.position), axis=1).min(initial=np.inf) - touching
        for state in states
    ]
    return Motion(
        np.array([state.time_s for state in states]),
        np.array([state.position for state in states], np.float64).reshape(-1, 2),
        np.array([state.heading for state in states]),
        np.array(clearances),
    )


def _time_to_goal_norm(scene: Scene, result: EpisodeResult, max_steps: int) -> float | None:
    """Return the step that reached the goal, counted from 0, over the step limit; 1 without success."""
    if result.outcome != SUCCESS:
        return None if result.outcome is None else 1.0
    if result.time_s is None or scene.step_s <= 0:
        return None
    return (round(result.time_s / scene.step_s) - 1) / max_steps


def _path_efficiency(result: EpisodeResult) -> float | None:
    """Return the length of the shortest path over that of the driven one, at most 1, in failures too."""
    driven, shortest = result.path_length, result.shortest_path_length
    if driven is None or shortest is None:
        return None
    return 1.0 if driven <= shortest else shortest / driven


def _jerk(motion: Motion) -> float:
    """Return the mean magnitude of the change of acceleration, in m/s^3; 0 with fewer than three samples."""
    if len(motion.times) < 3:
        return 0.0
    velocities = np.gradient(motion.positions, motion.times, axis=0)
    changes = np.diff(np.gradient(velocities, motion.times, axis=0), axis=0)[:-1]
    rates = np.linalg.norm(changes, axis=1) / np.diff(motion.times)[:-1]
    return float(rates.mean())


def _curvature(motion: Motion) -> float:
    """Return the mean of |v x a| / |v|^3 in 1/m, 0 at standstill; 0 with fewer than four samples."""
    if len(motion.times) < 4:
        return 0.0
    steps = np.diff(motion.times)[:, None]
    velocities = np.diff(motion.positions, axis=0) / steps
    accelerations = np.diff(velocities, axis=0) / steps[1:]
    velocities = velocities[1:]
    speeds = np.linalg.norm(velocities, axis=1)
    moving = speeds > LEAST_SPEED
    cross = np.abs(velocities[:, 0] * accelerations[:, 1] - velocities[:, 1] * accelerations[:, 0])
    curvatures = np.zeros_like(speeds)
    curvatures[moving] = cross[moving] / speeds[moving] ** 3
    return float(curvatures.mean())


def _standing(motion: Motion) -> dict[str, float]:
    """Return the seconds in which the robot neither drives nor turns, and those in which it is slow."""
    if len(motion.times) < 2:
        return {"time_not_moving": 0.0, "stalled_time": 0.0}
    speeds = np.linalg.norm(np.gradient(motion.positions, motion.times, axis=0), axis=1)
    yaw_rates = np.gradient(np.unwrap(motion.headings), motion.times)
    step_s = np.diff(motion.times).mean()
    standing = (speeds < STANDING_SPEED) & (np.abs(yaw_rates) < STANDING_YAW_RATE)
    return {
        "time_not_moving": float(standing.sum() * step_s),
        "stalled_time": float((speeds < STALLED_SPEED).sum() * step_s),
    }


def _shares_of_spaces(motion: Motion) -> dict[str, float | None]:
    """Return the share of time that the nearest pedestrian is within each space; None without pedestrians."""
    if not np.isfinite(motion.clearances).any():
        return {f"{space}_space_share": None for space in SPACES}
    clearances = np.maximum(motion.clearances, 0.0)
    return {
        f"{space}_space_share": float(((clearances >= low) & (clearances < high)).mean())
        for space, (low, high) in SPACES.items()
    }


def _force_exposure(states: Sequence[SceneState]) -> dict[str, float | None]:
    """Return how often a pedestrian's social force exceeds the limit: events, and their share of all samples."""
    if any(state.forces is None for state in states):
        return {"force_exceed_events": None, "comfort_exposure": None}
    forces: list[Any] = [state.forces for state in states]
    events = sum(int((np.linalg.norm(force, axis=1) > COMFORT_FORCE).sum()) for force in forces)
    samples = len(forces) * max((len(force) for force in forces), default=0)
    return {"force_exceed_events": float(events), "comfort_exposure": events / samples if samples else 0.0}
