"""Runs -> groups of runs that are equal but for their seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dreamer_exp.compare.model import Run
from dreamer_exp.config.experiment import UNSHAPING

SEED = "run.seed"
IGNORED = {f"{group}.{name}" for group, names in UNSHAPING.items() for name in names} | {SEED}


def setting(run: Run) -> dict[str, Any]:
    """The run's keys that shape its result (Experiment.fingerprint), without its seed."""
    return {key: value for key, value in run.config.items() if key not in IGNORED and not key.startswith("tracking.")}


def signature(run: Run) -> str:
    """Equal exactly for runs of equal settings."""
    return repr(sorted(setting(run).items()))


def strata(runs: Sequence[Run]) -> list[np.ndarray]:
    """Indices of the runs of each setting: what a stratified bootstrap resamples within."""
    found: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        found.setdefault(signature(run), []).append(index)
    return [np.array(indices) for indices in found.values()]
