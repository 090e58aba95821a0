"""Saving and loading of RLlib's replay: flat .npy arrays and replay.json, without pickle.

observations.npy (N + E, O), actions.npy (N, ...) and rewards.npy (N,) contain the N steps of E episodes, the oldest
episode first. An episode has one observation more than steps. order.npy (N,) contains, for each of RLlib's sampling
indices, the place of its episode.
"""

import json
from collections import deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer

from dreamer_exp.algorithms.array_file import PIECE_BYTES, Array, open_array, write_array
from dreamer_exp.algorithms.dreamerv3_rllib.replay import SeededEpisodeReplay
from dreamer_exp.algorithms.rllib.chunks import NO_INFO

FORMAT = 1
STATE = "replay.json"
ORDER = "order.npy"
DATA = ("observations", "actions", "rewards")  # attributes of an episode and names of files


def save(replay: SeededEpisodeReplay, folder: Path) -> None:
    """Write the episodes one at a time, and the state that the next draws depend on.

    Infos, model outputs, lookback, custom data and RLlib's metrics of the replay are not saved, because nothing reads
    them.

    Args:
        replay: The replay; its observations must be arrays.
        folder: Created if needed; files of the same names in it are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    episodes = replay.episodes
    for name in DATA:
        like = next(_values(replay, name), np.empty(0, np.float32))
        rows = sum(map(len, episodes)) + (len(episodes) if name == "observations" else 0)
        write_array(folder / f"{name}.npy", (rows, *like.shape[1:]), like.dtype, _values(replay, name))
    write_array(folder / ORDER, (len(replay),), np.dtype(np.int32), _order(replay))
    state = {
        "format": FORMAT,
        "steps_added": replay._num_timesteps_added,
        "steps_sampled": replay.sampled_timesteps,
        "episodes_evicted": replay._num_episodes_evicted,
        "generator": replay.rng.bit_generator.state,
        "id": [episode.id_ for episode in episodes],
        "length": [len(episode) for episode in episodes],
        "t_started": [episode.t_started for episode in episodes],
        "is_terminated": [bool(episode.is_terminated) for episode in episodes],
        "is_truncated": [bool(episode.is_truncated) for episode in episodes],
    }
    (folder / STATE).write_text(json.dumps(state, allow_nan=False) + "\n", encoding="utf-8")


def load(replay: SeededEpisodeReplay, folder: Path) -> None:
    """Replace the content of the replay by what was saved; the next batches are then equal to those of the saved one.

    With a smaller capacity, the oldest episodes are left out as if they had been evicted.

    Raises:
        ValueError: The format is unknown, or a file is too short; the replay is then empty.
    """
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    if state["format"] != FORMAT:
        raise ValueError(f"{folder / STATE}: format {state['format']}, this version reads {FORMAT}")
    out = _left_out(state["length"], replay.capacity)
    evicted = state["episodes_evicted"] + out
    replay.episodes, replay.episode_id_to_index, replay._indices = deque(), {}, []  # frees the old steps first
    episodes = deque(_episodes(folder, state, out))
    replay._indices = _indices(folder, episodes=len(state["length"]), out=out, evicted=evicted)
    replay.episodes = episodes
    replay.episode_id_to_index = {episode.id_: evicted + place for place, episode in enumerate(episodes)}
    replay._num_timesteps = sum(map(len, episodes))
    replay._num_timesteps_added = state["steps_added"]
    replay._num_episodes_evicted = evicted
    replay.sampled_timesteps = state["steps_sampled"]
    replay.rng.bit_generator.state = state["generator"]


def _left_out(lengths: list[int], capacity: int) -> int:
    """Return how many of the oldest episodes exceed the capacity; the newest one is always kept, as in RLlib."""
    steps, out = sum(lengths), 0
    while steps > capacity and out < len(lengths) - 1:
        steps -= lengths[out]
        out += 1
    return out


def _values(replay: SeededEpisodeReplay, name: str) -> Iterator[Array]:
    """Yield observations (n + 1, O), actions (n, ...) or rewards (n,) of each episode."""
    return (np.asarray(getattr(episode, name).get()) for episode in replay.episodes)


def _episodes(folder: Path, state: dict[str, Any], out: int) -> Iterator[SingleAgentEpisode]:
    """Yield the episodes after the first `out`, as copies."""
    lengths = state["length"]
    row = sum(lengths[:out])
    with (
        open_array(folder / "observations.npy") as observations,
        open_array(folder / "actions.npy") as actions,
        open_array(folder / "rewards.npy") as rewards,
    ):
        for place in range(out, len(lengths)):
            length = lengths[place]
            yield SingleAgentEpisode(
                id_=state["id"][place],
                observations=InfiniteLookbackBuffer(observations.read(row + place, length + 1)),
                infos=InfiniteLookbackBuffer([NO_INFO] * (length + 1)),
                actions=InfiniteLookbackBuffer(actions.read(row, length)),
                rewards=InfiniteLookbackBuffer(rewards.read(row, length)),
                terminated=state["is_terminated"][place],
                truncated=state["is_truncated"][place],
                t_started=state["t_started"][place],
                len_lookback_buffer=0,
            )
            row += length


def _order(replay: SeededEpisodeReplay) -> Iterator[Array]:
    """Yield the place of the episode of each sampling index; the steps of an episode are in order."""
    most = PIECE_BYTES // np.dtype(np.int32).itemsize
    for first in range(0, len(replay), most):
        piece = replay._indices[first : first + most]
        yield np.fromiter((number - replay._num_episodes_evicted for number, _ in piece), np.int32, len(piece))


def _indices(folder: Path, *, episodes: int, out: int, evicted: int) -> list[tuple[int, int]]:
    """Return RLlib's list of (number of the episode, step in it), without the first `out` episodes."""
    with open_array(folder / ORDER) as file:
        order = file.read(0, file.shape[0])
    numbers = [evicted + place for place in range(episodes - out)]  # one object for all steps of an episode
    steps = [count() for _ in numbers]
    return [(numbers[place], next(steps[place])) for place in (order[order >= out] - out).tolist()]
