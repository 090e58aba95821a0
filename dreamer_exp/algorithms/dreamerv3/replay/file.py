"""The fast learner's replay in a folder, without pickle: one .npy file a ring, and replay.json.

The files hold no ring but steps (N, ...) in time's order: those of stream 0, oldest first, then those of stream 1, ...
This is the replay's other half, so it reads and fills the rings and windows themselves.
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
from dreamer_exp.algorithms.dreamerv3.replay.buffer import IS_FIRST, IS_LAST, Ints, LatentReplay

FORMAT = 1
LAYOUT = "replay.json"
NUMBERS = {  # of the glossary, that must agree
    "D": "recurrent units",
    "S": "categoricals",
    "C": "classes of each categorical",
    "O": "observation size",
    "A": "actions",
}


@dataclass(frozen=True)
class Part:
    """Consecutive steps: rows `row` to `row + steps` of the files are a stream's steps from `number` on."""

    row: int
    steps: int
    stream: int
    number: int


def save(replay: LatentReplay, folder: Path) -> None:
    """Writes the steps held and what the next draws depend on; some MiB at a time, from a GPU too.

    A batch that was drawn ahead is given back first and latents on their way are written, so that the replay goes on
    exactly as one that is loaded from the folder does. Without `ahead`, saving changes nothing.

    Args:
        replay: not between its `sample` and `write_back`.
        folder: is made; files of the same names in it are replaced.
    """
    replay._undraw()
    replay._settle()
    folder.mkdir(parents=True, exist_ok=True)
    windows = replay._windows
    held = np.minimum(windows.added, windows.ring)
    parts = _as_saved(windows.added, held)
    for name, field in replay._rings.items():
        slices = (places for part in parts for _, places in _pieces(part, windows.ring, field[0].nbytes))
        pieces = (field[places].numpy(force=True) for places in slices)
        write_array(folder / f"{name}.npy", (int(held.sum()), *field.shape[1:]), _dtype(field), pieces)
    layout = {
        "format": FORMAT,
        "num_streams": len(held),
        "ring": windows.ring,
        "added": windows.added.tolist(),
        "held": held.tolist(),
        **windows.draws(),
        "network": _network(replay),
    }
    (folder / LAYOUT).write_text(json.dumps(layout, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def load(replay: LatentReplay, folder: Path) -> None:
    """Replaces what the replay holds by what was saved; the same batches are drawn from it then.

    With another number of streams or another capacity, the newest steps of each old stream, as many as fit, are laid
    end to end and cut into as many equal lengths as there are streams now. Each piece that so comes to stand alone
    begins with is_first and ends with is_last: no window trusts a transition that never was. Those steps count as used
    fresh.

    Raises:
        ValueError: D, S, C, O or A is another one, or a file is not what replay.json says (nothing is held then).
    """
    layout = json.loads((folder / LAYOUT).read_text(encoding="utf-8"))
    _check(layout, replay, folder)
    replay._undraw()
    replay._settle()
    windows = replay._windows
    added, held = np.array(layout["added"], np.int64), np.array(layout["held"], np.int64)
    as_saved = (layout["num_streams"], layout["ring"]) == (len(windows.added), windows.ring)
    parts = _as_saved(added, held) if as_saved else _dealt(held, len(windows.added), windows.ring)
    windows.added = np.zeros_like(windows.added)  # should a file fail now, the replay holds nothing
    for name, field in replay._rings.items():
        _read(folder / f"{name}.npy", field, int(held.sum()), parts, windows.ring)
    if not as_saved:
        _close(replay._rings["flags"], parts, windows.ring)
        added = np.bincount([part.stream for part in parts], [part.steps for part in parts], len(windows.added))
        layout["fresh_from"] = np.maximum(added - 1, 0)  # the last one is the context of those to come
    windows.added = added.astype(np.int64)
    windows.set_draws(layout)


def _as_saved(added: Ints, held: Ints) -> list[Part]:
    """One part a stream, under the numbers that its steps have."""
    rows = held.cumsum() - held
    return [Part(*part) for part in np.stack([rows, held, np.arange(len(held)), added - held], axis=1).tolist()]


def _dealt(held: Ints, num_streams: int, ring: int) -> list[Part]:
    """The parts of another layout; steps are counted anew."""
    ends = np.minimum(held, num_streams * ring // len(held)).cumsum()  # of the old streams' newest steps, end to end
    cuts = ends[-1] * np.arange(num_streams + 1) // num_streams
    borders = sorted({0, *ends.tolist(), *cuts.tolist()})
    parts = []
    for first, last in pairwise(borders):
        old = np.searchsorted(ends, first, side="right")
        stream = int(np.searchsorted(cuts, first, side="right")) - 1
        row = int(held[: old + 1].sum() - (ends[old] - first))
        parts.append(Part(row, last - first, stream, int(first - cuts[stream])))
    return parts


def _close(flags: Tensor, parts: list[Part], ring: int) -> None:
    """Cuts each part off from what was or comes before and behind it."""
    for part in parts:
        flags[part.stream * ring + part.number, IS_FIRST] = 1
        flags[part.stream * ring + part.number + part.steps - 1, IS_LAST] = 1


def _read(path: Path, field: Tensor, rows: int, parts: list[Part], ring: int) -> None:
    """Fills a field's rings from its file."""
    with open_array(path) as file:
        if (file.dtype, file.shape) != (_dtype(field), (rows, *field.shape[1:])):
            raise ValueError(f"{path}: {file.dtype} {file.shape} is not what {LAYOUT} says")
        for part in parts:
            for row, places in _pieces(part, ring, field[0].nbytes):
                field[places].copy_(torch.from_numpy(file.read(row, places.stop - places.start)))


def _pieces(part: Part, ring: int, row_bytes: int) -> Iterator[tuple[int, slice]]:
    """A part's rows and places in the flat rings, in pieces of PIECE_BYTES at most that don't wrap around."""
    most, done = max(PIECE_BYTES // row_bytes, 1), 0
    while done < part.steps:
        place = (part.number + done) % ring
        steps = min(part.steps - done, ring - place, most)
        first = part.stream * ring + place
        yield part.row + done, slice(first, first + steps)
        done += steps


def _check(layout: dict[str, Any], replay: LatentReplay, folder: Path) -> None:
    """Raises ValueError where the network is another one."""
    if layout["format"] != FORMAT:
        raise ValueError(f"{folder / LAYOUT}: format {layout['format']}, this version reads {FORMAT}")
    for letter, number in _network(replay).items():
        if layout["network"][letter] != number:
            raise ValueError(
                f"{folder}: the replay was saved with {letter} ({NUMBERS[letter]}) = {layout['network'][letter]}, "
                f"here it is {number}"
            )


def _network(replay: LatentReplay) -> dict[str, int]:
    size, rings = replay.size, replay._rings
    values = (size.deter, size.stoch, size.classes, rings["observation"].shape[1], rings["action"].shape[1])
    return dict(zip(NUMBERS, values, strict=True))


def _dtype(field: Tensor) -> np.dtype[Any]:
    nothing: Array = field[:0].numpy(force=True)
    return nothing.dtype
