"""EnvConfig -> environment: the raw one, the one behind its observation contract, and its spaces alone."""

from typing import Any

import gymnasium

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import CrowdNavConfig, EnvConfig, GymConfig, ObsContractConfig, RobotSFConfig
from dreamer_exp.envs.contract import ContractEnv, ObservationContract, build_contract
from dreamer_exp.envs.fault_guard import FaultGuard

RawEnv = gymnasium.Env[Any, Any]


def make_env(env: EnvConfig, contract: ObsContractConfig, render_mode: str | None = None) -> ContractEnv:
    """The environment that the policy sees: one float32 vector in, actions in [-1, 1] or Discrete out.

    Raises:
        UserError: the environment cannot be made, or does not fit the contract.
    """
    return ContractEnv(make_raw_env(env, render_mode), contract)


def make_guarded_env(env: EnvConfig, contract: ObsContractConfig, render_mode: str | None = None) -> FaultGuard:
    """The same for a run: up to `env.max_faults` broken observations and rewards end their episode alone.

    Raises:
        UserError: as `make_env`.
    """
    return FaultGuard(make_env(env, contract, render_mode), env.max_faults)


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
        return _make_robot_sf(env, render_mode)
    raise UserError(f"env.name={env.name!r} is not one of: crowd_nav, gym, robot_sf.")


def _make_robot_sf(env: RobotSFConfig, render_mode: str | None) -> RawEnv:
    from dreamer_exp.envs.robot_sf.env import RobotSFEnv

    if render_mode is not None:
        raise UserError(f"env=robot_sf gives no frames for render_mode={render_mode!r}; env=crowd_nav does.")
    return RobotSFEnv(env)


def _make_gym(env: GymConfig, render_mode: str | None) -> RawEnv:
    # an environment need not know render_mode; the contract checks more than Gymnasium's passive checker, quietly
    rendering: dict[str, Any] = {"render_mode": render_mode} if render_mode else {}
    try:
        made: RawEnv = gymnasium.make(env.id, disable_env_checker=True, **rendering, **env.kwargs)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"env.id={env.id!r} cannot be made: {first_line}") from error
    return gymnasium.wrappers.TimeLimit(made, env.max_steps)


def spaces_of(env: EnvConfig) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    """The raw observation and action space; crowd_nav's without starting its simulator, Robot SF's also without it.

    Raises:
        UserError: the environment cannot be made.
    """
    if isinstance(env, CrowdNavConfig):
        from dreamer_exp.envs.crowd_nav import options, spaces

        options.check_scenario(env.scenario)
        options.family_probabilities(env.scenario_weights)
        return spaces.observation_space(), spaces.action_space()
    if isinstance(env, RobotSFConfig):
        from dreamer_exp.envs.robot_sf import check

        return check.spaces_of(env)
    made = make_raw_env(env)
    made.close()
    return made.observation_space, made.action_space


def contract_of(env: EnvConfig, contract: ObsContractConfig) -> ObservationContract:
    """The contract that `make_env` would apply; raises UserError where the two do not fit."""
    return build_contract(*spaces_of(env), contract)


def unchecked(env: EnvConfig) -> str | None:
    """What could not be checked about the environment on this machine, in one line, or None."""
    if not isinstance(env, RobotSFConfig):
        return None
    from dreamer_exp.envs.robot_sf import check

    return check.unchecked(env)


def require(env: EnvConfig) -> None:
    """Raises UserError where the environment's package is missing: a run would fail in its env runners."""
    if isinstance(env, RobotSFConfig):
        from dreamer_exp.envs.robot_sf import package

        package.load()


def evaluation_options(env: EnvConfig, index: int) -> dict[str, Any] | None:
    """The options that the env's reset takes for the evaluation's episode `index`: a matrix is driven in order."""
    if isinstance(env, RobotSFConfig) and env.scenario_matrix.path is not None:
        return {"scenario": index}
    return None
