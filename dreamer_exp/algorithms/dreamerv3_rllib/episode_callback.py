"""RLlib callback that records the result of an episode where it ends."""

from collections.abc import Sequence
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.dreamerv3_rllib.replay import slim
from dreamer_exp.algorithms.rllib.episodes import RESULT
from dreamer_exp.envs.episode import result_of


class EpisodeCallback(RLlibCallback):  # type: ignore[misc]  # RLlib is untyped
    """Callback of every env runner: records how an episode ended, and slims what is sent to the replay."""

    def on_episode_end(
        self, *, episode: Any, prev_episode_chunks: Sequence[SingleAgentEpisode] = (), **kwargs: Any
    ) -> None:
        """Record the result of the episode, including the chunks that earlier `sample()` calls returned."""
        chunks = [*prev_episode_chunks, episode]
        episode.custom_data[RESULT] = result_of(
            info=episode.get_infos(-1),
            episode_return=float(sum(chunk.get_return() for chunk in chunks)),
            length=sum(len(chunk) for chunk in chunks),
        )

    def on_sample_end(self, *, samples: list[SingleAgentEpisode], **kwargs: Any) -> None:
        """Slim each chunk before it leaves the env runner."""
        for chunk in samples:
            slim(chunk)
