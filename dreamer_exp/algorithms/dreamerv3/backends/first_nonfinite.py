"""Finding the first update of a call with a figure that isn't finite, without waiting for the device."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

CARRY = "carry_"  # before the names of its parts


class FirstBroken:
    """Looks at each update of a call, and keeps the figures and the batch of the first one that is broken.

    `first` () is the number of the broken update in the call, from 0, or -1; reading it waits for the device.

    Args:
        device: of the updates.
        latch: nothing waits for the device, which copies each batch for that; without, on a CPU, nothing is copied.
    """

    def __init__(self, device: torch.device, *, latch: bool) -> None:
        self._latch = latch
        self.first = torch.full((), -1.0, device=device)
        self._looks = 0
        self._held: list[Tensor] = []

    def look(self, figures: Tensor, batch: Batch) -> None:
        """Takes the figures (F,) and the batch of the next update, neither of which may change afterwards."""
        seen = [figures, *tensors(batch).values()]
        newly = ~figures.isfinite().all() & (self.first < 0)
        self.first = torch.where(newly, float(self._looks), self.first)
        if not self._held or (not self._latch and newly):
            self._held = seen
        elif self._latch:
            self._held = [torch.where(newly, new, old) for new, old in zip(seen, self._held, strict=True)]
        self._looks += 1

    def kept(self) -> tuple[list[float], Batch]:
        """The broken update's figures and batch; only if there was one."""
        figures, *rest = self._held
        return figures.tolist(), batch_of(dict(zip(_names(), rest, strict=True)))


def tensors(batch: Batch) -> dict[str, Tensor]:
    """Every tensor of a batch by its name, those of the carried state as carry_deter and carry_stoch."""
    plain = {field.name: getattr(batch, field.name) for field in fields(Batch) if field.name != "carry"}
    return plain | {CARRY + name: part for name, part in batch.carry._asdict().items()}


def batch_of(named: Mapping[str, Tensor]) -> Batch:
    """The batch of the tensors that `tensors` gives."""
    carry = State(*(named[CARRY + name] for name in State._fields))
    return Batch(**{name: value for name, value in named.items() if not name.startswith(CARRY)}, carry=carry)


def arrays(batch: Batch) -> dict[str, NDArray[Any]]:
    """The same on the host, in numpy."""
    return {name: np.array(tensor.cpu().numpy()) for name, tensor in tensors(batch).items()}


def _names() -> list[str]:
    return [field.name for field in fields(Batch) if field.name != "carry"] + [CARRY + name for name in State._fields]
