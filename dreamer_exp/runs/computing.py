"""How the updates are computed, in words: before the run, and once its learner knows."""

from dreamer_exp.config.experiment import Algo
from dreamer_exp.config.rungs import why_not_fused


def computing(algo: Algo) -> str:
    """The fast learner's kernels and precision, in brackets; RLlib's has no choice of them."""
    return f" (kernels {algo.kernels}, precision {algo.precision})" if algo.learner == "fast" else ""


def why_graph(algo: Algo, of_learner: str = "") -> str:
    """Why updates are one CUDA graph and not fused; "" on another rung, and where graph was chosen.

    Args:
        algo: with the rung that the learner is on, if it is known already.
        of_learner: the learner's own reason, if it has one.
    """
    return of_learner or (why_not_fused(algo) or "" if algo.kernels == "graph" else "")
