"""Packages with plug-ins: installed as a user would, and run in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import programs
from tests.paths import CHECKOUT

TIMEOUT_S = 300


def install(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a package from its source with pip, and return the folder."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "package"
    subprocess.run(["cp", "-r", package, source], check=True)  # a build must not write into the checkout
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder), str(source)], check=True, capture_output=True, timeout=TIMEOUT_S)
    return folder


def python(
    folder: Path, *sites: Path, module: str = "dreamer_exp", words: tuple[str, ...] = (), trains: bool = False
) -> tuple[int, str, str]:
    """Run a module in a folder with these sites installed: exit code, stdout, stderr."""
    path = os.pathsep.join(map(str, (*sites, CHECKOUT)))
    done = programs.run(*words, module=module, cwd=folder, env={**os.environ, "PYTHONPATH": path}, trains=trains)
    return done.returncode, done.stdout, done.stderr
