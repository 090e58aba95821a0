"""Runs of which the tests of compare.html make pages."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dreamer_exp.compare.model import ComparisonRequest, Run
from dreamer_exp.compare.page import write_page
from dreamer_exp.compare.pipeline import compare

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>{{data}} %{x} <b>&amp;</b>"


def run(root: Path, ratio: Any, seed: int, rows: int = 50) -> Run:
    """Return a finished run whose return grows to `seed`, with three evaluations."""
    x = np.arange(1, rows + 1)
    columns = {
        "env_steps": 100.0 * x,
        "time/total_s": 10.0 * x,
        "episode_return_window": seed * x / rows,
        "loss/world_model": 50.0 / x,
    }
    evaluations = [
        {"policy": "dreamerv3", "env_steps": steps, "return_mean": seed + steps / 1000, "success_rate": steps / 5000}
        for steps in (0, 2500, 5000)
    ]
    return Run(
        root=root,
        name=root.name,
        state="finished",
        error=None,
        config={"algo.training_ratio": ratio, "run.seed": seed},
        provenance={},
        rows=columns,
        evaluations=tuple(evaluations),
        columns=tuple(columns),
    )


def page(folder: Path, *runs: Run) -> Path:
    path = folder / "out" / "compare.html"
    write_page(path, compare(runs, ComparisonRequest("episode_return_window")))
    return path


def four_runs(folder: Path) -> list[Run]:
    return [run(folder / f"ratio_{ratio}_seed_{seed}", ratio, seed) for ratio in (32, 64) for seed in (1, 2)]


def with_text_everywhere(root: Path, text: str) -> Run:
    """Return a run with this text in every place that the page shows."""
    odd = replace(
        run(root, text, 1),
        name=text,
        state="failed",
        error=text,
        faults=(text,),
        columns=(text,),
        provenance={"git": {"commit": text}, "machine": {"cpu_name": text, "cpus": 1}},
    )
    odd.rows[text] = odd.rows["loss/world_model"]
    return odd
