"""Run directories and in-memory runs for the tests."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dreamer_exp.compare.model import Run

STEPS_A_ROW = 100
GIT = {"commit": "0123456789abcdef", "dirty": False, "diff_sha256": None}


def config(seed: int = 1, **algo: Any) -> dict[str, Any]:
    """Return the tree of a small experiment."""
    return {
        "fingerprint": "different for each seed",
        "run": {"id": "test", "seed": seed, "log_level": "INFO"},
        "env": {"name": "crowd_nav", "scenario": "open"},
        "algo": {"name": "dreamerv3", "training_ratio": 32.0, "batch_size_B": 8, **algo},
        "tracking": {"name": "none", "tags": []},
    }


def write_run(
    root: Path,
    tree: Mapping[str, Any] | None = None,
    returns: Sequence[float | None] = (1.0, 2.0),
    successes: Sequence[int] | None = (0, 5, 10),
    status: Mapping[str, Any] | None = None,
) -> Path:
    """Write a run with a row per return and evaluations of 20 episodes, one every 100 env steps and 10 s."""
    root.mkdir(parents=True)
    (root / "experiment.yaml").write_text(yaml.safe_dump(dict(tree or config()), sort_keys=False))
    (root / "provenance.json").write_text(json.dumps({"command_line": [], "git": GIT, "packages": {"torch": "2.13.0"}}))
    status_tree = {"state": "finished", "pid": 1, "host": "elsewhere", "error": None, **(status or {})}
    (root / "status.json").write_text(json.dumps(status_tree))
    write_rows(root / "result.jsonl", map(row, range(1, len(returns) + 1), returns))
    if successes is not None:
        write_rows(root / "evaluation.jsonl", [evaluation(i * STEPS_A_ROW, won) for i, won in enumerate(successes)])
    return root


def row(iteration: int, value: float | None) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "env_steps": iteration * STEPS_A_ROW,
        "episode_return_window": value,
        "loss/world_model": 1.0 / iteration,
        "time/total_s": 10.0 * iteration,
    }


def evaluation(env_steps: int, successes: int, policy: str = "dreamerv3", episodes: int = 20) -> dict[str, Any]:
    outcomes = ["success"] * successes + ["timeout"] * (episodes - successes)
    return {
        "policy": policy,
        "env_steps": env_steps,
        "episodes": episodes,
        "return_mean": float(successes),
        "success_rate": successes / episodes,
        "success_interval_95": [0.0, 1.0],
        "outcomes": [{"outcome": outcome, "seed": i} for i, outcome in enumerate(outcomes)],
    }


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(dict(row)) + "\n" for row in rows))


def make_run(name: str = "run", values: Sequence[float] = (1.0,), **config: Any) -> Run:
    """Return a run in memory whose metric `figure` has these values, every 100 env steps and 10 s.

    Keyword arguments are config keys, with `__` for a dot.
    """
    steps = np.arange(1, len(values) + 1) * float(STEPS_A_ROW)
    rows = {"env_steps": steps, "time/total_s": steps / 10, "figure": np.array(values, dtype=np.float64)}
    keys = {"run.id": "test", "run.seed": 1, **{key.replace("__", "."): value for key, value in config.items()}}
    return Run(Path("/runs") / name, name, "finished", None, keys, {}, rows, (), (), tuple(rows))
