"""Episode chunks: env runners record them as SingleAgentEpisodes, the learner turns them into steps of the replay.

A chunk is the part of an episode that one `sample()` recorded. Its last observation is the first one of the next chunk.
"""

import time
import uuid
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.replay.buffer import Steps
from dreamer_exp.algorithms.dreamerv3_rllib.replay import NO_INFO
from dreamer_exp.algorithms.rllib.episodes import RESULT
from dreamer_exp.envs.episode import EpisodeResult, result_of

DETER, STOCH = "deter", "stoch"  # keys of a chunk's extra_model_outputs
STREAM = "stream"  # key of a chunk's custom_data: (index of the env runner, index of the environment)
Array = NDArray[Any]


class EpisodeRecorder:
    """Recorder of one environment: the steps of the current chunk, and sums over the current episode.

    Args:
        stream: (index of the env runner, index of the environment), stored in every chunk.
        observation_space: of the environment.
        action_space: of the environment.
    """

    def __init__(
        self, stream: tuple[int, int], observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
    ) -> None:
        self._stream = stream
        self._spaces = {"observation_space": observation_space, "action_space": action_space}

    def begin(self, observation: Array) -> None:
        """Begin a new episode; an unfinished one is dropped."""
        self._id, self._started = uuid.uuid4().hex, time.perf_counter()
        self._length, self._return = 0, 0.0
        self._begin_chunk(observation)

    def add(self, action: Any, deter: Array, stoch: Array, observation: Array, reward: float) -> None:
        """Add one step.

        Args:
            action: taken (A,), or an integer for Discrete.
            deter: recurrent state that chose it (D,).
            stoch: classes of its latent (S,).
            observation: that followed (O,).
            reward: that came with it.
        """
        self._actions.append(action)
        self._deters.append(deter)
        self._stochs.append(stoch)
        self._observations.append(observation)
        self._rewards.append(reward)
        self._length += 1
        self._return += reward

    def finish(self, terminated: bool, truncated: bool, info: Mapping[str, Any]) -> SingleAgentEpisode:
        """Return the last chunk of the episode, with its result."""
        chunk = self._chunk(terminated=terminated, truncated=truncated)
        chunk.custom_data[RESULT] = result_of(info, self._return, self._length)
        return chunk

    def cut(self) -> SingleAgentEpisode | None:
        """Return the steps since the last chunk, or None without any; the episode continues."""
        if not self._actions:
            return None
        chunk = self._chunk()
        self._begin_chunk(self._observations[-1])
        return chunk

    @property
    def length(self) -> int:
        """Number of steps in the current episode."""
        return self._length

    @property
    def seconds(self) -> float:
        """Time since the current episode began, in seconds."""
        return time.perf_counter() - self._started

    def _begin_chunk(self, observation: Array) -> None:
        self._t_started = self._length
        self._observations: list[Array] = [observation]
        self._actions: list[Any] = []
        self._deters: list[Array] = []
        self._stochs: list[Array] = []
        self._rewards: list[float] = []

    def _chunk(self, **ended: bool) -> SingleAgentEpisode:
        chunk = SingleAgentEpisode(
            id_=self._id,
            observations=_buffer(np.stack(self._observations)),
            infos=_buffer([NO_INFO] * len(self._observations)),
            actions=_buffer(np.stack(self._actions)),
            rewards=_buffer(np.array(self._rewards, np.float32)),
            extra_model_outputs={DETER: _buffer(np.stack(self._deters)), STOCH: _buffer(np.stack(self._stochs))},
            t_started=self._t_started,
            len_lookback_buffer=0,
            **self._spaces,
            **ended,
        )
        chunk.custom_data[STREAM] = self._stream
        return chunk


def result(chunk: SingleAgentEpisode) -> EpisodeResult:
    """Return the result of the episode that this chunk finishes."""
    found: EpisodeResult = chunk.custom_data[RESULT]
    return found


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


def _buffer(data: Any) -> InfiniteLookbackBuffer:
    return InfiniteLookbackBuffer(data=data, lookback=0)
