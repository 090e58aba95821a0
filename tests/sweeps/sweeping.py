"""Sweeps as users start them, in a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.experiments import NANO
from tests.paths import CHECKOUT

WORDS = (
    *(word for word in NANO if not word.startswith("env.")),
    "env=gym", "env.id=tests.sweeps.trouble:Trouble-v0", "obs_contract=vector", "evaluation.baselines=[]",
    "evaluation.episodes=1", "tracking=none", "run.train_iterations=6", "run.checkpoint_every=2",
)  # fmt: skip


def begin(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """`python -m dreamer_exp <words>` in this folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "dreamer_exp", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "COLUMNS": "100", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, *words: str, **environment: str) -> tuple[int, str, str]:
    """The same to its end: exit code, output, errors."""
    process = begin(folder, *words, **environment)
    out, err = process.communicate(timeout=400)
    return process.returncode, out, err


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def only_sweep(folder: Path) -> Path:
    """The one sweep in this folder's multirun/."""
    (sweep,) = (folder / "multirun").iterdir()
    return sweep


def states(sweep: Path) -> dict[int, str]:
    """Each job's state, by the summary."""
    return {row["num"]: row["state"] for row in read(sweep / "sweep_summary.json")["jobs"]}
