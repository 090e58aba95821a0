"""Find the first update of a call with a figure that isn't finite, without waiting for the device."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

CARRY = "carry_"  # prefix of the names of the carried state's tensors


class NonFiniteWatch:
    """Checks every update of a call, and keeps figures and batch of the first one that isn't finite.

    Args:
        device: of the updates.
        latch: copy each batch, so that nothing waits for the device; otherwise, on a CPU, nothing is copied.

    Attributes:
        first: (), number of the first non-finite update in the call, from 0, or -1; reading it waits for the device.
    """

    def __init__(self, device: torch.device, *, latch: bool) -> None:
        self._latch = latch
        self.first = torch.full((), -1.0, device=device)
        self._checks = 0
        self._kept: list[Tensor] = []

    def check(self, figures: Tensor, batch: Batch) -> None:
        """Check the next update's figures (F,); they and the batch must not change afterwards."""
        checked = [figures, *tensors(batch).values()]
        is_first = ~figures.isfinite().all() & (self.first < 0)
        self.first = torch.where(is_first, float(self._checks), self.first)
        if not self._kept or (not self._latch and is_first):
            self._kept = checked
        elif self._latch:
            self._kept = [torch.where(is_first, new, old) for new, old in zip(checked, self._kept, strict=True)]
        self._checks += 1

    def figures_and_batch(self) -> tuple[list[float], Batch]:
        """Return figures and batch of the non-finite update; call it only if there was one."""
        figures, *rest = self._kept
        return figures.tolist(), batch_of(dict(zip(_names(), rest, strict=True)))


def tensors(batch: Batch) -> dict[str, Tensor]:
    """Return every tensor of a batch by name; those of the carried state are carry_deter and carry_stoch."""
    plain = {field.name: getattr(batch, field.name) for field in fields(Batch) if field.name != "carry"}
    return plain | {CARRY + name: tensor for name, tensor in batch.carry._asdict().items()}


def batch_of(named: Mapping[str, Tensor]) -> Batch:
    """Return the batch of tensors named as by `tensors`."""
    carry = State(*(named[CARRY + name] for name in State._fields))
    return Batch(**{name: value for name, value in named.items() if not name.startswith(CARRY)}, carry=carry)


def arrays(batch: Batch) -> dict[str, NDArray[Any]]:
    """Return the tensors of a batch by name, as NumPy arrays on the host."""
    return {name: np.array(tensor.cpu().numpy()) for name, tensor in tensors(batch).items()}


def _names() -> list[str]:
    return [field.name for field in fields(Batch) if field.name != "carry"] + [CARRY + name for name in State._fields]
