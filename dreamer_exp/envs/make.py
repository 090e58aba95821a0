"""EnvConfig -> environment: the raw one, the one behind its observation contract, and its spaces alone."""

from typing import Any

import gymnasium

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import CrowdNavConfig, EnvConfig, GymConfig, ObsContractConfig, RobotSFConfig
from dreamer_exp.envs.contract import ContractEnv, ObservationContract, build_contract

RawEnv = gymnasium.Env[Any, Any]


def make_env(env: EnvConfig, contract: ObsContractConfig) -> ContractEnv:
    """The environment that the policy sees: one float32 vector in, actions in [-1, 1] or Discrete out.

    Raises:
        UserError: the environment cannot be made, or does not fit the contract.
    """
    return ContractEnv(make_raw_env(env), contract)


def make_raw_env(env: EnvConfig, render_mode: str | None = None) -> RawEnv:
    """The environment with its own observations and actions, truncated at `env.max_steps`.

    Raises:
        UserError: the environment cannot be made.
    """
    if isinstance(env, CrowdNavConfig):
        from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv

        return CrowdNavEnv(
            scenario=env.scenario,
            max_steps=env.max_steps,
            scenario_weights=env.scenario_weights,
            lidar_noise=env.lidar_noise,
            reward=env.reward,
            render_mode=render_mode,
        )
    if isinstance(env, GymConfig):
        return _make_gym(env, render_mode)
    if isinstance(env, RobotSFConfig):
        raise UserError("env=robot_sf: its adapter is not in this version; use env=crowd_nav, which has its contract.")
    raise UserError(f"env.name={env.name!r} is not one of: crowd_nav, gym, robot_sf.")


def _make_gym(env: GymConfig, render_mode: str | None) -> RawEnv:
    # an environment need not know render_mode; the contract checks more than Gymnasium's passive checker, quietly
    rendering = {"render_mode": render_mode} if render_mode else {}
    try:
        made: RawEnv = gymnasium.make(env.id, disable_env_checker=True, **rendering, **env.kwargs)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"env.id={env.id!r} cannot be made: {first_line}") from error
    return gymnasium.wrappers.TimeLimit(made, env.max_steps)


def spaces_of(env: EnvConfig) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    """The raw observation and action space; crowd_nav's without starting its simulator.

    Raises:
        UserError: the environment cannot be made.
    """
    if isinstance(env, CrowdNavConfig):
        from dreamer_exp.envs.crowd_nav import spaces

        return spaces.observation_space(), spaces.action_space()
    made = make_raw_env(env)
    made.close()
    return made.observation_space, made.action_space


def contract_of(env: EnvConfig, contract: ObsContractConfig) -> ObservationContract:
    """The contract that `make_env` would apply; raises UserError where the two do not fit."""
    return build_contract(*spaces_of(env), contract)
