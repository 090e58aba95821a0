"""Real runs as a user starts them, each in a separate process."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamer_exp.rundir.layout import RunDirectory
from tests import programs
from tests.experiments import NANO
from tests.paths import CHECKOUT


def command(*overrides: str, nano: Sequence[str] = NANO) -> list[str]:
    return [sys.executable, "-m", "dreamer_exp", *nano, *overrides]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), **more}


def run(folder: Path, *overrides: str, nano: Sequence[str] = NANO, **more: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, with ray and torch imported before (tests/programs.py)."""
    return programs.run(*nano, *overrides, cwd=folder, env=environment(**more), trains=True)


def run_with_its_imports(folder: Path, *overrides: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*overrides), cwd=folder, env=environment(**more),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def only_run(folder: Path, parent: str = "outputs") -> RunDirectory:
    (root,) = (folder / parent).iterdir()
    return RunDirectory(root)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
