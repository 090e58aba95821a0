"""Saving and loading of the steps that wait for a complete batch: flat .npy arrays and collected.json.

observations.npy (N + E, O) and the other arrays (N, ...) contain the N steps of E chunks, in order.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer

from dreamer_exp.algorithms.array_file import open_array, write_array
from dreamer_exp.algorithms.rllib.chunks import NO_INFO, STREAM

FORMAT = 1
STATE = "collected.json"
OUTPUTS = (Columns.ACTION_DIST_INPUTS, Columns.ACTION_LOGP)
NAMES = ("observations", "actions", "rewards", *OUTPUTS)  # of files


def save(chunks: list[SingleAgentEpisode], folder: Path) -> None:
    """Write chunks as env runners recorded them; the results of their episodes are not saved.

    Args:
        chunks: in the order in which they were recorded.
        folder: created if needed; files of the same names in it are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        pieces = [column(chunk, name) for chunk in chunks]
        like = pieces[0] if pieces else np.empty(0, np.float32)
        write_array(folder / f"{name}.npy", (sum(map(len, pieces)), *like.shape[1:]), like.dtype, pieces)
    state = {
        "format": FORMAT,
        "id": [chunk.id_ for chunk in chunks],
        "length": [len(chunk) for chunk in chunks],
        "t_started": [chunk.t_started for chunk in chunks],
        "is_terminated": [bool(chunk.is_terminated) for chunk in chunks],
        "is_truncated": [bool(chunk.is_truncated) for chunk in chunks],
        "stream": [list(chunk.custom_data[STREAM]) for chunk in chunks],
    }
    (folder / STATE).write_text(json.dumps(state, allow_nan=False) + "\n", encoding="utf-8")


def load(folder: Path) -> list[SingleAgentEpisode]:
    """Return the chunks that `save` wrote.

    Raises:
        ValueError: the format is unknown, or a file is too short.
    """
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    if state["format"] != FORMAT:
        raise ValueError(f"{folder / STATE}: format {state['format']}, this version reads {FORMAT}")
    columns = {name: _pieces(folder / f"{name}.npy", state["length"], int(name == "observations")) for name in NAMES}
    return [
        _chunk({name: next(pieces) for name, pieces in columns.items()}, state, place)
        for place in range(len(state["length"]))
    ]


def column(chunk: SingleAgentEpisode, name: str) -> NDArray[Any]:
    """Return an array of a chunk by the name of its file."""
    buffer = chunk.extra_model_outputs[name] if name in OUTPUTS else getattr(chunk, name)
    values: NDArray[Any] = buffer.data
    return values


def _pieces(path: Path, lengths: list[int], further: int) -> Iterator[NDArray[Any]]:
    """Yield the rows of each chunk, which has this many more rows than steps."""
    row = 0
    with open_array(path) as file:
        for length in lengths:
            yield file.read(row, length + further)
            row += length + further


def _chunk(columns: dict[str, NDArray[Any]], state: dict[str, Any], place: int) -> SingleAgentEpisode:
    length = state["length"][place]
    chunk = SingleAgentEpisode(
        id_=state["id"][place],
        observations=InfiniteLookbackBuffer(columns["observations"]),
        infos=InfiniteLookbackBuffer([NO_INFO] * (length + 1)),
        actions=InfiniteLookbackBuffer(columns["actions"]),
        rewards=InfiniteLookbackBuffer(columns["rewards"]),
        extra_model_outputs={name: InfiniteLookbackBuffer(columns[name]) for name in OUTPUTS},
        terminated=state["is_terminated"][place],
        truncated=state["is_truncated"][place],
        t_started=state["t_started"][place],
        len_lookback_buffer=0,
    )
    chunk.custom_data[STREAM] = tuple(state["stream"][place])
    return chunk
