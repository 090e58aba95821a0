"""What a step costs in the replay of RLlib's learner, and that its generator follows the seed."""

import tracemalloc

import gymnasium
import numpy as np
import pytest
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.dreamerv3_rllib.replay import SeededEpisodeReplay, slim
from dreamer_exp.envs.make import contract_of
from dreamer_exp.planning.forecast import forecast
from tests.experiments import nano

SIZE, FRAGMENT, LENGTH = 831, 16, 96


def episode_chunks(length: int = LENGTH) -> list[SingleAgentEpisode]:
    """Return an episode as an env runner sends it: slimmed chunks with RSSM states and infos of a real size."""
    space = gymnasium.spaces.Box(-1.0, 1.0, (SIZE,), np.float32)
    actions = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    chunk = SingleAgentEpisode(observation_space=space, action_space=actions)
    chunk.add_env_reset(np.zeros(SIZE, np.float32), infos={})
    chunks = []
    for step in range(1, length + 1):
        chunk.add_env_step(
            observation=np.full(SIZE, step, np.float32),
            action=np.zeros(2, np.float32),
            reward=0.5,
            infos={"text": "x" * 1000},
            truncated=step == length,
            extra_model_outputs={"h": np.zeros(512, np.float32)},
        )
        if step % FRAGMENT == 0:
            following = None if step == length else chunk.cut(len_lookback_buffer=1)
            chunk.to_numpy()
            slim(chunk)
            chunks.append(chunk)
            if following is not None:
                chunk = following
    return chunks


def filled(seed: int, episodes: int) -> SeededEpisodeReplay:
    replay = SeededEpisodeReplay(10**6, batch_size_B=4, batch_length_T=8, seed=seed)
    for _ in range(episodes):
        for chunk in episode_chunks():
            replay.add(episodes=[chunk])
    return replay


def test_bytes_per_step_equal_the_forecast() -> None:
    asked = nano("algo=dreamerv3_rllib")
    forecast_bytes = forecast(asked, contract_of(asked.env, asked.obs_contract)).memory.bytes_per_step
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    replay = filled(seed=1, episodes=20)
    measured = (tracemalloc.get_traced_memory()[0] - before) / len(replay)
    tracemalloc.stop()
    assert measured == pytest.approx(forecast_bytes, rel=0.05)


def test_slim_chunks_are_joined_to_the_complete_episode() -> None:
    replay = filled(seed=1, episodes=1)
    (episode,) = replay.episodes
    assert len(episode) == LENGTH
    assert episode.is_truncated
    assert [float(row[0]) for row in episode.observations.data] == list(range(LENGTH + 1))


def test_the_same_seed_samples_the_same_batches() -> None:
    first, second = (filled(seed=3, episodes=3).sample()["obs"] for _ in range(2))
    assert np.array_equal(first, second)


def test_another_seed_samples_other_batches() -> None:
    assert not np.array_equal(filled(seed=3, episodes=3).sample()["obs"], filled(seed=4, episodes=3).sample()["obs"])


def test_batches_after_reseeding_depend_on_the_number() -> None:
    drawn = []
    for number in (1, 1, 2):
        replay = filled(seed=3, episodes=3)
        replay.reseed(3, number)
        drawn.append(replay.sample()["obs"])
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_the_newest_steps_are_complete_episodes() -> None:
    recorded = filled(seed=1, episodes=3).newest(2 * (LENGTH + 1) + 5)
    once = list(range(LENGTH + 1))
    assert recorded.observation[:, 0].tolist() == once + once
    assert np.flatnonzero(recorded.is_first).tolist() == [0, LENGTH + 1]
    assert recorded.reward[: LENGTH + 1].tolist() == [0.0] + [0.5] * LENGTH
    assert recorded.action.shape == (2 * (LENGTH + 1), 2)
    assert not recorded.is_terminal.any()


def test_of_a_longer_episode_the_end_is_returned() -> None:
    recorded = filled(seed=1, episodes=1).newest(10)
    assert recorded.observation[:, 0].tolist() == list(range(LENGTH - 9, LENGTH + 1))
    assert recorded.is_first.tolist() == [True] + [False] * 9
