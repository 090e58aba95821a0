"""An update done again, by either learner on the CPU, to see where its numbers stop being finite."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import Learner
from ray.rllib.policy.sample_batch import SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import dreamer_exp
from dreamer_exp.algorithms.dreamerv3.backends.first_nonfinite import batch_of
from dreamer_exp.algorithms.dreamerv3.learner import AgentLearner
from dreamer_exp.algorithms.nonfinite import figures_of, is_nonfinite
from dreamer_exp.algorithms.rllib.build import build_config
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract

OURS = (str(Path(dreamer_exp.__file__).parent / "algorithms"), "dreamerv3")  # in the paths of code that a reader knows
UNSET = ("empty", "new_empty", "resize")  # operations that give memory, not numbers


@dataclass(frozen=True)
class UpdateReplay:
    """What came of it: figures by the learner's names, and the first thing that isn't finite, in words."""

    figures: dict[str, float]
    first: str | None


def replay(
    experiment: Experiment,
    contract: ObservationContract,
    batch: Mapping[str, NDArray[Any]],
    weights: Mapping[str, Tensor] | None,
    state: Mapping[str, Any],
) -> UpdateReplay:
    """Does the update.

    Args:
        experiment: the run's; where and how fast it computed doesn't matter here.
        contract: its environment's, for the sizes.
        batch: by the learner's names (`NonFiniteUpdate.batch`).
        weights: of the whole network; None: those that the run began with.
        state: `NonFiniteUpdate.state`.
    """
    learner = _learner(experiment, contract, batch)
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    if weights is not None:
        module.load_state_dict(dict(weights))
    if state:
        learner.set_extra_state(state)
    known = {f"batch: {name}": torch.as_tensor(value) for name, value in batch.items()}
    trained = {name: value.detach() for name, value in module.named_parameters() if value.requires_grad}
    known |= {f"weight: {name}": value for name, value in trained.items()}
    before = next((f"{name}{_index(value)}" for name, value in known.items() if not _finite(value)), None)
    with FirstNonFinite() as operations:
        figures = _update(learner, batch)
    return UpdateReplay(figures, before or operations.first)


class FirstNonFinite(TorchDispatchMode):
    """While it is on, notes the first operation that makes a number that isn't finite of finite ones.

    What begins as infinity or NaN by design, as RLlib's moving averages do, makes no such start.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.first: str | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Does the operation, and looks."""
        was_finite = self.first is not None or _broken((args, kwargs)) is None  # now: it may write into them
        result = func(*args, **(kwargs or {}))
        if self.first is None and was_finite and not func.__name__.startswith(UNSET):
            broken = _broken(result)
            if broken is not None:
                self.first = f"{func.__name__} {tuple(broken.shape)}{_index(broken)}, {_place()}"
        return result


def _broken(tree: Any) -> Tensor | None:
    """The first tensor with a number that isn't finite."""
    return next((leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and not _finite(leaf)), None)


def _learner(experiment: Experiment, contract: ObservationContract, batch: Mapping[str, Any]) -> Learner:
    steps = 2 * experiment.hardware.num_envs * (experiment.algo.batch_length_T + 1)  # its replay is not needed
    algo = replace(experiment.algo, replay_capacity=steps)
    if algo.name == "dreamerv3":
        precision = "float32" if algo.precision == "tf32" else algo.precision
        algo = replace(algo, kernels="eager", replay_device="cpu", precision=precision)
    hardware = replace(
        experiment.hardware,
        num_cpus=1,
        num_env_runners=0,
        num_gpus_per_learner=0,
        num_learners=0,
        overlap_sampling=False,
    )
    config = build_config(replace(experiment, algo=algo, hardware=hardware))
    action = contract.action
    spaces = (
        gymnasium.spaces.Box(-np.inf, np.inf, (contract.size,), np.float32),
        gymnasium.spaces.Discrete(action.size)
        if action.kind == "discrete"
        else gymnasium.spaces.Box(-1.0, 1.0, (action.size,), np.float32),
    )
    return config.build_learner(spaces={DEFAULT_MODULE_ID: spaces})


def _update(learner: Learner, batch: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    if isinstance(learner, AgentLearner):
        figures, _ = learner.update_once(batch_of({name: torch.as_tensor(value) for name, value in batch.items()}))
        return {name: float(value) for name, value in figures.items()}
    try:
        results = learner.update(
            batch=SampleBatch(dict(batch)).as_multi_agent(), timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 0}
        )
    except (AssertionError, ValueError) as error:
        if not is_nonfinite(error):
            raise
        return {}
    return figures_of([results])


def _finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(value.isfinite().all())


def _index(value: Tensor) -> str:
    """Where the first number is that isn't finite, and which."""
    index = (~value.isfinite()).nonzero()[0].tolist()
    return f" at {index}: {value[tuple(index)].item()}"


def _place() -> str:
    """The innermost line of a learner's code; of a gradient it is the call of backward()."""
    frames = [frame for frame in traceback.extract_stack() if any(part in frame.filename for part in OURS)]
    frames = [frame for frame in frames if frame.filename != __file__]
    if not frames:
        return "outside of the learner"
    frame = frames[-1]
    return f"{Path(frame.filename).name}:{frame.lineno} {frame.name}: {frame.line}"
