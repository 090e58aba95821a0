"""Divergence of training: the first update with a loss or gradient norm that is NaN or infinite, and its inputs."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray


class NonFiniteLoss(RuntimeError):
    """A loss or a gradient norm is NaN or infinite: training has diverged."""


class NonFiniteUpdate(NonFiniteLoss):
    """The first update that is not finite. Ray can send it between processes.

    Attributes:
        number: Number of the update, counted by the learner across checkpoints; the first is 1.
        figures: Losses and gradient norms with the learner's names; empty if RLlib's update ended before it had any.
        batch: The batch on the host, with the learner's names.
        state: Further inputs that are not in the file of a policy (AgentLearner.get_extra_state); empty if unknown.
        untouched: Whether the weights are still those before the update.
    """

    def __init__(
        self,
        number: int,
        figures: dict[str, float],
        batch: dict[str, NDArray[Any]],
        state: dict[str, Any],
        untouched: bool,
    ) -> None:
        super().__init__(number, figures, batch, state, untouched)  # pickle restores an exception from these arguments
        self.number, self.figures, self.batch, self.state, self.untouched = number, figures, batch, state, untouched

    @property
    def broken(self) -> dict[str, float]:
        """Losses and gradient norms that are not finite."""
        return {name: value for name, value in self.figures.items() if not math.isfinite(value)}

    def __str__(self) -> str:
        causes = [f"{name} is {value}" for name, value in self.broken.items()]
        return f"update {self.number:,} is not finite: {', '.join(causes) or 'it ended before it had losses'}"


def is_nonfinite(error: BaseException) -> bool:
    """Return whether an error of RLlib's update was caused by a number that is not finite.

    In RLlib 2.60, a NaN in the world model makes `assert allclose(L_dyn, L_rep)` fail, without a message. Before that,
    torch can refuse to make a distribution with a NaN.
    """
    cause = getattr(error, "cause", error)  # Ray wraps an error of another process
    if isinstance(cause, AssertionError):
        return not str(cause)
    return isinstance(cause, ValueError) and "found invalid values" in str(cause)


def figures_of(results: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return losses and gradient norms of one update, from the results of RLlib's learners.

    Each is the first value that is not finite, or the value of the last learner.
    """
    figures: dict[str, float] = {}
    for module in (result["default_policy"] for result in results):
        for name, value in module.items():
            if ("_L_" in name or "gradients" in name or name == "total_loss") and math.isfinite(figures.get(name, 0.0)):
                figures[name] = float(value.peek())
    return figures
