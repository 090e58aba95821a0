"""Training that diverged: the first update with a loss or gradient norm that is NaN or infinite, and what it read."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray


class NonFiniteLoss(RuntimeError):
    """A loss or a gradient norm is NaN or infinite: training has diverged."""


class NonFiniteUpdate(NonFiniteLoss):
    """The update that it was. Travels through Ray as it is.

    Attributes:
        number: of the update, as the learner counts them over its checkpoints; the first is 1.
        figures: every loss and gradient norm of it, by the learner's names; none where RLlib's ended without.
        batch: what it was computed from, by the learner's names, on the host.
        state: what else it depended on and a policy's file lacks (AgentLearner.get_extra_state); empty where not known.
        untouched: whether the weights are still those from before it.
    """

    def __init__(
        self,
        number: int,
        figures: dict[str, float],
        batch: dict[str, NDArray[Any]],
        state: dict[str, Any],
        untouched: bool,
    ) -> None:
        super().__init__(number, figures, batch, state, untouched)  # all of it, as exceptions are pickled by their args
        self.number, self.figures, self.batch, self.state, self.untouched = number, figures, batch, state, untouched

    @property
    def broken(self) -> dict[str, float]:
        """The figures that are not finite."""
        return {name: value for name, value in self.figures.items() if not math.isfinite(value)}

    def __str__(self) -> str:
        parts = (
            ", ".join(f"{name} is {value}" for name, value in self.broken.items()) or "it ended before it had losses"
        )
        return f"update {self.number:,} is not finite: {parts}"


def is_nonfinite(error: BaseException) -> bool:
    """Whether RLlib's update was ended by a number that isn't finite, before it had figures.

    Trap 2 of RLlib 2.60: a NaN in its world model surfaces as `assert allclose(L_dyn, L_rep)`, without a word, or
    earlier as torch's refusal to make a distribution of it.
    """
    cause = getattr(error, "cause", error)  # where Ray brought it from another process
    if isinstance(cause, AssertionError):
        return not str(cause)
    return isinstance(cause, ValueError) and "found invalid values" in str(cause)


def figures_of(results: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Losses and gradient norms of one update by RLlib's learners: of each the first learner's that isn't finite, else
    the last one's."""
    figures: dict[str, float] = {}
    for module in (result["default_policy"] for result in results):
        for name, value in module.items():
            if ("_L_" in name or "gradients" in name or name == "total_loss") and math.isfinite(figures.get(name, 0.0)):
                figures[name] = float(value.peek())
    return figures
