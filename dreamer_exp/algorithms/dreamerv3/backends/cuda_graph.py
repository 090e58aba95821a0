"""A whole update captured once in a CUDA graph, then replayed with one launch: backends `cuda_graph` and `fused`."""

from typing import Protocol

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.first_nonfinite import batch_of, tensors
from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

EAGER_CALLS = 3  # real updates before the capture: they make the optimiser's state and the libraries' handles


class Capturable(Protocol):
    """An Update, or what is called like one; all of its noise is the generator's."""

    @property
    def device(self) -> torch.device:
        """Where everything is."""

    @property
    def generator(self) -> torch.Generator:
        """Of the noise."""

    def __call__(self, batch: Batch) -> tuple[dict[str, Tensor], State]:
        """The figures, each (), and the new states (B, T, ...)."""


class GraphedUpdate:
    """Called like the update it wraps, with batches of one shape; what it returns lasts until the next call.

    The first calls run eagerly, so that nothing has to be undone after a warm-up. Capturing pins the memory of
    parameters and optimiser state: after loading a checkpoint, make a new one.
    """

    def __init__(self, update: Capturable) -> None:
        self.update = update
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        # before the streams that the update itself forks off, which fill what this one leaves idle
        self._stream = torch.cuda.Stream(update.device, priority=-1)

    def __call__(self, batch: Batch) -> tuple[dict[str, Tensor], State]:
        """The figures, each (), and the new states (B, T, ...)."""
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
        """On the stream of the capture to come, as torch's notes on CUDA graphs ask."""
        now = torch.cuda.current_stream(self.update.device)
        self._stream.wait_stream(now)
        with torch.cuda.stream(self._stream):
            outputs = self.update(batch)
        now.wait_stream(self._stream)
        return outputs

    def _capture(self, batch: Batch) -> None:
        held = {name: tensor.clone() for name, tensor in tensors(batch).items()}
        self._inputs = list(held.values())
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.update.generator)
        torch.cuda.synchronize(self.update.device)
        with torch.cuda.graph(graph, stream=self._stream):
            self._outputs = self.update(batch_of(held))
        self._graph = graph
