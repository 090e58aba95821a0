"""Paths on their maps: which episodes share a panel, which are shown, and the picture."""

from pathlib import Path

import numpy as np

from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.envs.scene import Scene
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.metrics import rates_by_scenario
from dreamer_exp.evaluation.rollout import Finished
from dreamer_exp.evaluation.trajectories import (
    MAX_PANELS,
    Panel,
    Track,
    choose,
    describe_shown,
    draw_trajectories,
    panels_of,
)

ROUTE = np.array([[5.0, 0.0]])


def result(scenario: str, outcome: str = "success") -> EpisodeResult:
    return EpisodeResult(0.0, 1, outcome=outcome, scenario=scenario)


def finished(*episodes: tuple[EpisodeResult, float]) -> list[Finished]:
    """Return episodes with seeds 0, 1, ..., each in a room of this width."""
    ended = []
    for seed, (ended_as, width) in enumerate(episodes):
        walls = np.array([[0.0, 0.0, width, 0.0], [0.0, 3.0, width, 3.0]])
        track = Track(Scene(walls, ROUTE), [(0.0, 0.0), (1.0, 0.1 * seed), (2.0, 0.0)])
        ended.append(Finished(EvaluationEpisode(seed), ended_as, track))
    return ended


def panels(*episodes: EpisodeResult) -> list[Panel]:
    """Return panels of episodes in different rooms."""
    return panels_of(finished(*((episode, float(width)) for width, episode in enumerate(episodes))))


def test_a_track_holds_every_position_from_the_start() -> None:
    env, watch = CrowdNavEnv(scenario="open"), Track()
    env.reset(seed=7)
    watch(env)
    for _ in range(3):
        env.step(np.array([1.0, 0.0], np.float32))
        watch(env)
    points = watch.points
    assert points[0] == env.layout.start[:2]
    assert points[-1] == (env.simulator.robot.x, env.simulator.robot.y)
    assert len(points) == 4


def test_episodes_on_one_map_share_a_panel() -> None:
    found = panels_of(finished((result("doorway"), 9.0), (result("doorway", "timeout"), 9.0), (result("doorway"), 8.0)))
    assert [[each.episode.seed for each in panel.episodes] for panel in found] == [[0, 1], [2]]


def test_failures_are_drawn_first() -> None:
    episodes = [result("open")] * 20 + [result("open", "timeout")]
    shown = choose(panels(*episodes))
    assert len(shown) == MAX_PANELS
    assert [panel.failed for panel in shown].count(True) == 1


def test_scenarios_with_equal_success_are_drawn_in_the_order_of_the_table() -> None:
    episodes = [result("arch", "timeout"), result("door", "wall_collision"), result("hall")]
    drawn = [panel.scenario for panel in choose(panels(*episodes))]
    assert drawn == list(rates_by_scenario(episodes)) == ["door", "arch", "hall"]


def test_every_scenario_is_drawn_before_one_is_repeated() -> None:
    episodes = [result("dense"), result("doorway")] + [result("open", "timeout")] * 20
    scenarios = [panel.scenario for panel in choose(panels(*episodes))]
    assert scenarios == [*["open"] * (MAX_PANELS - 2), "dense", "doorway"]


def test_the_worst_scenarios_are_drawn_first() -> None:
    good = [result(f"good {i:02}") for i in range(2 * MAX_PANELS)]
    mixed = [result("mixed"), result("mixed", "timeout")]
    scenarios = [panel.scenario for panel in choose(panels(*good, *mixed, result("worst", "timeout")))]
    assert scenarios[:4] == ["worst", "mixed", "good 00", "good 01"]


def test_the_title_counts_the_episodes_left_out() -> None:
    found = panels(*[result("open")] * 20)
    assert describe_shown(found, choose(found)).startswith("12 of 20 episodes")
    assert describe_shown(found, choose(found)).endswith("8 left out")
    assert describe_shown(found[:5], choose(found[:5])) == "5 episodes, in metres"


def test_the_picture_is_drawn_for_all_outcomes(tmp_path: Path) -> None:
    ends = ("success", "pedestrian_collision", "wall_collision", "robot_collision", "timeout")
    episodes = finished(*((result(f"room {i}", end), 5.0 + i) for i, end in enumerate(ends)))
    path = tmp_path / "report" / "paths.png"
    draw_trajectories(path, "a run", episodes)
    assert path.read_bytes().startswith(b"\x89PNG")
