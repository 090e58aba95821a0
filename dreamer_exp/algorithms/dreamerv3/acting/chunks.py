"""Steps of the replay from episode chunks (rllib/chunks.py)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.replay.steps import Steps

DETER, STOCH = "deter", "stoch"  # keys of a chunk's extra_model_outputs
Array = NDArray[Any]


def steps_of(chunk: SingleAgentEpisode, kind: ActionKind, reward_before: float) -> Steps:
    """Return the replay's steps of a chunk, one for each observation.

    The last observation is left out if the episode continues: it is the first one of the next chunk. If the episode
    ended, its step has neither action nor latents.

    Args:
        chunk: of m env steps; m steps of the replay, or m + 1 if the episode ended.
        kind: of the actions; Discrete ones become one-hot.
        reward_before: reward that came with the first observation, if the chunk continues an episode.
    """
    taken = len(chunk)
    entries = taken + chunk.is_done
    rewards = np.zeros(entries, np.float32)
    rewards[0] = reward_before if chunk.t_started else 0.0
    rewards[1:] = chunk.rewards.data[: entries - 1]
    steps = np.arange(entries)
    return Steps(
        observation=chunk.observations.data[:entries],
        action=_padded(_vectors(chunk.actions.data, kind), entries),
        reward=rewards,
        is_first=(steps == 0) & (chunk.t_started == 0),
        is_last=steps == taken,
        is_terminal=(steps == taken) & chunk.is_terminated,
        deter=_padded(chunk.extra_model_outputs[DETER].data, entries),
        stoch=_padded(chunk.extra_model_outputs[STOCH].data, entries),
    )


def _vectors(actions: Array, kind: ActionKind) -> Array:
    """Return the actions as vectors (m, A) float32."""
    return np.eye(kind.size, dtype=np.float32)[actions] if kind.discrete else actions


def _padded(rows: Array, entries: int) -> Array:
    """Return the rows, with rows of zeros appended up to the number of entries."""
    return np.pad(rows, [(0, entries - len(rows)), (0, 0)]) if len(rows) < entries else rows
