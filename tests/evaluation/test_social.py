"""Social and motion metrics against values computed by hand."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.envs.scene import Scene, SceneState
from dreamer_exp.evaluation.evaluate import evaluate_baseline
from dreamer_exp.evaluation.social import NAMES, social_metrics
from tests.experiments import nano
from tests.paths import CHECKOUT

SCENE = Scene(np.empty((0, 4)), np.array([[9.0, 0.0]]), robot_radius=1.0, pedestrian_radius=0.4, step_s=0.1)
SUCCESS = EpisodeResult(0.0, 1, "success", time_s=6.0, path_length=10.0, shortest_path_length=8.0)
NOBODY = np.empty((0, 2))


def driven(
    positions: Sequence[tuple[float, float]],
    headings: Sequence[float] | None = None,
    clearances: Sequence[float] | None = None,
    forces: Sequence[Sequence[tuple[float, float]]] | None = None,
    result: EpisodeResult = SUCCESS,
) -> dict[str, float | None]:
    """Return the metrics of an episode of steps of 0.1 s, with a pedestrian at each clearance to the left."""
    states = [
        SceneState(
            0.1 * (step + 1),
            (x, y),
            0.0 if headings is None else headings[step],
            NOBODY if clearances is None else np.array([[x, y + clearances[step] + 1.4]]),
            None if forces is None else np.array(forces[step], np.float64).reshape(-1, 2),
        )
        for step, (x, y) in enumerate(positions)
    ]
    return social_metrics(states, SCENE, result, max_steps=100)


def at_rest(steps: int) -> list[tuple[float, float]]:
    return [(0.0, 0.0)] * steps


def test_a_straight_drive_at_constant_speed_has_neither_jerk_nor_curvature() -> None:
    metrics = driven([(0.1 * step, 0.0) for step in range(20)])
    assert (metrics["jerk_mean"], metrics["curvature_mean"]) == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.0))
    assert (metrics["time_not_moving"], metrics["stalled_time"]) == (0.0, 0.0)


def test_jerk_is_the_change_of_acceleration_in_a_second() -> None:
    """x = t^2 / 2: central differences give a = .5, .75, 1, .75, .5 m/s^2, whose first three changes count."""
    metrics = driven([(0.5 * (0.1 * step) ** 2, 0.0) for step in range(5)])
    assert metrics["jerk_mean"] == pytest.approx(0.25 / 0.1)


def test_curvature_of_a_circle_is_one_over_its_radius() -> None:
    """Points on a circle of 2 m at steps of 0.05 rad: finite differences give cos(0.05 / 2) / 2 m."""
    circle = [(2 * math.cos(0.05 * step), 2 * math.sin(0.05 * step)) for step in range(40)]
    assert driven(circle)["curvature_mean"] == pytest.approx(math.cos(0.025) / 2)


def test_a_robot_that_stands_still_is_not_moving() -> None:
    metrics = driven(at_rest(5))
    assert (metrics["time_not_moving"], metrics["stalled_time"]) == (pytest.approx(0.5), pytest.approx(0.5))


def test_a_robot_that_turns_on_the_spot_is_stalled_and_moving() -> None:
    metrics = driven(at_rest(5), headings=[0.0, 0.05, 0.1, 0.15, 0.2])
    assert (metrics["time_not_moving"], metrics["stalled_time"]) == (0.0, pytest.approx(0.5))


def test_a_heading_that_wraps_around_is_a_small_turn() -> None:
    metrics = driven(at_rest(3), headings=[math.pi - 0.0001, -math.pi + 0.0001, math.pi - 0.0001])
    assert metrics["time_not_moving"] == pytest.approx(0.3)


def test_spaces_are_shares_of_time_by_the_distance_between_the_surfaces() -> None:
    metrics = driven(at_rest(5), clearances=[-0.1, 0.2, 0.46, 1.21, 3.7])
    assert [metrics[f"{space}_space_share"] for space in ("intimate", "personal", "social")] == [0.4, 0.2, 0.2]


def test_the_nearest_pedestrian_decides_the_space() -> None:
    far_and_near = np.array([[5.0, 0.0], [1.4 + 0.2, 0.0]])
    states = [SceneState(0.1, (0.0, 0.0), 0.0, far_and_near)]
    assert social_metrics(states, SCENE, SUCCESS, 100)["intimate_space_share"] == 1.0


def test_without_pedestrians_there_are_no_shares_of_spaces() -> None:
    assert driven(at_rest(3))["personal_space_share"] is None


def test_forces_above_two_are_counted_and_shared_among_pedestrians_and_steps() -> None:
    forces = [[(3.0, 0.0), (0.0, 0.0)], [(2.0, 0.0), (0.0, -2.1)], [(0.0, 0.0), (1.0, 1.0)]]
    metrics = driven(at_rest(3), forces=forces)
    assert (metrics["force_exceed_events"], metrics["comfort_exposure"]) == (2.0, pytest.approx(2 / 6))


def test_without_forces_there_is_no_comfort_exposure() -> None:
    metrics = driven(at_rest(3), clearances=[1.0, 1.0, 1.0])
    assert (metrics["force_exceed_events"], metrics["comfort_exposure"]) == (None, None)


def test_time_to_goal_is_relative_to_the_step_limit() -> None:
    assert driven(at_rest(3))["time_to_goal_norm"] == pytest.approx((60 - 1) / 100)


@pytest.mark.parametrize(("outcome", "value"), [("timeout", 1.0), ("wall_collision", 1.0), (None, None)])
def test_time_to_goal_is_one_in_a_failure(outcome: str | None, value: float | None) -> None:
    assert driven(at_rest(3), result=replace(SUCCESS, outcome=outcome))["time_to_goal_norm"] == value


@pytest.mark.parametrize(("path", "efficiency"), [(10.0, 0.8), (7.9, 1.0), (None, None)])
def test_path_efficiency_is_the_shortest_over_the_driven_path(path: float | None, efficiency: float | None) -> None:
    assert driven(at_rest(3), result=replace(SUCCESS, path_length=path))["path_efficiency"] == efficiency


def test_an_episode_of_one_step_has_all_metrics() -> None:
    assert set(driven(at_rest(1))) == set(NAMES)


def test_metrics_that_are_not_finite_are_missing() -> None:
    standing_clock = [SceneState(0.0, (0.1 * step, 0.0), 0.0, NOBODY) for step in range(5)]
    metrics = social_metrics(standing_clock, SCENE, SUCCESS, 100)
    assert (metrics["jerk_mean"], metrics["path_efficiency"]) == (None, 0.8)


def test_crowd_nav_reports_the_state_for_these_metrics() -> None:
    result, *_ = evaluate_baseline(nano("env.scenario=dense", "env.max_steps=60"), "straight_to_goal")
    assert result.social is not None
    missing = [name for name, value in result.social.items() if value is None]
    assert missing == ["force_exceed_events", "comfort_exposure"]
    assert 0.0 < result.social["jerk_mean"] < 100.0  # type: ignore[operator]


def test_every_metric_is_documented() -> None:
    page = (CHECKOUT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in page] == []
