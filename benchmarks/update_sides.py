"""The learners that update_time.py compares: `dreamerv3` on one of its backends, and RLlib's."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.cuda_graph import CudaGraphUpdate
from dreamer_exp.algorithms.dreamerv3.backends.eager import EagerUpdate
from dreamer_exp.algorithms.dreamerv3.backends.first_nonfinite import batch_of, tensors
from dreamer_exp.algorithms.dreamerv3.backends.requirements import why_not_fused
from dreamer_exp.algorithms.dreamerv3.backends.select import select_backend
from dreamer_exp.algorithms.dreamerv3.config import DreamerV3Algo
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, ReturnRange
from dreamer_exp.algorithms.dreamerv3.optimizer import LaProp
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES, NetworkSize
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

ACTIONS = 2
BACKENDS = ("eager", "cuda_graph", "fused")


@dataclass(frozen=True)
class Work:
    """The update that is timed."""

    size: str
    batch: int
    length: int
    horizon: int
    observation: int
    device: str
    dtype: str
    backends: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        return self.batch, self.length

    @property
    def why_not_fused(self) -> str:
        return why_not_fused(
            DreamerV3Algo(
                batch_size_B=self.batch, horizon_H=self.horizon, precision=self.dtype, network=SIZES[self.size]
            )
        )


class DreamerV3Side:
    """A callable that makes one update of `dreamerv3` and returns its seconds."""

    def __init__(self, work: Work, backend: str) -> None:
        self.work, self.device, self.size = work, torch.device(work.device), SIZES[work.size]
        self.update, name, why = select_backend(eager_update(work), backend, work.dtype, work.shape)
        if name != backend:
            raise SystemExit(f"{backend}: {why}")

    def __call__(self) -> float:
        batch = self._batch()
        return timed(lambda: self.update(to(batch, self.device)), self.work.device)

    def sections(self) -> dict[str, float]:
        """Return milliseconds by section of the fused backend."""
        from dreamer_exp.algorithms.dreamerv3.backends.fused.profiling import sections
        from dreamer_exp.algorithms.dreamerv3.backends.fused.update import FusedUpdate

        assert isinstance(self.update, CudaGraphUpdate)
        assert isinstance(self.update.update, FusedUpdate)
        return sections(self.update.update, to(self._batch(), self.device))

    def _batch(self) -> Batch:
        return staged(dreamerv3_batch(self.work, self.size), self.device)


def eager_update(work: Work) -> EagerUpdate:
    """Return the eager backend's update of a new network."""
    torch.manual_seed(0)
    device = torch.device(work.device)
    agent = Agent(SIZES[work.size], work.observation, ActionKind(ACTIONS, discrete=False)).to(device)
    return EagerUpdate(
        agent=agent,
        optimizer=LaProp([parameter for parameter in agent.parameters() if parameter.requires_grad]),
        returns=ReturnRange(torch.zeros((), device=device), torch.zeros((), device=device)),
        config=LossConfig(horizon_H=work.horizon),
        generator=torch.Generator(device).manual_seed(0),
        bfloat16=work.dtype == "bfloat16",
    )


def dreamerv3_batch(work: Work, size: NetworkSize) -> Batch:
    numbers = random_numbers(work)
    classes = torch.randint(size.classes, (work.batch, size.stoch))
    latent = torch.nn.functional.one_hot(classes, size.classes).flatten(1).float()
    return Batch(
        observation=torch.from_numpy(numbers["obs"]),
        action=torch.from_numpy(numbers["actions"]),
        previous_action=torch.rand(work.batch, ACTIONS) * 2 - 1,
        reward=torch.from_numpy(numbers["rewards"]),
        is_first=torch.from_numpy(numbers["is_first"]),
        is_last=torch.from_numpy(numbers["is_last"]),
        is_terminal=torch.from_numpy(numbers["is_terminated"]),
        carry=State(torch.tanh(torch.randn(work.batch, size.deter)), latent),
    )


def staged(batch: Batch, device: torch.device) -> Batch:
    """Return the batch in the kind of memory that the replay uses for this device."""
    pinned = device.type == "cuda"
    return batch_of({name: tensor.pin_memory() if pinned else tensor for name, tensor in tensors(batch).items()})


def to(batch: Batch, device: torch.device) -> Batch:
    return batch_of({name: tensor.to(device, non_blocking=True) for name, tensor in tensors(batch).items()})


def rllib_side(work: Work) -> Callable[[], float]:
    """Return a function that makes one update of RLlib's DreamerV3 learner and returns its seconds."""
    import gymnasium
    from ray.rllib.algorithms.dreamerv3 import DreamerV3Config
    from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
    from ray.rllib.policy.sample_batch import SampleBatch
    from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

    spaces = (
        gymnasium.spaces.Box(-np.inf, np.inf, (work.observation,), np.float32),
        gymnasium.spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32),
    )
    config = DreamerV3Config().framework("torch").debugging(seed=0, log_level="CRITICAL")
    config.training(
        model_size="XS", batch_size_B=work.batch, batch_length_T=work.length, horizon_H=work.horizon
    ).learners(num_learners=0, num_gpus_per_learner=1 if work.device == "cuda" else 0)
    names = ("default_policy", INPUT_ENV_SPACES, INPUT_ENV_SINGLE_SPACES)
    learner = config.build_learner_group(spaces=dict.fromkeys(names, spaces))

    def once() -> float:
        batch = SampleBatch(random_numbers(work)).as_multi_agent()
        return timed(lambda: learner.update(batch=batch, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 0}), work.device)

    return once


def random_numbers(work: Work) -> dict[str, np.ndarray]:
    """Return a batch with RLlib's names, (B, T, ...) float32; every sequence starts an episode, and none ends."""
    rng = np.random.default_rng()
    starts = np.zeros(work.shape, np.float32)
    starts[:, 0] = 1.0
    return {
        "obs": rng.standard_normal((*work.shape, work.observation), np.float32),
        "actions": rng.uniform(-1, 1, (*work.shape, ACTIONS)).astype(np.float32),
        "rewards": rng.standard_normal(work.shape, np.float32),
        "is_first": starts,
        "is_last": np.zeros(work.shape, np.float32),
        "is_terminated": np.zeros(work.shape, np.float32),
    }


def timed(update: Callable[[], Any], device: str) -> float:
    synchronise(device)
    started = time.perf_counter()
    update()
    synchronise(device)
    return time.perf_counter() - started


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
