"""How the replay stores observation vectors: float32, and a byte for each cell of a grid within [0, 1] or an image."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.observation_parts import Part

OBSERVATION, CELLS = "observation", "cells"  # fields of the replay


class ObservationRows:
    """Division of vectors (n, O) into the replay's fields.

    Values of a grid are kept in steps of 1/255; 0 and 1 exactly.

    Args:
        size: O.
        parts: of the vector; without them, the vector is stored as it is.
    """

    def __init__(self, size: int, parts: Sequence[Part]) -> None:
        self.size = size
        self._parts = parts if any(part.levels for part in parts) else ()
        self._cells = sum(part.size for part in self._parts if part.levels)

    @property
    def fields(self) -> dict[str, tuple[tuple[int], torch.dtype]]:
        """Shape and dtype of a step in each field."""
        columns = {OBSERVATION: (self.size - self._cells, torch.float32), CELLS: (self._cells, torch.uint8)}
        return {name: ((width,), dtype) for name, (width, dtype) in columns.items() if width}

    def split(self, observation: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
        """Return the fields (n, ...) of vectors (n, O)."""
        if not self._parts:
            return {OBSERVATION: observation}
        columns: dict[str, list[NDArray[np.generic]]] = {OBSERVATION: [], CELLS: []}
        for part in self._parts:
            x = observation[:, part.start : part.stop]
            if part.levels:
                columns[CELLS].append((x * part.levels).round().clip(0, 255).astype(np.uint8))
            else:
                columns[OBSERVATION].append(x)
        return {name: np.concatenate(columns[name], 1) for name in self.fields}

    def join(self, fields: Mapping[str, Tensor]) -> Tensor:
        """Return the vectors (n, O) of the fields (n, ...), float32."""
        if not self._parts:
            return fields[OBSERVATION]
        used, columns = {OBSERVATION: 0, CELLS: 0}, []
        for part in self._parts:
            name = CELLS if part.levels else OBSERVATION
            x = fields[name][:, used[name] : used[name] + part.size]
            used[name] += part.size
            columns.append(x.float() / part.levels if part.levels else x)
        return torch.cat(columns, -1)
