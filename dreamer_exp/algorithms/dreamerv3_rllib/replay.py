"""The stock learner's replay buffer, corrected: seeded, without infos and model states."""

from typing import Any

import numpy as np
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer
from ray.rllib.utils.replay_buffers.episode_replay_buffer import EpisodeReplayBuffer

NO_INFO: dict[str, Any] = {}  # one object for all steps: a slot of 8 bytes each


class SeededEpisodeReplay(EpisodeReplayBuffer):  # type: ignore[misc]  # RLlib is untyped
    """RLlib's EpisodeReplayBuffer with a generator of the run's seed.

    Corrects trap 4 of RLlib 2.60: the stock buffer draws from `np.random.default_rng(None)`, which no seed reaches.
    """

    def __init__(self, capacity: int, *, batch_size_B: int, batch_length_T: int, seed: int) -> None:
        super().__init__(capacity, batch_size_B=batch_size_B, batch_length_T=batch_length_T)
        # a stream of its own, so that it doesn't repeat the numbers of an env seeded with the same number
        self.rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))

    def reseed(self, seed: int, number: int) -> None:
        """Draws from a stream of its own for this number from now on."""
        self.rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, number)))


def slim(episode: SingleAgentEpisode) -> None:
    """Takes infos and model outputs out of an episode chunk that is about to travel to the replay, in place.

    Corrects trap 5 of RLlib 2.60: the stock buffer keeps both (14.7 KB a step where the observation is 3.3 KB), and
    DreamerV3 reads neither.
    """
    episode.infos = InfiniteLookbackBuffer(data=[NO_INFO] * (len(episode) + 1), lookback=0)
    episode.extra_model_outputs = {}
