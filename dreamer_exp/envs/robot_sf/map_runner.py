"""Robot SF's benchmark runner `run_map_batch`, and how a planner of another package enters it.

Its benchmark registers planners in private tables, so this module uses parts that can change between commits;
`package.COMMIT` is the one it was written for.
"""

from collections.abc import Callable, Mapping, MutableMapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.robot_sf import package

NAME = "dreamer_exp"
"""Our planner's name in Robot SF's tables and rows."""
OBSERVATION_MODE, OBSERVATION_LEVEL = "sensor_fusion_state", "lidar_2d"
"""With these, a planner receives {"drive_state": (3, 5), "rays": (3, 272)}."""
TRACK, TRACK_SCHEMA = "lidar_2d_v1", "observation-track.v1"
SCHEMA = "robot_sf/benchmark/schemas/episode.schema.v1.json"

RUNNER = "robot_sf.benchmark.map_runner.map_runner"
METADATA = "robot_sf.benchmark.algorithm_metadata"
UTILS = "robot_sf.benchmark.utils"
ENTRIES: Mapping[str, Any] = {
    "_BASELINE_CATEGORY_BY_CANONICAL": "learning",
    "_POLICY_SEMANTICS_BY_CANONICAL": "recurrent_world_model_policy_inference",
    "_OBSERVATION_SPEC_BY_CANONICAL": {
        "default_mode": OBSERVATION_MODE,
        "supported_modes": (OBSERVATION_MODE,),
        "inputs": ("robot_state", "goal", "lidar_rays"),
        "notes": "DreamerV3 policy of dreamer_exp on drive_state and rays; no map, pedestrian or simulator state.",
    },
    "_KINEMATICS_PROFILE_BY_CANONICAL": {
        "planner_command_space": "unicycle_vw",  # the allowed word that fits best; our actions are accelerations
        "supports_native_commands": True,
        "supports_adapter_commands": False,
        "default_execution_mode": "native",
        "benchmark_command_space": "unicycle_vw",
        "projection_policy": "native_environment_action_clipped_to_action_space",
        "projection_documented": True,
    },
}
"""Table of the planners' metadata -> our entry."""

BuildPlanner = Callable[..., tuple[Callable[[Mapping[str, Any]], tuple[float, float]], dict[str, Any]]]
"""Builds a planner for an episode, with its metadata."""


class MapRunner(NamedTuple):
    """The parts of Robot SF that run and read its benchmark."""

    run_map_batch: Callable[..., dict[str, Any]]
    builders: MutableMapping[str, Any]
    tables: Mapping[str, MutableMapping[str, Any]]
    metric_value: Callable[[Mapping[str, Any], str], float | None]
    """Returns a metric of a row as its campaigns aggregate it; None if the row lacks it."""

    def register(self, build: BuildPlanner) -> None:
        """Register our planner in this process."""
        self.builders[NAME] = build
        for table, entry in ENTRIES.items():
            self.tables[table][NAME] = entry


@cache
def load_map_runner() -> MapRunner:
    """Import the runner (some seconds).

    Raises:
        UserError: Robot SF cannot be imported, or this version of it has another runner.
    """
    package.load()
    return MapRunner(
        _part(RUNNER, "run_map_batch", Callable),
        _part(RUNNER, "_POLICY_BUILDERS", MutableMapping),
        {table: _part(METADATA, table, MutableMapping) for table in ENTRIES},
        _part(UTILS, "episode_metric_value", Callable),
    )


def checkout() -> Path:
    """Return the folder of Robot SF's checkout, to which its paths are relative; only a checkout has scenarios."""
    found = package.folder()
    if found is None:
        raise UserError(f"benchmark: the package robot_sf is not installed. {package.HOW}")
    if not (found.parent / "configs" / "scenarios").is_dir():
        raise UserError(
            f"benchmark: {found.parent} has no configs/scenarios, which come with a checkout of Robot SF and not with "
            f"the installed package: put a checkout of commit {package.COMMIT} on PYTHONPATH."
        )
    return found.parent


def _part(module: str, name: str, kind: Any) -> Any:
    """Return a part of Robot SF; raise UserError if it is missing or of another kind."""
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise _other_version(f"{module}.{name} is missing ({error})") from error
    if not isinstance(found, kind):
        raise _other_version(f"{module}.{name} is a {type(found).__name__}")
    return found


def _other_version(what: str) -> UserError:
    return UserError(
        f"benchmark: {what} in {package.folder()}; the adapter is written for commit {package.COMMIT}: check that one "
        "out."
    )
