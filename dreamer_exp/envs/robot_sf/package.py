"""The installation of Robot SF: import, commit, and advice if it is missing."""

import json
import os
import subprocess
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.spec import Diagnosis
from dreamer_exp.rundir.provenance import package_folder

COMMIT = "40d0854dcb081e18757f3ef40d08eefef975a585"
"""The commit that the adapter was written for and is tested with."""

EXTRA = 'pip install "dreamer-exp[robot-sf]" (in a checkout of this project: pip install -e ".[robot-sf]")'
HOW = (
    f"To install it: {EXTRA}, then "
    f'pip install --no-deps "robot_sf @ git+https://github.com/ll7/robot_sf_ll7@{COMMIT}"; '
    "or put a checkout of it and its fast-pysf folder on PYTHONPATH."
)

# read when pygame and matplotlib are imported; env runners have no display for a window
HEADLESS = {"SDL_VIDEODRIVER": "dummy", "MPLBACKEND": "Agg", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}


class RobotSF(NamedTuple):
    """The parts of the package that the adapter uses."""

    make_robot_env: Callable[..., Any]
    RobotSimulationConfig: type
    MapDefinitionPool: type
    load_scenarios: Callable[..., Any]
    build_robot_config_from_scenario: Callable[..., Any]


def folder() -> Path | None:
    """Return the folder of the package `robot_sf` on the path of this Python, or None; imports nothing."""
    return package_folder("robot_sf")


@cache
def load() -> RobotSF:
    """Import Robot SF (some seconds), without log lines and without a display.

    Raises:
        UserError: Robot SF or one of its requirements is not installed.
    """
    if folder() is None:
        raise UserError(f"env=robot_sf: the package robot_sf is not installed. {HOW}")
    for name, value in HEADLESS.items():
        os.environ.setdefault(name, value)
    try:
        from loguru import logger

        for name in ("robot_sf", "pysocialforce"):
            logger.disable(name)  # otherwise one line per reset
        from robot_sf.gym_env.environment_factory import make_robot_env
        from robot_sf.gym_env.unified_config import RobotSimulationConfig
        from robot_sf.nav.map_config import MapDefinitionPool
        from robot_sf.training.scenario_loader import build_robot_config_from_scenario, load_scenarios
    except ImportError as error:
        raise UserError(f"env=robot_sf: {folder()} cannot be imported ({error}). {HOW}") from error
    return RobotSF(
        make_robot_env, RobotSimulationConfig, MapDefinitionPool, load_scenarios, build_robot_config_from_scenario
    )


def commit() -> str | None:
    """Return the commit of the package: as pip recorded it, or HEAD of the checkout; None if both are missing."""
    try:
        recorded = json.loads(distribution("robot_sf").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        recorded = {}
    recorded_commit: str | None = recorded.get("vcs_info", {}).get("commit_id")
    return recorded_commit or _head(folder())


def diagnose() -> Diagnosis:
    """Return whether Robot SF imports, from where, and at which commit; tries the import."""
    place = folder()
    try:
        load()
    except UserError as error:
        return Diagnosis("not installed" if place is None else f"{place}, but it does not import", str(error))
    found = commit()
    advice = f"robot_sf: its commit is {found or 'not known'}; the adapter was tested with {COMMIT}."
    return Diagnosis(f"imports from {place}, commit {found or 'not known'}", "" if found == COMMIT else advice)


def _head(package: Path | None) -> str | None:
    if package is None or not (package.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(package.parent), "rev-parse", "HEAD"],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
