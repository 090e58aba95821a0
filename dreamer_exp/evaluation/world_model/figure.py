"""The figure of the world-model check: lidar at a few steps, and error against horizon."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.evaluation.world_model import verdict
from dreamer_exp.palette import BLACK, BLUE, GREEN, ORANGE, PURPLE

SHOWN = (0, 1, 5, 10, 15)  # steps of the polar plots
SIMULATOR, MODEL, HORIZON = BLACK, BLUE, GREEN
LINES = {  # colour, style and label of each predictor
    verdict.MODEL: (MODEL, "-", "model"),
    verdict.STILL: (ORANGE, "--", "last step repeated"),
    verdict.LINEAR: (PURPLE, "-.", "linear predictor"),
}


def draw(
    curves: Mapping[str, Any], units: Mapping[str, str], rays: Mapping[str, NDArray[np.float32]] | None, path: Path
) -> None:
    """Write the PNG.

    Args:
        curves: the result of `draw_imagination`.
        units: the units of the observation's quantities, by name.
        rays: "simulator" and "imagined" (H+1, R) in metres, ray 0 behind, counter-clockwise; or None.
        path: the file.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    labels = {name: f"mean absolute error ({unit})" for name, unit in {**units, "reward": "per step"}.items()}
    labels["continue"] = "mean squared error of the probability"
    figure = plt.figure(figsize=(3.4 * max(len(SHOWN), len(labels)) * 0.9, 7.4 if rays else 4.2), layout="constrained")
    rows = figure.subfigures(2 if rays else 1, 1, height_ratios=[1.05, 1] if rays else None, squeeze=False)[:, 0]
    if rays:
        _draw_rays(rows[0], rays)
    _draw_errors(rows[-1], curves, labels)
    figure.suptitle(title(curves), fontsize=11)
    figure.savefig(path, format="png", dpi=110)
    plt.close(figure)


def title(curves: Mapping[str, Any]) -> str:
    """Return the title: whether horizon_H is earned, and what was imagined from where."""
    ahead, starts, rows = curves["steps"][-1], curves["starts"][0], curves["linear_rows"]
    seeds = "that training never uses" if curves["held_out"] else "of the evaluation"
    linear = f"; linear predictor fitted at {rows:,} steps of the replay" if rows else ""
    return (
        f"{curves['verdict']}\n"
        f"{ahead} steps imagined with the real actions, after at least {curves['context_at_least']} real steps, from "
        f"{starts} start points on seeds {seeds}{linear}"
    )


def describe_steps(steps: list[int]) -> str:
    """Return steps in words: `at steps 3-5, 9` for [3, 4, 5, 9], `at no step` for []."""
    if not steps:
        return "at no step"
    breaks = [i + 1 for i, (step, after) in enumerate(pairwise(steps)) if after != step + 1]
    runs = [steps[i:j] for i, j in pairwise([0, *breaks, len(steps)])]
    ranges = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"at step{'s' if len(steps) > 1 else ''} {ranges}"


def _draw_rays(figure: Any, rays: Mapping[str, NDArray[np.float32]]) -> None:
    """Draw one polar plot for each step, with the robot in the centre, heading up."""
    steps = [step for step in SHOWN if step < len(rays["simulator"])]
    number = rays["simulator"].shape[1]
    angles = np.linspace(-np.pi, np.pi, number + 1)
    axes = figure.subplots(1, len(steps), subplot_kw={"projection": "polar", "theta_offset": np.pi / 2})
    max_range = float(np.nanmax(rays["simulator"]))
    for axis, step in zip(axes, steps, strict=True):
        for name, colour in (("simulator", SIMULATOR), ("imagined", MODEL)):
            ranges = rays[name][step]
            axis.plot(angles, np.append(ranges, ranges[0]), color=colour, linewidth=1.2, label=name)
        axis.set_title("last seen step" if step == 0 else f"step {step}", fontsize=10)
        axis.set_ylim(0, 1.1 * max_range)
        axis.set_xticklabels([])
        axis.tick_params(labelsize=7)
    axes[0].legend(fontsize=8, loc="upper left", bbox_to_anchor=(-0.25, 1.2))
    figure.supxlabel("lidar at the start point with the median error: ranges in m, heading up", fontsize=9)


def _draw_errors(figure: Any, curves: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    axes = figure.subplots(1, len(labels))
    for axis, (name, label) in zip(axes, labels.items(), strict=True):
        errors = curves["errors"][name]
        for predictor, (colour, style, words) in LINES.items():
            if predictor in errors:
                axis.plot(curves["steps"], _known(errors[predictor]), color=colour, linestyle=style, label=words)
        axis.axvline(curves["horizon_H"], color=HORIZON, linestyle=":", label=f"horizon_H = {curves['horizon_H']}")
        axis.set_title(f"{name}: best {describe_steps(errors['better_at'])}", fontsize=9)
        axis.set_ylabel(label, fontsize=9)
        axis.set_xticks(range(0, len(curves["steps"]), 5))
        axis.set_xlabel("imagined steps", fontsize=9)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)


def _known(values: list[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]
