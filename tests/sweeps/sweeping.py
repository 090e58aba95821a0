"""Sweeps as users start them, in a separate process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.experiments import NANO, ONE_THREAD
from tests.paths import CHECKOUT

WORDS = (
    *(word for word in NANO if not word.startswith("env.") and word != ONE_THREAD),
    "env=gym", "env.id=tests.sweeps.trouble:Trouble-v0", "obs_contract=vector", "evaluation.baselines=[]",
    "evaluation.episodes=1", "tracking=none", "run.train_iterations=6", "run.checkpoint_every=2",
)  # fmt: skip


def begin(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start `python -m dreamer_exp <words>` in a folder."""
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
    """Run `python -m dreamer_exp <words>` to its end; return exit code, output and errors."""
    process = begin(folder, *words, **environment)
    out, err = process.communicate(timeout=400)
    return process.returncode, out, err


def read(path: Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def only_sweep(folder: Path) -> Path:
    """Return the only sweep in a folder's multirun/."""
    (sweep,) = (folder / "multirun").iterdir()
    return sweep


def states(sweep: Path) -> dict[int, str]:
    """Return the state of each job in the summary."""
    return {row["num"]: row["state"] for row in read(sweep / "sweep_summary.json")["jobs"]}
