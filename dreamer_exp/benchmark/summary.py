"""The summary of an arm, as Robot SF's campaigns compute it: means over episodes; every scenario has as many seeds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dreamer_exp.benchmark.rows import METRICS, CellResult
from dreamer_exp.envs.episode import PEDESTRIAN_COLLISION, ROBOT_COLLISION, SUCCESS, TIMEOUT, WALL_COLLISION
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.rundir.rates import wilson_interval

FAMILIES = {"classic": "classic_", "francis2023": "francis2023_"}
"""Part of the scenarios -> beginning of their names."""
OUTCOMES = (SUCCESS, PEDESTRIAN_COLLISION, WALL_COLLISION, ROBOT_COLLISION, TIMEOUT)


def summarise(
    results: Sequence[CellResult], cells: Sequence[EvaluationEpisode], seconds: float = 0.0
) -> dict[str, Any]:
    """Return the summary of an arm as JSON values.

    Args:
        results: of the cells that have a row.
        cells: of the surface; without a row for each, the figures are not comparable.
        seconds: that this call took.
    """
    by_scenario: dict[str, list[CellResult]] = defaultdict(list)
    for result in results:
        by_scenario[str(result.cell.scenario)].append(result)
    return {
        "cells": len(cells),
        "complete": len(results) == len(cells),
        "seconds": round(seconds, 1),
        **figures(results),
        "by_family": {
            family: figures([each for each in results if str(each.cell.scenario).startswith(prefix)])
            for family, prefix in FAMILIES.items()
        },
        "by_scenario": {name: figures(by_scenario[name]) for name in sorted(by_scenario)},
    }


def figures(results: Sequence[CellResult]) -> dict[str, Any]:
    """Return the number of episodes, steps per second, the mean of each metric, and the rate of each outcome.

    A mean leaves out episodes that lack the metric; null without any. `collisions` is the rate of episodes with one.
    """
    steps, seconds = sum(each.steps for each in results), sum(each.seconds for each in results)
    successes = sum(each.outcome == SUCCESS for each in results)
    return {
        "episodes": len(results),
        "steps_per_second": round(steps / seconds, 1) if seconds else None,
        "success_interval_95": wilson_interval(successes, len(results)),
        **{f"{outcome}_rate": mean(each.outcome == outcome for each in results) for outcome in OUTCOMES},
        **{name: mean(each.metrics[name] for each in results if name in each.metrics) for name in METRICS},
    }


def mean(values: Iterable[float]) -> float | None:
    """Return the mean of the finite values, or None without any."""
    finite = [float(value) for value in values if abs(value) < float("inf")]
    return sum(finite) / len(finite) if finite else None


def worst_first(summary: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return names and figures of the scenarios by success, those without any last."""

    def key(item: tuple[str, Mapping[str, Any]]) -> tuple[float, str]:
        success = item[1]["success"]
        return (float("inf") if success is None else success, item[0])

    return sorted(summary["by_scenario"].items(), key=key)


def not_comparable(summary: Mapping[str, Any]) -> str:
    """Return why the figures of an incomplete arm must not be compared, or ""."""
    if summary["complete"]:
        return ""
    lost = summary["cells"] - summary["episodes"]
    return f"{lost:,} of {summary['cells']:,} cells have no row; the figures are not comparable"
