"""RLlib's torch learner with figures of every update, an end at the first that is not finite, and a complete state."""

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate
from dreamer_exp.algorithms.rllib.base_algorithm import BaseAlgorithm
from dreamer_exp.algorithms.rllib.extra_state import EXTRA_STATE, ExtraState
from dreamer_exp.envs.seeds import derive_seed

GRAD_NORM, TOTAL = "grad_norm", "total_loss"
NOISE_STREAM = 5  # spawn key of the learner's noise
TIMESTEPS = {NUM_ENV_STEPS_SAMPLED_LIFETIME: 0}  # of schedules, which there are none of


class CheckedLearner(ExtraState, TorchLearner):  # type: ignore[misc]  # RLlib is untyped
    """Part of a learner, to be put before one of RLlib's, that differs from RLlib 2.60:

    - Its figures are those of every update; RLlib's are those of the last minibatch.
    - The first loss or gradient that is not finite ends the updates; RLlib replaces such gradients by numbers.
    - Its state has what the next update depends on; RLlib's lacks numbers that are neither weights nor of an optimiser.

    Attributes:
        logged: names of RLlib's metrics of an update.
        updates_made: number of updates since the run began, across checkpoints.
    """

    logged: ClassVar[tuple[str, ...]]
    updates_made: int

    def build(self) -> None:
        """Build module and optimisers as RLlib does."""
        super().build()
        torch.set_num_threads(1)  # further threads wait for each other where networks and batches are small
        self.updates_made = 0
        self._sums: Counter[str] = Counter()
        self._figures: dict[str, float] = {}
        self._batch: Any = None

    def update_once(self, batch: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Make one update with a batch; return its figures.

        Raises:
            NonFiniteUpdate: a figure is not finite; nothing was changed.
        """
        self.update(
            batch=MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(dict(batch))}, env_steps=len(batch["obs"])),
            timesteps=TIMESTEPS,
            _no_metrics_reduce=True,
        )
        return self._figures

    def compute_losses(self, *, fwd_out: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
        """Return RLlib's loss; raise NonFiniteUpdate if it is not finite."""
        losses: dict[str, Any] = super().compute_losses(fwd_out=fwd_out, batch=batch)
        figures = {name: torch.as_tensor(self.metrics.peek((DEFAULT_MODULE_ID, name))) for name in self.logged}
        figures = {TOTAL: losses[DEFAULT_MODULE_ID], **figures}
        self._figures = {name: float(value.detach()) for name, value in figures.items()}
        self._batch = batch[DEFAULT_MODULE_ID]
        self._check(TOTAL)
        return losses

    def postprocess_gradients(self, gradients_dict: dict[Any, Any]) -> dict[Any, Any]:
        """Return the clipped gradients; raise NonFiniteUpdate if their norm is not finite."""
        norms = [torch.linalg.vector_norm(grad) for grad in gradients_dict.values()]
        self._figures[GRAD_NORM] = float(torch.linalg.vector_norm(torch.stack(norms)))
        self._check(GRAD_NORM)
        self._sums.update(self._figures)  # Counter.update adds
        self.updates_made += 1
        clipped: dict[Any, Any] = super().postprocess_gradients(gradients_dict)
        return clipped

    def _check(self, name: str) -> None:
        if not math.isfinite(self._figures[name]):
            batch, number = arrays(self._batch), self.updates_made + 1
            raise NonFiniteUpdate(number, self._figures, batch, self.get_extra_state(), untouched=True)

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a state, whichever updates were made since."""
        self._weights_seq_no = 0  # RLlib 2.60 keeps the weights if they are newer than those of the state
        super().set_state(state)
        if EXTRA_STATE in state:
            self.set_extra_state(state[EXTRA_STATE])

    @abstractmethod
    def get_extra_state(self) -> dict[str, Any]:
        """Return what an update depends on apart from weights and optimisers."""

    @abstractmethod
    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_extra_state` returned."""


def replay_update(
    learner: CheckedLearner, batch: Mapping[str, NDArray[Any]], state: Mapping[str, Any]
) -> dict[str, float]:
    """Compute an update from a batch and the learner's extra state, if it is known; return its figures."""
    if state:
        learner.set_extra_state(state)
    try:
        return learner.update_once(batch)
    except NonFiniteUpdate as update:
        return update.figures


def seed_learner(algorithm: BaseAlgorithm, number: int, *, again: bool = False) -> None:
    """Seed what the first learner draws by the env steps at a checkpoint, or `again` after a divergence.

    A checkpoint can then do without the state of its generators, which are in another process or on a GPU.
    """
    seed = derive_seed(algorithm.config.seed, (NOISE_STREAM, int(again), number))
    algorithm.on_learner(partial(seed_noise, seed=seed))


def seed_noise(learner: CheckedLearner, seed: int) -> None:
    """Seed the generators that a learner draws from: numpy's for minibatches, torch's for actions."""
    np.random.seed(seed % 2**32)  # noqa: NPY002  # RLlib's SampleBatch.shuffle draws from it
    torch.manual_seed(seed)


def arrays(batch: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the numbers of a batch as arrays on the host."""
    found = {name: _array(value) for name, value in batch.items()}
    return {name: value for name, value in found.items() if value is not None}


def _array(value: Any) -> NDArray[Any] | None:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    return value if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" else None
