"""What a chunk becomes in the replay: which observation goes with which reward, action and flag."""

import gymnasium
import numpy as np
import pytest
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.dreamerv3.acting.chunks import Track, result, steps_of
from dreamer_exp.algorithms.dreamerv3.actor import ActionKind

SPACE = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
BOX, DISCRETE = ActionKind(1, discrete=False), ActionKind(3, discrete=True)


def begun() -> Track:
    track = Track((2, 5), SPACE, gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32))
    track.begin(vector(0))
    return track


def vector(value: float) -> np.ndarray:
    return np.array([value], np.float32)


def walk(track: Track, first: int, steps: int) -> None:
    """Step t observes t, answers with t / 10 from latents t, and is paid 10 t on arriving."""
    for t in range(first, first + steps):
        deter, stoch = np.array([t], np.float16), np.array([t], np.uint8)
        track.add(vector(t / 10), deter, stoch, vector(t + 1), 10.0 * (t + 1))


def cut(track: Track) -> SingleAgentEpisode:
    chunk = track.cut()
    assert chunk is not None
    return chunk


def test_a_chunk_that_goes_on_gives_an_entry_a_step() -> None:
    track = begun()
    walk(track, 0, 3)
    steps = steps_of(cut(track), BOX, reward_before=99.0)
    assert steps.observation[:, 0].tolist() == [0, 1, 2]
    assert steps.action[:, 0].tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert steps.reward.tolist() == [0, 10, 20]
    assert steps.is_first.tolist() == [True, False, False]
    assert not steps.is_last.any()
    assert not steps.is_terminal.any()
    assert steps.deter[:, 0].tolist() == steps.stoch[:, 0].tolist() == [0, 1, 2]


def test_the_next_chunk_begins_with_the_reward_that_the_last_one_ended_with() -> None:
    track = begun()
    walk(track, 0, 3)
    before = cut(track)
    walk(track, 3, 2)
    steps = steps_of(cut(track), BOX, reward_before=float(before.rewards.data[-1]))
    assert steps.observation[:, 0].tolist() == [3, 4]
    assert steps.reward.tolist() == [30, 40]
    assert not steps.is_first.any()


@pytest.mark.parametrize(("terminated", "truncated"), [(True, False), (False, True)])
def test_a_done_chunk_gives_its_last_observation_too(terminated: bool, truncated: bool) -> None:
    track = begun()
    walk(track, 0, 2)
    steps = steps_of(track.finish(terminated, truncated, {}), BOX, reward_before=0.0)
    assert steps.observation[:, 0].tolist() == [0, 1, 2]
    assert steps.reward.tolist() == [0, 10, 20]
    assert steps.is_last.tolist() == [False, False, True]
    assert steps.is_terminal.tolist() == [False, False, terminated]
    assert steps.action[-1].tolist() == steps.deter[-1].tolist() == steps.stoch[-1].tolist() == [0]


def test_an_episode_cut_anywhere_has_the_steps_of_the_whole_one() -> None:
    whole, parts = begun(), begun()
    walk(whole, 0, 7)
    expected = steps_of(whole.finish(True, False, {}), BOX, 0.0)
    walk(parts, 0, 4)
    first = steps_of(cut(parts), BOX, 0.0)
    walk(parts, 4, 3)
    second = steps_of(parts.finish(True, False, {}), BOX, 40.0)
    for name, values in vars(expected).items():
        assert np.array_equal(np.concatenate([getattr(first, name), getattr(second, name)]), values), name


def test_every_array_has_the_replays_type() -> None:
    track = begun()
    walk(track, 0, 2)
    steps = steps_of(track.finish(True, False, {}), BOX, 0.0)
    types = [values.dtype for values in vars(steps).values()]
    assert types == ["float32", "float32", "float32", "bool", "bool", "bool", "float16", "uint8"]


def test_discrete_actions_become_one_hot() -> None:
    track = Track((0, 0), SPACE, gymnasium.spaces.Discrete(3))
    track.begin(vector(0))
    for action in (2, 0):
        track.add(np.int64(action), np.zeros(1, np.float16), np.zeros(1, np.uint8), vector(0), 0.0)
    steps = steps_of(track.finish(True, False, {}), DISCRETE, 0.0)
    assert steps.action.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert steps.action.dtype == np.float32


def test_a_result_is_the_whole_episodes() -> None:
    track = begun()
    walk(track, 0, 3)
    cut(track)
    walk(track, 3, 1)
    ended = result(track.finish(False, True, {"outcome": "timeout"}))
    assert (ended.episode_return, ended.length, ended.outcome) == (100.0, 4, "timeout")


def test_there_is_no_chunk_of_nothing() -> None:
    track = begun()
    assert track.cut() is None
    walk(track, 0, 1)
    cut(track)
    assert track.cut() is None


def test_rllib_can_join_the_chunks() -> None:
    track = begun()
    walk(track, 0, 3)
    first = cut(track)
    walk(track, 3, 2)
    last = track.finish(True, False, {})
    assert (first.id_, first.t_started, last.t_started) == (last.id_, 0, 3)
    first.concat_episode(last)
    assert first.get_observations().shape == (6, 1)
    assert first.custom_data["stream"] == (2, 5)
