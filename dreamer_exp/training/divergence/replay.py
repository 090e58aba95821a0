"""The replay of an update on the CPU, to find the first number that is not finite."""

import inspect
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import Learner
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import dreamer_exp
from dreamer_exp.algorithms.rllib.build import build_config
from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract, policy_spaces

CODE = (str(Path(dreamer_exp.__file__).parent / "algorithms"), str(Path("ray", "rllib", "algorithms")))
UNSET = ("empty", "new_empty", "resize")  # operations that return uninitialised memory


@dataclass(frozen=True)
class UpdateReplay:
    """Result of a replay.

    Attributes:
        figures: losses and gradient norms, by the learner's names; empty if the update ended before it had any.
        first: description of the first number that is not finite, or None.
    """

    figures: dict[str, float]
    first: str | None


def replay(
    experiment: Experiment,
    contract: ObservationContract,
    batch: Mapping[str, NDArray[Any]],
    weights: Mapping[str, Tensor] | None,
    state: Mapping[str, Any],
) -> UpdateReplay:
    """Repeat an update.

    Args:
        experiment: the experiment of the run; its hardware and backend are ignored.
        contract: the contract of its environment, which gives the sizes.
        batch: the batch by the learner's names (`NonFiniteUpdate.batch`).
        weights: the weights of the complete network; None for the initial ones.
        state: `NonFiniteUpdate.state`.
    """
    spec, learner = spec_of(experiment.algo), _learner(experiment, contract)
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    if weights is not None:
        module.load_state_dict(dict(weights))
    known = {f"batch: {name}": torch.as_tensor(value) for name, value in batch.items()}
    trained = {name: value.detach() for name, value in module.named_parameters() if value.requires_grad}
    known |= {f"weight: {name}": value for name, value in trained.items()}
    before = next((f"{name}{_index(value)}" for name, value in known.items() if not _finite(value)), None)
    with FirstNonFinite(inspect.getfile(spec.config)) as operations:
        figures = spec.load().replay_update(learner, batch, state)
    return UpdateReplay(figures, before or operations.first)


class FirstNonFinite(TorchDispatchMode):
    """Mode that records the first operation with finite inputs and an output that is not finite.

    Values that are infinite or NaN by design, such as RLlib's initial moving averages, are therefore not reported.

    Args:
        module: a file of the algorithm, whose folder has the code to report; its base classes are reported anyway.
    """

    def __init__(self, module: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.first: str | None = None
        self._code = (*CODE, str(Path(module).parent))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and check its output."""
        # before the operation, because it may write into its inputs
        was_finite = self.first is not None or _nonfinite((args, kwargs)) is None
        result = func(*args, **(kwargs or {}))
        if self.first is None and was_finite and not func.__name__.startswith(UNSET):
            nonfinite = _nonfinite(result)
            if nonfinite is not None:
                self.first = f"{func.__name__} {tuple(nonfinite.shape)}{_index(nonfinite)}, {_source_line(self._code)}"
        return result


def _nonfinite(tree: Any) -> Tensor | None:
    """Return the first tensor with a number that is not finite, or None."""
    return next((leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and not _finite(leaf)), None)


def _learner(experiment: Experiment, contract: ObservationContract) -> Learner:
    """Return a learner of the experiment in this process, on the CPU."""
    hardware = replace(
        experiment.hardware,
        num_cpus=1,
        num_env_runners=0,
        num_gpus_per_learner=0,
        num_learners=0,
        overlap_sampling=False,
    )
    algo = spec_of(experiment.algo).update_on_cpu(experiment)
    config = build_config(replace(experiment, algo=algo, hardware=hardware))
    spaces = policy_spaces(contract.size, contract.action.kind, contract.action.size)
    return config.build_learner(spaces={DEFAULT_MODULE_ID: spaces})


def _finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(value.isfinite().all())


def _index(value: Tensor) -> str:
    """Return index and value of the first number that is not finite."""
    index = (~value.isfinite()).nonzero()[0].tolist()
    return f" at {index}: {value[tuple(index)].item()}"


def _source_line(code: Sequence[str]) -> str:
    """Return the innermost line in one of these folders; for a gradient, the call of backward()."""
    frames = [frame for frame in traceback.extract_stack() if any(folder in frame.filename for folder in code)]
    if not frames:
        return "outside of the algorithm"
    frame = frames[-1]
    return f"{Path(frame.filename).name}:{frame.lineno} {frame.name}: {frame.line}"
