"""Episode chunks that env runners record as SingleAgentEpisodes.

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

from dreamer_exp.algorithms.rllib.episodes import RESULT
from dreamer_exp.envs.episode import EpisodeResult, result_of

NO_INFO: dict[str, Any] = {}  # one object that all steps refer to, with 8 bytes each
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

    def add(self, action: Any, outputs: Mapping[str, Array], observation: Array, reward: float) -> None:
        """Add one step.

        Args:
            action: taken (A,), or an integer for Discrete.
            outputs: of the network that chose it, by name; the names are the same in every step.
            observation: that followed (O,).
            reward: that came with it.
        """
        self._actions.append(action)
        self._outputs.append(outputs)
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
        self._outputs: list[Mapping[str, Array]] = []
        self._rewards: list[float] = []

    def _chunk(self, **ended: bool) -> SingleAgentEpisode:
        chunk = SingleAgentEpisode(
            id_=self._id,
            observations=_buffer(np.stack(self._observations)),
            infos=_buffer([NO_INFO] * len(self._observations)),
            actions=_buffer(np.stack(self._actions)),
            rewards=_buffer(np.array(self._rewards, np.float32)),
            extra_model_outputs={
                name: _buffer(np.stack([step[name] for step in self._outputs])) for name in self._outputs[0]
            },
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


def _buffer(data: Any) -> InfiniteLookbackBuffer:
    return InfiniteLookbackBuffer(data=data, lookback=0)
