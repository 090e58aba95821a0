"""Tensors on their way from one device to another, without a wait on the way."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def send(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """A copy on the device; the host goes on at once (pinned memory is freed by torch when the copy is through)."""
    on_cuda = device.type == "cuda"
    tensor = torch.tensor(array)
    return tensor.pin_memory().to(device, non_blocking=True) if on_cuda else tensor


def gather(ring: Tensor, places: Tensor, *, pinned: bool) -> Tensor:
    """ring[places] (N, ...), in pinned memory if a GPU is to fetch it."""
    out = torch.empty((len(places), *ring.shape[1:]), dtype=ring.dtype, device=ring.device, pin_memory=pinned)
    return torch.index_select(ring, 0, places, out=out)


class Transfer:
    """Starts the copies when made; whoever takes the tensors waits, a stream without the host.

    Args:
        tensors: by name; in pinned memory if they go to a GPU.
        device: where they go; those that are there stay as they are.
        side: a stream of the copies' own, beside the one that computes.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], device: torch.device, side: torch.cuda.Stream | None = None
    ) -> None:
        moves = any(tensor.device != device for tensor in tensors.values())
        on_cuda = moves and "cuda" in {device.type, *(tensor.device.type for tensor in tensors.values())}
        self._device = device
        self._done: torch.cuda.Event | None = None
        with torch.cuda.stream(side):  # None: the current one
            self._tensors = {name: tensor.to(device, non_blocking=on_cuda) for name, tensor in tensors.items()}
            if on_cuda:
                self._done = torch.cuda.Event()
                self._done.record()

    def on_stream(self) -> dict[str, Tensor]:
        """The tensors, for work that is queued on the current stream from now on."""
        if self._done is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(self._done)
            for tensor in self._tensors.values():
                if tensor.is_cuda:
                    tensor.record_stream(stream)  # allocated on the side stream, which must not reuse it too early
        return self._tensors

    def on_host(self) -> dict[str, Tensor]:
        """The tensors, for the CPU: waits for the copies, and for nothing queued after them."""
        if self._done is not None:
            self._done.synchronize()
        return self._tensors
