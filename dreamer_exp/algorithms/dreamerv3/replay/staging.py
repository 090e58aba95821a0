"""Transfers of tensors between devices that do not block the host."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def send(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """Return a copy of the array on the device, without waiting for the copy.

    On its way to a GPU it passes through pinned memory, which torch frees when the copy has finished.
    """
    tensor = torch.tensor(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def join(arrays: Sequence[NDArray[np.generic]], dtype: torch.dtype, *, pinned: bool) -> Tensor:
    """Return arrays (n, ...) one after the other, in pinned memory if `pinned` (for a copy to a GPU)."""
    rows = sum(map(len, arrays))
    out = torch.empty((rows, *arrays[0].shape[1:]), dtype=dtype, pin_memory=pinned)
    np.concatenate(arrays, out=out.numpy(), casting="same_kind")
    return out


def gather(ring: Tensor, places: Tensor, *, pinned: bool) -> Tensor:
    """Return ring[places] (N, ...) for places (N,), in pinned memory if `pinned` (for a copy to a GPU)."""
    out = torch.empty((len(places), *ring.shape[1:]), dtype=ring.dtype, device=ring.device, pin_memory=pinned)
    return torch.index_select(ring, 0, places, out=out)


class Transfer:
    """Copies of tensors on another device, started at construction; only their reader waits for them.

    Args:
        tensors: by name, in pinned memory if they go to a GPU.
        device: destination; tensors that are there already are not copied.
        side: CUDA stream for the copies; None for the current one.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], device: torch.device, side: torch.cuda.Stream | None = None
    ) -> None:
        moves = any(tensor.device != device for tensor in tensors.values())
        on_cuda = moves and "cuda" in {device.type, *(tensor.device.type for tensor in tensors.values())}
        self._device = device
        self._done: torch.cuda.Event | None = None
        with torch.cuda.stream(side):
            self._tensors = {name: tensor.to(device, non_blocking=on_cuda) for name, tensor in tensors.items()}
            if on_cuda:
                self._done = torch.cuda.Event()
                self._done.record()

    def on_stream(self) -> dict[str, Tensor]:
        """Return the tensors for work queued on the current stream, which waits for the copies; the host does not."""
        if self._done is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(self._done)
            for tensor in self._tensors.values():
                if tensor.is_cuda:
                    tensor.record_stream(stream)  # the side stream allocated it, and must not reuse it too early
        return self._tensors

    def on_host(self) -> dict[str, Tensor]:
        """Return the tensors for the CPU; wait for the copies, but not for work queued after them."""
        if self._done is not None:
            self._done.synchronize()
        return self._tensors
