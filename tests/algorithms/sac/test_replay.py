"""SAC's replay: transitions, room, the stream of draws, and its files."""

from pathlib import Path

import gymnasium
import numpy as np
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.rllib.chunks import EpisodeRecorder
from dreamer_exp.algorithms.sac.replay import TransitionReplay

SPACES = gymnasium.spaces.Box(-9, 9, (1,), np.float32), gymnasium.spaces.Box(-1, 1, (1,), np.float32)


def chunk(first: int, steps: int = 4, *, terminated: bool = False) -> SingleAgentEpisode:
    """Return a chunk in which observation t is followed by action t / 100, reward 10 t and observation t + 1."""
    recorder = EpisodeRecorder((0, 0), *SPACES)
    recorder.begin(np.array([first], np.float32))
    for t in range(first, first + steps):
        recorder.add(np.array([t / 100], np.float32), {}, np.array([t + 1], np.float32), 10.0 * t)
    found = recorder.finish(True, False, {}) if terminated else recorder.cut()
    assert found is not None
    return found


def filled(*chunks: SingleAgentEpisode, capacity: int = 8) -> TransitionReplay:
    replay = TransitionReplay(capacity, 4, 1, 1, seed=1)
    for each in chunks:
        replay.add(each)
    return replay


def test_a_drawn_step_has_what_followed_it() -> None:
    batch = filled(chunk(0), chunk(10, terminated=True)).sample(500)

    first = batch["obs"][:, 0]
    assert set(first) == {0, 1, 2, 3, 10, 11, 12, 13}
    assert np.array_equal(batch["new_obs"][:, 0], first + 1)
    np.testing.assert_allclose(batch["actions"][:, 0], first / 100)
    np.testing.assert_allclose(batch["rewards"], 10 * first)
    assert np.array_equal(batch["terminateds"], first == 13)


def test_the_oldest_steps_make_room() -> None:
    replay = filled(*(chunk(10 * i) for i in range(7)))

    assert len(replay) == 8
    assert set(replay.sample(500)["obs"][:, 0]) == {50, 51, 52, 53, 60, 61, 62, 63}


def test_a_chunk_that_is_overwritten_in_part_keeps_its_newer_steps() -> None:
    replay = filled(chunk(0), chunk(10), chunk(20, steps=1))  # two rows, of the first chunk

    batch = replay.sample(500)
    assert len(replay) == len(set(batch["obs"][:, 0])) == 7
    assert np.array_equal(batch["new_obs"], batch["obs"] + 1)


def test_a_loaded_replay_draws_the_batches_of_the_saved_one(tmp_path: Path) -> None:
    replay, loaded = filled(*(chunk(10 * i) for i in range(5))), filled()
    replay.sample(3)
    replay.save(tmp_path)
    loaded.load(tmp_path)
    for each in (replay, loaded):
        each.add(chunk(90))

    batch, other = replay.sample(50), loaded.sample(50)
    assert len(loaded) == len(replay)
    assert all(np.array_equal(batch[name], other[name]) for name in batch)


def test_a_smaller_replay_keeps_the_newest_steps(tmp_path: Path) -> None:
    filled(*(chunk(10 * i) for i in range(5)), capacity=12).save(tmp_path)
    loaded = filled(capacity=4)
    loaded.load(tmp_path)

    assert set(loaded.sample(100)["obs"][:, 0]) == {40, 41, 42, 43}


def test_another_number_draws_other_batches() -> None:
    replay = filled(chunk(0), chunk(10))
    replay.reseed(1)
    first = replay.sample(20)["obs"]
    replay.reseed(2)
    assert not np.array_equal(first, replay.sample(20)["obs"])
