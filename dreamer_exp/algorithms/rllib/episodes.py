"""Results of finished training episodes, which env runners send to the main process with the episodes."""

from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.envs.episode import EpisodeResult

RESULT = "result"  # key of an episode's custom_data


def finished(chunks: list[SingleAgentEpisode]) -> list[EpisodeResult]:
    """Remove and return the results of the episodes that ended in these chunks."""
    return [chunk.custom_data.pop(RESULT) for chunk in chunks if RESULT in chunk.custom_data]
