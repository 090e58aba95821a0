"""The scenarios of Robot SF: the map pool, or a scenario matrix; their choice and configuration."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dreamer_exp.config.errors import UserError, first_line, nearest
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.envs.robot_sf.config import RobotSFConfig, ScenarioMatrixConfig
from dreamer_exp.envs.robot_sf.overrides import apply_overrides
from dreamer_exp.envs.robot_sf.reward import check_reward

KEY = "env.scenario_matrix"
REFUSALS = (ValueError, TypeError, KeyError, OSError, RuntimeError, NotImplementedError)
"""Exceptions of Robot SF for a wrong file or value."""
UNSET_SEEDS = ("route_spawn_seed", "archetype_seed", "response_law_seed", "desired_speed_seed")
"""Seeds of sim_config that are null by default: Robot SF then uses entropy, or always the same crowd."""
RESERVED = {
    "config": "env.config",
    "seed": "run.seed",
    "reward_name": "env.reward_name",
    "reward_func": "env.reward_name",
}
"""Arguments of make_robot_env that another key sets."""


@dataclass(frozen=True)
class Scenario:
    """One scenario; `name` is None for the maps of the map pool."""

    name: str | None
    weight: float
    make_config: Callable[[], Any]

    def make(self, config: RobotSFConfig, seed: int) -> Any:
        """Return a new Robot SF environment of this scenario; `seed` replaces the entropy of the crowd.

        Raises:
            UserError: Robot SF refuses the scenario or a value of `config`.
        """
        robot_sf = package.load()
        try:
            built = apply_overrides(self.make_config(), config.config, (robot_sf.MapDefinitionPool,))
            built = _finish(built, config, seed)
            return robot_sf.make_robot_env(built, **_factory_arguments(config))
        except REFUSALS as error:
            place = f"{KEY}: scenario {self.name!r}" if self.name else "env=robot_sf"
            raise UserError(f"{place} cannot be built: {first_line(error)}") from error


def load_scenarios(config: RobotSFConfig) -> list[Scenario]:
    """Return the scenarios that episodes are drawn from, in the order of the file.

    Raises:
        UserError: the file or a name in env.scenario_matrix doesn't exist, or no scenario is left.
    """
    check_reward(config)
    check_factory_kwargs(config.factory_kwargs)
    if config.scenario_matrix.path is None:
        return [Scenario(None, 1.0, package.load().RobotSimulationConfig)]
    path = find_matrix(config.scenario_matrix.path)
    robot_sf = package.load()
    try:
        entries = robot_sf.load_scenarios(path)
    except REFUSALS as error:
        raise UserError(f"{KEY}.path={config.scenario_matrix.path}: {first_line(error)}") from error
    named = {str(entry.get("name") or entry.get("scenario_id")): entry for entry in entries}
    weights = _weights(list(named), config.scenario_matrix)

    def configured(entry: Mapping[str, Any]) -> Callable[[], Any]:
        return lambda: robot_sf.build_robot_config_from_scenario(entry, scenario_path=path)

    return [Scenario(name, weight, configured(named[name])) for name, weight in weights.items()]


def find_matrix(path: str) -> Path:
    """Return the matrix file: from the working directory, or from the checkout that Robot SF is imported from.

    Raises:
        UserError: it is in neither place; only a checkout holds matrices, not the installed package.
    """
    root = package.folder()
    tried = [Path(path).expanduser(), *([root.parent / path] if root else [])]
    for candidate in tried:
        if candidate.is_file():
            return candidate.resolve()
    raise UserError(
        f"{KEY}.path={path}: no such file here, nor in the folder of Robot SF "
        f"({root.parent if root else 'not installed'}). "
        "Matrices and their maps come with a checkout, not with the installed package: put one on PYTHONPATH."
    )


def _weights(names: list[str], matrix: ScenarioMatrixConfig) -> dict[str, float]:
    """Return the scenarios that include, exclude and weights leave, with their weights."""
    for key, given in (("include", matrix.include), ("exclude", matrix.exclude), ("weights", matrix.weights)):
        for name in given:
            if name not in names:
                raise UserError(f"{KEY}.{key}: {name!r} is not a scenario of {matrix.path}.{nearest(name, names)}")
    check_weights(matrix)
    chosen = [name for name in names if name not in matrix.exclude and name in (matrix.include or names)]
    weights = {name: matrix.weights.get(name, 0.0) if matrix.weights else 1.0 for name in chosen}
    left = {name: weight for name, weight in weights.items() if weight > 0.0}
    if not left:
        raise UserError(f"{KEY}: include, exclude and weights leave no scenario of {matrix.path}.")
    return left


def check_weights(matrix: ScenarioMatrixConfig) -> None:
    """Raise UserError unless the weights are finite, 0 or more, and used."""
    for name, weight in matrix.weights.items():
        if not (math.isfinite(weight) and weight >= 0.0):
            raise UserError(f"{KEY}.weights.{name}={weight}: a weight is a finite number, 0 or more.")
    if matrix.weights and matrix.strategy == "cycle":
        raise UserError(f"{KEY}.weights have no effect under {KEY}.strategy=cycle; set strategy=random, or no weights.")


def check_factory_kwargs(given: Mapping[str, Any]) -> None:
    """Check env.factory_kwargs against the signature of make_robot_env.

    Raises:
        UserError: an argument that another key sets or, if the package is installed, an unknown one.
    """
    for name in given:
        if name in RESERVED:
            raise UserError(f"env.factory_kwargs.{name}: set {RESERVED[name]} instead.")
    if "weights" in (given.get("reward_kwargs") or {}):
        raise UserError("env.factory_kwargs.reward_kwargs.weights: set env.reward_weights instead.")
    if package.folder() is None:
        return
    allowed = [name for name in inspect.signature(package.load().make_robot_env).parameters if name not in RESERVED]
    for name in given:
        if name not in allowed:
            raise UserError(
                f"env.factory_kwargs.{name}: make_robot_env has no such argument.{nearest(name, allowed)} "
                f"It has: {', '.join(allowed)}."
            )


def choose(scenarios: list[Scenario], rng: np.random.Generator) -> int:
    """Return the number of a scenario drawn by weight."""
    weights = np.array([scenario.weight for scenario in scenarios])
    return int(rng.choice(len(scenarios), p=weights / weights.sum()))


def _finish(built: Any, config: RobotSFConfig, seed: int) -> Any:
    """Set step length, step limit and unset seeds, and disable Robot SF's lidar noise, which ignores seeds.

    The step limit of a scenario holds if it is lower than env.max_steps.
    """
    timing = built.sim_config
    limit = config.max_steps
    if config.scenario_matrix.path is not None:
        own = timing.sim_time_in_secs / timing.time_per_step_in_secs
        limit = min(limit, math.ceil(own - 1e-6))
    timing.time_per_step_in_secs = config.dt
    timing.sim_time_in_secs = (limit - 0.5) * config.dt  # Robot SF rounds the number of steps up
    for name in UNSET_SEEDS:
        if getattr(timing, name) is None:
            setattr(timing, name, seed)
    # a new object: changing the noise of the old one would have no effect
    built.lidar_config = replace(built.lidar_config, scan_noise=[0.0, 0.0])
    return built


def _factory_arguments(config: RobotSFConfig) -> dict[str, Any]:
    # no seed: make_robot_env would seed torch with it; routes and crowds come from the episode's streams
    arguments = dict(config.factory_kwargs)
    kwargs = dict(arguments.pop("reward_kwargs", None) or {})
    if config.reward_weights:
        kwargs["weights"] = dict(config.reward_weights)
    return {**arguments, "reward_name": config.reward_name, "reward_kwargs": kwargs}
