"""Checks a configuration with the real package before training: every scenario is built, and its spaces compared."""

import json
from dataclasses import asdict

from gymnasium.spaces import Dict

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.reward import check_reward
from dreamer_exp.envs.robot_sf.scenarios import KEY, Scenario, check_factory_kwargs, check_weights, load_scenarios
from dreamer_exp.envs.robot_sf.spaces import declared, known
from dreamer_exp.envs.robot_sf.streams import EpisodeStreams
from dreamer_exp.envs.spec import Spaces

_checked: dict[str, Spaces] = {}
"""Configuration as JSON -> its spaces, for this process."""


def spaces_of(config: RobotSFConfig) -> Spaces:
    """Return the declared spaces: from the package if it is installed, else those known without it.

    Raises:
        UserError: a value that cannot be right or, if the package is installed, that it refuses.
    """
    if package.folder() is not None:
        return checked_spaces(config, load_scenarios(config))
    check_reward(config)
    check_factory_kwargs(config.factory_kwargs)
    check_weights(config.scenario_matrix)
    return known(config)


def unchecked(config: RobotSFConfig) -> str | None:
    """Return which options `spaces_of` could not check on this machine, or None."""
    if package.folder() is not None:
        return None
    matrix = f", {KEY}.path={config.scenario_matrix.path}" if config.scenario_matrix.path else ""
    return f"robot_sf is not installed, so env.config, env.factory_kwargs{matrix} are not checked. {package.HOW}"


def checked_spaces(config: RobotSFConfig, scenarios: list[Scenario]) -> Spaces:
    """Return the spaces that all scenarios share; each scenario is built once in a process.

    Raises:
        UserError: a scenario that cannot be built, or whose spaces differ from those of the first.
    """
    key = json.dumps(asdict(config), sort_keys=True)
    if key not in _checked:
        _checked[key] = _shared_spaces(config, scenarios)
    return _checked[key]


def _shared_spaces(config: RobotSFConfig, scenarios: list[Scenario]) -> Spaces:
    first = _built_spaces(config, scenarios[0])
    for scenario in scenarios[1:]:
        found = _built_spaces(config, scenario)
        if found != first:
            raise UserError(
                f"{KEY}: scenario {scenario.name!r} has other spaces than {scenarios[0].name!r}: "
                f"{_difference(found, first)}; leave it out: {KEY}.exclude=[{scenario.name}]."
            )
    return first


def _built_spaces(config: RobotSFConfig, scenario: Scenario) -> Spaces:
    with EpisodeStreams(0).installed():
        env = scenario.make(config, 0)
    return declared(env.observation_space), env.action_space


def _difference(found: Spaces, wanted: Spaces) -> str:
    if found[1] != wanted[1]:
        return f"actions {found[1]}, not {wanted[1]}"
    mine, theirs = (dict(space.spaces) if isinstance(space, Dict) else {"": space} for space in (found[0], wanted[0]))
    key = next(key for key in [*mine, *theirs] if mine.get(key) != theirs.get(key))
    return f"{key} is {mine.get(key)}, not {theirs.get(key)}"
