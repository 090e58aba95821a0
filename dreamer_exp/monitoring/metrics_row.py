"""The metrics row of an iteration (its names: rundir/metric_names.py)."""

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from dreamer_exp.algorithms.protocol import Iteration
from dreamer_exp.algorithms.spec import AlgorithmSpec
from dreamer_exp.envs.episode import SUCCESS, TIMEOUT, EpisodeResult, without_faults
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.monitoring.memory import rss, workers_rss
from dreamer_exp.rundir.metric_names import LEARNER_METRICS


def make_row(
    counters: Counters,
    iteration: Iteration,
    learner: Mapping[str, Any],
    *,
    spec: AlgorithmSpec,
    steps_per_update: int,
    replay: Mapping[str, int] | None,
) -> dict[str, Any]:
    """Return the row of an iteration that `counters` already includes.

    A mean over no episode is null. RLlib's own `episode_return_mean` is NaN if no episode ended.

    Args:
        counters: totals, this iteration included.
        iteration: what the iteration did.
        learner: the learner's metrics, means over the iteration's updates.
        spec: gives the names of these metrics.
        steps_per_update: replayed steps in one update.
        replay: `steps` and `bytes` in the replay; None for an algorithm without one.
    """
    ended = without_faults(iteration.episodes)
    total_s = iteration.sample_s + iteration.update_s
    return {
        "iteration": counters.iterations,
        "env_steps": counters.env_steps,
        "updates": counters.updates,
        "episodes": len(ended),
        "episodes_total": counters.episodes,
        "episodes_cut_total": counters.episodes_cut,
        "env_faults": counters.faults,
        "episode_return_mean": mean(episode.episode_return for episode in ended),
        "episode_length_mean": mean(episode.length for episode in ended),
        **window_figures(counters.window),
        "training_ratio_actual": counters.updates * steps_per_update / counters.env_steps,
        **learner_metrics(learner if iteration.updates else {}, spec),
        **{f"replay/{name}": value for name, value in (replay or {}).items()},
        "time/sample_s": iteration.sample_s,
        "time/update_s": iteration.update_s,
        "time/total_s": counters.seconds,
        "rate/env_steps_per_s": iteration.env_steps / total_s if total_s else None,
        "rate/updates_per_s": iteration.updates / iteration.update_s if iteration.update_s else None,
        "memory/rss_bytes": rss(),
        "memory/env_runners_rss_bytes": workers_rss(),
        "memory/gpu_bytes": gpu_bytes(),
    }


def blank_nonfinite(row: dict[str, Any]) -> list[str]:
    """Replace each NaN or infinity of a row by None in place, as JSON has neither; return their names."""
    nonfinite = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
    row.update(dict.fromkeys(nonfinite))
    return nonfinite


def window_figures(window: Iterable[EpisodeResult]) -> dict[str, float | None]:
    """Return the mean return and the rates of the last finished episodes; None without episodes or outcomes."""
    episodes = list(window)
    with_outcome = [episode for episode in episodes if episode.outcome is not None]
    return {
        "episode_return_window": mean(episode.episode_return for episode in episodes),
        "success_rate_window": mean(episode.outcome == SUCCESS for episode in with_outcome),
        "collision_rate_window": mean(episode.collided for episode in with_outcome),
        "timeout_rate_window": mean(episode.outcome == TIMEOUT for episode in with_outcome),
    }


def learner_metrics(learner: Mapping[str, Any], spec: AlgorithmSpec) -> dict[str, float | None]:
    """Return the algorithm's metrics by their names in a row, those of LEARNER_METRICS first; None for missing ones."""
    found = {name: float(learner[key]) for name, key in spec.metrics.items() if key in learner}
    ordered = [name for name in LEARNER_METRICS if name in spec.metrics]
    of_families = {
        f"{name}{key.removeprefix(first)}": float(value)
        for name, first in spec.metric_families.items()
        for key, value in learner.items()
        if key.startswith(first)
    }
    return {name: found.get(name) for name in dict.fromkeys((*ordered, *spec.metrics))} | of_families


def mean(values: Iterable[float]) -> float | None:
    """Return the mean, or None without values."""
    found = list(values)
    return sum(found) / len(found) if found else None


def gpu_bytes() -> int | None:
    """Return the GPU memory in bytes that torch reserves in this process; None without a GPU in use."""
    torch = sys.modules.get("torch")  # imported by what uses the GPU
    return torch.cuda.memory_reserved() if torch and torch.cuda.is_initialized() else None
