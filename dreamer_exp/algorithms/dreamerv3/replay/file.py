"""File format of the replay: a folder with one .npy file for each field and replay.json, without pickle.

The .npy files hold steps (N, ...) in order of time: those of stream 0, oldest first, then those of stream 1, and so on.
The module reads and fills the rings and windows of `LatentReplay` directly.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamer_exp.algorithms.array_file import PIECE_BYTES, Array, open_array, write_array
from dreamer_exp.algorithms.dreamerv3.replay.buffer import LatentReplay
from dreamer_exp.algorithms.dreamerv3.replay.steps import IS_FIRST, IS_LAST
from dreamer_exp.algorithms.dreamerv3.replay.windows import Ints

FORMAT = 1
LAYOUT = "replay.json"
NETWORK = {  # letters of the glossary whose sizes must agree
    "D": "recurrent units",
    "S": "categoricals",
    "C": "classes of each categorical",
    "O": "observation size",
    "A": "actions",
}


@dataclass(frozen=True)
class Segment:
    """Consecutive steps of a stream.

    Attributes:
        row: of the first step, in the files.
        steps: their number.
        stream: that the steps belong to.
        number: of the first step, in the stream.
    """

    row: int
    steps: int
    stream: int
    number: int


def save(replay: LatentReplay, folder: Path) -> None:
    """Write the steps held and the state of the draws, a few MiB at a time.

    A prefetched batch is cancelled and pending latents are stored first, so that the replay continues exactly as one
    that is loaded from the folder. Without prefetching, saving does not change the replay.

    Args:
        replay: not between its `sample` and `write_back`.
        folder: created if missing; files of the same names are replaced.
    """
    replay._cancel_prefetch()
    replay._finish_write_back()
    folder.mkdir(parents=True, exist_ok=True)
    windows = replay._windows
    held = np.minimum(windows.added, windows.ring)
    segments = _same_layout(windows.added, held)
    for name, field in replay._rings.items():
        slices = (places for segment in segments for _, places in _pieces(segment, windows.ring, field[0].nbytes))
        pieces = (field[places].numpy(force=True) for places in slices)
        write_array(folder / f"{name}.npy", (int(held.sum()), *field.shape[1:]), _dtype(field), pieces)
    layout = {
        "format": FORMAT,
        "num_streams": len(held),
        "ring": windows.ring,
        "added": windows.added.tolist(),
        "held": held.tolist(),
        **windows.state(),
        "network": _network(replay),
    }
    (folder / LAYOUT).write_text(json.dumps(layout, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def load(replay: LatentReplay, folder: Path) -> None:
    """Replace the contents of the replay by what was saved; its next batches are those of the saved one.

    If the number of streams or the capacity differs, the newest steps of each saved stream, as many as fit, are joined
    and cut into equal lengths for the new streams. Every segment that this separates is marked with is_first at its
    start and is_last at its end, so that no window contains a transition that did not happen. Its steps do not form
    fresh windows.

    Raises:
        ValueError: the format or a size of the network differs, or a file does not match replay.json. After a failure
            in a file, the replay is empty.
    """
    layout = json.loads((folder / LAYOUT).read_text(encoding="utf-8"))
    _check(layout, replay, folder)
    replay._cancel_prefetch()
    replay._finish_write_back()
    windows = replay._windows
    added, held = np.array(layout["added"], np.int64), np.array(layout["held"], np.int64)
    same = (layout["num_streams"], layout["ring"]) == (len(windows.added), windows.ring)
    segments = _same_layout(added, held) if same else _new_layout(held, len(windows.added), windows.ring)
    windows.added = np.zeros_like(windows.added)  # the replay stays empty if reading a file fails
    for name, field in replay._rings.items():
        _read(folder / f"{name}.npy", field, int(held.sum()), segments, windows.ring)
    if not same:
        _mark_borders(replay._rings["flags"], segments, windows.ring)
        streams, lengths = [segment.stream for segment in segments], [segment.steps for segment in segments]
        added = np.bincount(streams, lengths, len(windows.added))
        layout["fresh_from"] = np.maximum(added - 1, 0)  # the last step is the context of the next window
    windows.added = added.astype(np.int64)
    windows.load_state(layout)


def _same_layout(added: Ints, held: Ints) -> list[Segment]:
    """Return one segment for each stream; steps keep their numbers."""
    rows = held.cumsum() - held
    return [Segment(*values) for values in np.stack([rows, held, np.arange(len(held)), added - held], axis=1).tolist()]


def _new_layout(held: Ints, num_streams: int, ring: int) -> list[Segment]:
    """Return the segments for another layout; steps are numbered from 0 in each new stream."""
    # where the newest steps of each saved stream end, and where the new streams begin, in the joined steps
    ends = np.minimum(held, num_streams * ring // len(held)).cumsum()
    cuts = ends[-1] * np.arange(num_streams + 1) // num_streams
    segments = []
    for first, last in pairwise(sorted({0, *ends.tolist(), *cuts.tolist()})):
        old = np.searchsorted(ends, first, side="right")
        stream = int(np.searchsorted(cuts, first, side="right")) - 1
        row = int(held[: old + 1].sum() - (ends[old] - first))
        segments.append(Segment(row, last - first, stream, int(first - cuts[stream])))
    return segments


def _mark_borders(flags: Tensor, segments: list[Segment], ring: int) -> None:
    """Set is_first at the start and is_last at the end of each segment."""
    for segment in segments:
        first = segment.stream * ring + segment.number
        flags[first, IS_FIRST] = 1
        flags[first + segment.steps - 1, IS_LAST] = 1


def _read(path: Path, field: Tensor, rows: int, segments: list[Segment], ring: int) -> None:
    """Fill the rings of a field from its file."""
    with open_array(path) as file:
        expected = _dtype(field), (rows, *field.shape[1:])
        if (file.dtype, file.shape) != expected:
            raise ValueError(f"{path}: holds {file.dtype} {file.shape}, expected {expected[0]} {expected[1]}")
        for segment in segments:
            for row, places in _pieces(segment, ring, field[0].nbytes):
                field[places].copy_(torch.from_numpy(file.read(row, places.stop - places.start)))


def _pieces(segment: Segment, ring: int, row_bytes: int) -> Iterator[tuple[int, slice]]:
    """Yield rows of the files with the matching places of the rings, in pieces of at most PIECE_BYTES.

    A piece does not wrap around the ring.
    """
    most, done = max(PIECE_BYTES // row_bytes, 1), 0
    while done < segment.steps:
        place = (segment.number + done) % ring
        steps = min(segment.steps - done, ring - place, most)
        first = segment.stream * ring + place
        yield segment.row + done, slice(first, first + steps)
        done += steps


def _check(layout: dict[str, Any], replay: LatentReplay, folder: Path) -> None:
    """Raise ValueError if the format or the network differs."""
    if layout["format"] != FORMAT:
        raise ValueError(f"{folder / LAYOUT}: format {layout['format']}, this version reads {FORMAT}")
    for letter, number in _network(replay).items():
        if layout["network"][letter] != number:
            raise ValueError(
                f"{folder}: the replay was saved with {letter} ({NETWORK[letter]}) = {layout['network'][letter]}, "
                f"but this network has {number}"
            )


def _network(replay: LatentReplay) -> dict[str, int]:
    size, rings = replay.size, replay._rings
    values = (size.deter, size.stoch, size.classes, replay.observations.size, rings["action"].shape[1])
    return dict(zip(NETWORK, values, strict=True))


def _dtype(field: Tensor) -> np.dtype[Any]:
    empty: Array = field[:0].numpy(force=True)
    return empty.dtype
