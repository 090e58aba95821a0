"""The stock learner's replay in a folder, without pickle: flat .npy arrays and replay.json.

observations.npy (N + E, O), actions.npy (N, ...) and rewards.npy (N,) hold the E episodes' N steps one episode behind
the other, oldest first, each with one observation more than steps; order.npy (N,) holds whose step each of RLlib's
sampling indices is.
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
from dreamer_exp.algorithms.dreamerv3_rllib.replay import NO_INFO, SeededEpisodeReplay

FORMAT = 1
BOOKS = "replay.json"
ORDER = "order.npy"
DATA = ("observations", "actions", "rewards")  # of an episode, and the files' names


def save(replay: SeededEpisodeReplay, folder: Path) -> None:
    """Write the episodes one at a time, and the state that the next draws depend on.

    Not kept, as nothing reads it: infos, model outputs, lookback, custom data, RLlib's metrics of the replay.

    Args:
        replay: whose observations are arrays, not dicts.
        folder: is made; files of the same names in it are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    episodes = replay.episodes
    for name in DATA:
        like = next(_values(replay, name), np.empty(0, np.float32))
        rows = sum(map(len, episodes)) + (len(episodes) if name == "observations" else 0)
        write_array(folder / f"{name}.npy", (rows, *like.shape[1:]), like.dtype, _values(replay, name))
    write_array(folder / ORDER, (len(replay),), np.dtype(np.int32), _order(replay))
    books = {
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
    (folder / BOOKS).write_text(json.dumps(books, allow_nan=False) + "\n", encoding="utf-8")


def load(replay: SeededEpisodeReplay, folder: Path) -> None:
    """Replace the content of the replay by what was saved; the next batches are then equal to those of the saved one.

    With a smaller capacity the oldest episodes stay out, as if they had been evicted.

    Raises:
        ValueError: another format, or a file that ends too early; the replay then holds nothing.
    """
    books = json.loads((folder / BOOKS).read_text(encoding="utf-8"))
    if books["format"] != FORMAT:
        raise ValueError(f"{folder / BOOKS}: format {books['format']}, this version reads {FORMAT}")
    out = _left_out(books["length"], replay.capacity)
    evicted = books["episodes_evicted"] + out
    replay.episodes, replay.episode_id_to_index, replay._indices = deque(), {}, []  # old and new are never both held
    episodes = deque(_episodes(folder, books, out))
    replay._indices = _indices(folder, episodes=len(books["length"]), out=out, evicted=evicted)
    replay.episodes = episodes
    replay.episode_id_to_index = {episode.id_: evicted + place for place, episode in enumerate(episodes)}
    replay._num_timesteps = sum(map(len, episodes))
    replay._num_timesteps_added = books["steps_added"]
    replay._num_episodes_evicted = evicted
    replay.sampled_timesteps = books["steps_sampled"]
    replay.rng.bit_generator.state = books["generator"]


def _left_out(lengths: list[int], capacity: int) -> int:
    """How many of the oldest episodes don't fit; the newest one always does, as in RLlib."""
    held, out = sum(lengths), 0
    while held > capacity and out < len(lengths) - 1:
        held -= lengths[out]
        out += 1
    return out


def _values(replay: SeededEpisodeReplay, name: str) -> Iterator[Array]:
    """Observations (n + 1, O), actions (n, ...) or rewards (n,) of each episode."""
    return (np.asarray(getattr(episode, name).get()) for episode in replay.episodes)


def _episodes(folder: Path, books: dict[str, Any], out: int) -> Iterator[SingleAgentEpisode]:
    """Yield the episodes after the first `out`, as copies."""
    lengths = books["length"]
    row = sum(lengths[:out])
    with (
        open_array(folder / "observations.npy") as observations,
        open_array(folder / "actions.npy") as actions,
        open_array(folder / "rewards.npy") as rewards,
    ):
        for place in range(out, len(lengths)):
            length = lengths[place]
            yield SingleAgentEpisode(
                id_=books["id"][place],
                observations=InfiniteLookbackBuffer(observations.read(row + place, length + 1)),
                infos=InfiniteLookbackBuffer([NO_INFO] * (length + 1)),
                actions=InfiniteLookbackBuffer(actions.read(row, length)),
                rewards=InfiniteLookbackBuffer(rewards.read(row, length)),
                terminated=books["is_terminated"][place],
                truncated=books["is_truncated"][place],
                t_started=books["t_started"][place],
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
    """RLlib's list of (number of the episode, step in it), without the first `out` episodes' steps."""
    with open_array(folder / ORDER) as file:
        order = file.read(0, file.shape[0])
    numbers = [evicted + place for place in range(episodes - out)]  # one object for all steps of an episode
    steps = [count() for _ in numbers]
    return [(numbers[place], next(steps[place])) for place in (order[order >= out] - out).tolist()]
