"""Steps of the replay from a chunk: which reward, action and flags belong to which observation."""

import gymnasium
import numpy as np
import pytest
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.dreamerv3.acting.chunks import steps_of
from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.rllib.chunks import EpisodeRecorder, result

SPACE = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
BOX, DISCRETE = ActionKind(1, discrete=False), ActionKind(3, discrete=True)


def begun() -> EpisodeRecorder:
    recorder = EpisodeRecorder((2, 5), SPACE, gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32))
    recorder.begin(vector(0))
    return recorder


def vector(value: float) -> np.ndarray:
    return np.array([value], np.float32)


def walk(recorder: EpisodeRecorder, first: int, steps: int) -> None:
    """Add steps: at step t, observation t, latents t, action t / 10, and reward 10 t on arrival."""
    for t in range(first, first + steps):
        latents = {"deter": np.array([t], np.float16), "stoch": np.array([t], np.uint8)}
        recorder.add(vector(t / 10), latents, vector(t + 1), 10.0 * (t + 1))


def cut(recorder: EpisodeRecorder) -> SingleAgentEpisode:
    chunk = recorder.cut()
    assert chunk is not None
    return chunk


def test_unfinished_chunk_gives_one_step_for_each_env_step() -> None:
    recorder = begun()
    walk(recorder, 0, 3)
    steps = steps_of(cut(recorder), BOX, reward_before=99.0)
    assert steps.observation[:, 0].tolist() == [0, 1, 2]
    assert steps.action[:, 0].tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert steps.reward.tolist() == [0, 10, 20]
    assert steps.is_first.tolist() == [True, False, False]
    assert not steps.is_last.any()
    assert not steps.is_terminal.any()
    assert steps.deter[:, 0].tolist() == steps.stoch[:, 0].tolist() == [0, 1, 2]


def test_next_chunk_begins_with_the_last_reward_of_the_one_before() -> None:
    recorder = begun()
    walk(recorder, 0, 3)
    before = cut(recorder)
    walk(recorder, 3, 2)
    steps = steps_of(cut(recorder), BOX, reward_before=float(before.rewards.data[-1]))
    assert steps.observation[:, 0].tolist() == [3, 4]
    assert steps.reward.tolist() == [30, 40]
    assert not steps.is_first.any()


@pytest.mark.parametrize(("terminated", "truncated"), [(True, False), (False, True)])
def test_finished_chunk_includes_its_last_observation(terminated: bool, truncated: bool) -> None:
    recorder = begun()
    walk(recorder, 0, 2)
    steps = steps_of(recorder.finish(terminated, truncated, {}), BOX, reward_before=0.0)
    assert steps.observation[:, 0].tolist() == [0, 1, 2]
    assert steps.reward.tolist() == [0, 10, 20]
    assert steps.is_last.tolist() == [False, False, True]
    assert steps.is_terminal.tolist() == [False, False, terminated]
    assert steps.action[-1].tolist() == steps.deter[-1].tolist() == steps.stoch[-1].tolist() == [0]


def test_chunks_of_an_episode_have_the_steps_of_the_uncut_one() -> None:
    uncut, in_chunks = begun(), begun()
    walk(uncut, 0, 7)
    expected = steps_of(uncut.finish(True, False, {}), BOX, 0.0)
    walk(in_chunks, 0, 4)
    first = steps_of(cut(in_chunks), BOX, 0.0)
    walk(in_chunks, 4, 3)
    second = steps_of(in_chunks.finish(True, False, {}), BOX, 40.0)
    for name, values in vars(expected).items():
        assert np.array_equal(np.concatenate([getattr(first, name), getattr(second, name)]), values), name


def test_arrays_have_the_types_of_the_replay() -> None:
    recorder = begun()
    walk(recorder, 0, 2)
    steps = steps_of(recorder.finish(True, False, {}), BOX, 0.0)
    types = [values.dtype for values in vars(steps).values()]
    assert types == ["float32", "float32", "float32", "bool", "bool", "bool", "float16", "uint8"]


def test_discrete_actions_become_one_hot() -> None:
    recorder = EpisodeRecorder((0, 0), SPACE, gymnasium.spaces.Discrete(3))
    recorder.begin(vector(0))
    for action in (2, 0):
        latents = {"deter": np.zeros(1, np.float16), "stoch": np.zeros(1, np.uint8)}
        recorder.add(np.int64(action), latents, vector(0), 0.0)
    steps = steps_of(recorder.finish(True, False, {}), DISCRETE, 0.0)
    assert steps.action.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert steps.action.dtype == np.float32


def test_result_covers_all_chunks_of_the_episode() -> None:
    recorder = begun()
    walk(recorder, 0, 3)
    cut(recorder)
    walk(recorder, 3, 1)
    ended = result(recorder.finish(False, True, {"outcome": "timeout"}))
    assert (ended.episode_return, ended.length, ended.outcome) == (100.0, 4, "timeout")


def test_cutting_without_new_steps_returns_none() -> None:
    recorder = begun()
    assert recorder.cut() is None
    walk(recorder, 0, 1)
    cut(recorder)
    assert recorder.cut() is None


def test_rllib_can_join_the_chunks() -> None:
    recorder = begun()
    walk(recorder, 0, 3)
    first = cut(recorder)
    walk(recorder, 3, 2)
    last = recorder.finish(True, False, {})
    assert (first.id_, first.t_started, last.t_started) == (last.id_, 0, 3)
    first.concat_episode(last)
    assert first.get_observations().shape == (6, 1)
    assert first.custom_data["stream"] == (2, 5)
