"""Episodes that collide in their first step whatever the action."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.episodes import EpisodeList, EvaluationEpisode
from dreamer_exp.evaluation.impossible import is_impossible, probe_actions
from dreamer_exp.evaluation.metrics import evaluation_row
from dreamer_exp.rundir.metric_names import TRAINED

COLLIDED = EpisodeResult(0.0, 1, outcome="wall_collision")
EPISODE = EvaluationEpisode(7)


class Ditch(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """A robot that falls at its first step, unless it turns to a side that its seed may leave free."""

    action_space = Box(-1.0, 1.0, (2,))
    observation_space = Box(-1.0, 1.0, (1,))

    def __init__(self, is_avoidable: bool) -> None:
        self.is_avoidable = is_avoidable
        self.seeds: list[int | None] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        self.seeds.append(seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        escaped = self.is_avoidable and action[1] > 0.5
        return np.zeros(1, np.float32), 0.0, not escaped, False, {} if escaped else {"outcome": "wall_collision"}


def test_an_episode_that_collides_with_every_action_is_impossible() -> None:
    env = Ditch(is_avoidable=False)
    assert is_impossible(env, EPISODE, COLLIDED)
    assert env.seeds == [7] * 5


def test_an_episode_that_an_action_escapes_is_possible() -> None:
    assert not is_impossible(Ditch(is_avoidable=True), EPISODE, COLLIDED)


@pytest.mark.parametrize("result", [EpisodeResult(0.0, 2, outcome="wall_collision"), EpisodeResult(0.0, 1, "success")])
def test_a_longer_episode_or_a_success_is_not_driven_again(result: EpisodeResult) -> None:
    env = Ditch(is_avoidable=False)
    assert not is_impossible(env, EPISODE, result)
    assert env.seeds == []


def test_the_middle_and_the_corners_of_a_box_are_tried() -> None:
    actions = {tuple(action.tolist()) for action in probe_actions(Box(-1.0, 1.0, (2,)))}
    assert actions == {(0.0, 0.0), (-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)}


@pytest.mark.parametrize(
    ("space", "count"),
    [(Discrete(3, start=1), 3), (Discrete(50), 9), (Box(-1.0, 1.0, (7,)), 9), (Box(-np.inf, np.inf, (2,)), 9)],
)
def test_several_actions_of_every_space_are_tried(space: gymnasium.Space[Any], count: int) -> None:
    actions = list(probe_actions(space))
    assert len(actions) == count
    assert all(space.contains(action) for action in actions)


def test_a_row_keeps_impossible_episodes_in_the_success_rate_and_leaves_them_out_of_a_second_one() -> None:
    impossible = EpisodeResult(0.0, 1, "wall_collision", impossible=True)
    results = [EpisodeResult(0.0, 9, "success"), EpisodeResult(0.0, 9, "timeout"), impossible, impossible]
    row = evaluation_row("p", TRAINED, 0, 0, results, EpisodeList(tuple(map(EvaluationEpisode, range(4))), "by hand"))
    assert (row["impossible_episodes"], row["success_rate"], row["success_rate_without_impossible"]) == (2, 0.25, 0.5)
    assert [episode["impossible"] for episode in row["outcomes"]] == [False, False, True, True]
