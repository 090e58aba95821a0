"""What is kept of a finished training episode: recorded where it ends, carried to the driver with the episode."""

from collections.abc import Sequence
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.dreamerv3_rllib.replay import slim
from dreamer_exp.envs.episode import EpisodeResult, result_of

RESULT = "result"  # where an episode's custom_data carries it


class EpisodeCallback(RLlibCallback):  # type: ignore[misc]  # RLlib is untyped
    """Runs in every env runner: records how an episode ended, and slims what is sent to the replay."""

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
        """Slims each chunk before it leaves the env runner."""
        for chunk in samples:
            slim(chunk)


def finished(chunks: list[SingleAgentEpisode]) -> list[EpisodeResult]:
    """Return the results of the episodes that ended in these chunks."""
    return [chunk.custom_data.pop(RESULT) for chunk in chunks if RESULT in chunk.custom_data]
