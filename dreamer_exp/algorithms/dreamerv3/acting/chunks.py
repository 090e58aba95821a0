"""Chunks of episodes, both ways: what an env runner saw becomes a SingleAgentEpisode, and that the replay's steps.

A chunk is a part of one episode, as long as one `sample()` saw it: its last observation is the next chunk's first.
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

DETER, STOCH, STREAM = "deter", "stoch", "stream"  # in extra_model_outputs, and (stream) in custom_data
Array = NDArray[Any]


class Track:
    """One environment's current episode: the steps of the chunk being filled, and sums over the whole episode.

    Args:
        stream: (env runner's index, environment's index), which every chunk carries.
        observation_space: the environment's.
        action_space: the environment's.
    """

    def __init__(
        self, stream: tuple[int, int], observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
    ) -> None:
        self._stream = stream
        self._spaces = {"observation_space": observation_space, "action_space": action_space}

    def begin(self, observation: Array) -> None:
        """A new episode; one that was under way is dropped."""
        self._id, self._began = uuid.uuid4().hex, time.perf_counter()
        self._length, self._return = 0, 0.0
        self._begin_chunk(observation)

    def add(self, action: Any, deter: Array, stoch: Array, observation: Array, reward: float) -> None:
        """One step: the action, the latents that it was chosen in, and what came of it."""
        self._actions.append(action)
        self._deters.append(deter)
        self._stochs.append(stoch)
        self._observations.append(observation)
        self._rewards.append(reward)
        self._length += 1
        self._return += reward

    def finish(self, terminated: bool, truncated: bool, info: Mapping[str, Any]) -> SingleAgentEpisode:
        """The episode's last chunk, with its result."""
        chunk = self._chunk(terminated=terminated, truncated=truncated)
        chunk.custom_data[RESULT] = result_of(info, self._return, self._length)
        return chunk

    def cut(self) -> SingleAgentEpisode | None:
        """What there is since the last chunk, or None; the episode goes on."""
        if not self._actions:
            return None
        chunk = self._chunk()
        self._begin_chunk(self._observations[-1])
        return chunk

    @property
    def length(self) -> int:
        """Steps of the episode so far."""
        return self._length

    @property
    def seconds(self) -> float:
        """Since the episode began."""
        return time.perf_counter() - self._began

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
    """How the episode ended that this chunk finishes."""
    told: EpisodeResult = chunk.custom_data[RESULT]
    return told


def steps_of(chunk: SingleAgentEpisode, kind: ActionKind, reward_before: float) -> Steps:
    """The replay's entries of a chunk: one an observation, but not the last one where the episode goes on.

    Args:
        chunk: of m env steps: m entries, or m + 1 where the episode ended (the last one without action or latents).
        kind: tells Discrete actions, which become one-hot, from Box ones.
        reward_before: that came with the chunk's first observation, if the chunk goes on with an episode.
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
    """Actions (m, A) float32."""
    return np.eye(kind.size, dtype=np.float32)[actions] if kind.discrete else actions


def _padded(rows: Array, entries: int) -> Array:
    """With zeros at the end, if there are fewer rows than entries."""
    return np.pad(rows, [(0, entries - len(rows)), (0, 0)]) if len(rows) < entries else rows


def _buffer(data: Any) -> InfiniteLookbackBuffer:
    return InfiniteLookbackBuffer(data=data, lookback=0)
