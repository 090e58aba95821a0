"""RLlib's replay buffer with a seed, and without infos and model states."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer
from ray.rllib.utils.replay_buffers.episode_replay_buffer import EpisodeReplayBuffer

from dreamer_exp.algorithms.protocol import RecordedSteps
from dreamer_exp.algorithms.rllib.chunks import NO_INFO


class SeededEpisodeReplay(EpisodeReplayBuffer):  # type: ignore[misc]  # RLlib is untyped
    """RLlib's EpisodeReplayBuffer with a generator of the run's seed.

    RLlib 2.60's buffer draws from `np.random.default_rng(None)`, which ignores the run's seed.
    """

    def __init__(self, capacity: int, *, batch_size_B: int, batch_length_T: int, seed: int) -> None:
        super().__init__(capacity, batch_size_B=batch_size_B, batch_length_T=batch_length_T)
        # the spawn key separates it from the generator of an env with the same seed
        self.rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))

    def reseed(self, seed: int, number: int) -> None:
        """Continue with the random stream of this number."""
        self.rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, number)))

    def newest(self, most: int) -> RecordedSteps:
        """Return the newest episodes that together have up to this number of steps, or the end of the newest one.

        Actions are as stored: integers (N,) for Discrete.
        """
        chosen: list[SingleAgentEpisode] = []
        room = most
        for episode in reversed(self.episodes):
            if not len(episode):  # it was cut before its first step
                continue
            room -= len(episode) + 1
            if chosen and room < 0:
                break
            chosen.append(episode)
        pieces = [_piece(episode, most) for episode in reversed(chosen)]
        return RecordedSteps(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def _piece(episode: SingleAgentEpisode, most: int) -> tuple[NDArray[Any], ...]:
    """Return the columns of RecordedSteps for the end of an episode."""
    observations = np.asarray(episode.observations.get(), np.float32)[-most:]
    steps = len(observations)
    actions = np.asarray(episode.actions.get())
    actions = np.concatenate([actions, np.zeros_like(actions[:1])])[-steps:]
    rewards = np.concatenate([[0.0], np.asarray(episode.rewards.get())])[-steps:].astype(np.float32)
    is_terminal = np.zeros(steps, bool)
    is_terminal[-1] = episode.is_terminated
    return observations, actions.astype(np.float32), rewards, np.arange(steps) == 0, is_terminal


def slim(episode: SingleAgentEpisode) -> None:
    """Remove infos and model outputs from an episode chunk before it is sent to the replay, in place.

    RLlib 2.60's buffer keeps both (14.7 KB a step, with an observation of 3.3 KB), although DreamerV3 reads neither.
    """
    episode.infos = InfiniteLookbackBuffer(data=[NO_INFO] * (len(episode) + 1), lookback=0)
    episode.extra_model_outputs = {}
