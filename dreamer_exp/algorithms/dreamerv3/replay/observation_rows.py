"""How the replay stores observation vectors.

Cells of a grid within [0, 1] and numbers of uint8 are bytes, rays within narrow bounds are float16, all other numbers
float32.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.observation_parts import Part

OBSERVATION, CELLS, HALVES = "observation", "cells", "halves"  # fields of the replay
DTYPES = {OBSERVATION: torch.float32, CELLS: torch.uint8, HALVES: torch.float16}


class ObservationRows:
    """Division of vectors (n, O) into the replay's fields.

    Values of a grid are kept in steps of 1/255; 0 and 1 exactly.

    Args:
        size: O.
        parts: of the vector; without them, the vector is stored as it is.
    """

    def __init__(self, size: int, parts: Sequence[Part]) -> None:
        self.size = size
        self._parts = parts if any(_field(part) != OBSERVATION for part in parts) else ()

    @property
    def fields(self) -> dict[str, tuple[tuple[int], torch.dtype]]:
        """Shape and dtype of a step in each field."""
        widths = dict.fromkeys(DTYPES, 0) if self._parts else {OBSERVATION: self.size}
        for part in self._parts:
            widths[_field(part)] += part.size
        return {name: ((width,), DTYPES[name]) for name, width in widths.items() if width}

    def split(self, observation: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
        """Return the fields (n, ...) of vectors (n, O)."""
        if not self._parts:
            return {OBSERVATION: observation}
        columns: dict[str, list[NDArray[np.generic]]] = {name: [] for name in self.fields}
        for part in self._parts:
            columns[_field(part)].append(_stored(observation[:, part.start : part.stop], part))
        return {name: np.concatenate(pieces, 1) for name, pieces in columns.items()}

    def join(self, fields: Mapping[str, Tensor]) -> Tensor:
        """Return the vectors (n, O) of the fields (n, ...), float32."""
        if not self._parts:
            return fields[OBSERVATION]
        used, columns = dict.fromkeys(self.fields, 0), []
        for part in self._parts:
            name = _field(part)
            x = fields[name][:, used[name] : used[name] + part.size].float()
            used[name] += part.size
            columns.append(x / part.levels if part.levels else x)
        return torch.cat(columns, -1)


def _field(part: Part) -> str:
    """Return the name of the field that an entry is in."""
    return CELLS if part.levels else HALVES if part.half else OBSERVATION


def _stored(x: NDArray[np.float32], part: Part) -> NDArray[np.generic]:
    """Return the numbers (n, size) of an entry as its field keeps them."""
    if part.levels:
        return (x * part.levels).round().clip(0, 255).astype(np.uint8)
    return x.astype(np.float16) if part.half else x
