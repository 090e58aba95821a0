"""A complete update captured once in a CUDA graph, then replayed with one launch: backends `cuda_graph` and `fused`."""

from typing import Protocol

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.first_nonfinite import batch_of, tensors
from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

EAGER_CALLS = 3  # updates before the capture, which create the optimiser's state and the libraries' handles


class Capturable(Protocol):
    """An update that a CUDA graph can capture; all noise comes from its generator."""

    @property
    def device(self) -> torch.device:
        """Device of all tensors."""

    @property
    def generator(self) -> torch.Generator:
        """Generator of all noise."""

    def __call__(self, batch: Batch) -> tuple[dict[str, Tensor], State]:
        """Make an update; return the figures, () each, and the new states (B, T, ...)."""


class CudaGraphUpdate:
    """An update for batches of one shape, replayed as one CUDA graph; what a call returns is valid until the next.

    The first calls are ordinary updates, so that there is no warm-up to undo. The graph refers to the memory of
    parameters and optimiser state: after loading a checkpoint, make a new one.

    Args:
        update: the update to capture.
    """

    def __init__(self, update: Capturable) -> None:
        self.update = update
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        # a higher priority than the streams that the update forks, which use what this one leaves idle
        self._stream = torch.cuda.Stream(update.device, priority=-1)

    def __call__(self, batch: Batch) -> tuple[dict[str, Tensor], State]:
        """Make an update; return the figures, () each, and the new states (B, T, ...)."""
        self._calls += 1
        if self._calls <= EAGER_CALLS:
            return self._eagerly(batch)
        if self._graph is None:
            self._capture(batch)
        assert self._graph is not None
        torch._foreach_copy_(self._inputs, list(tensors(batch).values()))
        self._graph.replay()
        return self._outputs

    def _eagerly(self, batch: Batch) -> tuple[dict[str, Tensor], State]:
        """Run on the stream of the later capture, as torch's notes on CUDA graphs require."""
        now = torch.cuda.current_stream(self.update.device)
        self._stream.wait_stream(now)
        with torch.cuda.stream(self._stream):
            outputs = self.update(batch)
        now.wait_stream(self._stream)
        return outputs

    def _capture(self, batch: Batch) -> None:
        inputs = {name: tensor.clone() for name, tensor in tensors(batch).items()}
        self._inputs = list(inputs.values())
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.update.generator)
        torch.cuda.synchronize(self.update.device)
        # meanwhile the thread that samples may allocate pinned memory and wait for copies, which "global" forbids
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            self._outputs = self.update(batch_of(inputs))
        self._graph = graph
