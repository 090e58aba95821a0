"""From options to an environment: the raw one, the one behind its observation contract, and its spaces alone."""

import re

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import EnvConfig, ObsContractConfig
from dreamer_exp.envs.action_repeat import ActionRepeat
from dreamer_exp.envs.boundary import BoundaryEnv, make_behind_boundary
from dreamer_exp.envs.contract import ContractEnv, ObservationContract, build_contract
from dreamer_exp.envs.fault_guard import FaultGuard
from dreamer_exp.envs.spec import Spaces, spec_of


def make_env(env: EnvConfig, contract: ObsContractConfig, render_mode: str | None = None) -> ContractEnv:
    """Return the environment that a policy sees: it observes one float32 vector, actions are in [-1, 1] or Discrete.

    Each action is applied `env.action_repeat` times. Baselines act in the raw environment, at every step.

    Raises:
        UserError: the environment does not fit the contract; or as `make_raw_env`.
        EnvironmentFailed: as `make_raw_env`.
    """
    raw = make_raw_env(env, render_mode)
    return ContractEnv(ActionRepeat(raw, env.action_repeat) if env.action_repeat > 1 else raw, contract)


def make_guarded_env(env: EnvConfig, contract: ObsContractConfig, render_mode: str | None = None) -> FaultGuard:
    """Return the environment of `make_env` for a run: up to `env.max_faults` faults only end their episode.

    Raises:
        UserError, EnvironmentFailed: as `make_env`.
    """
    return FaultGuard(make_env(env, contract, render_mode), env.max_faults)


def make_raw_env(env: EnvConfig, render_mode: str | None = None) -> BoundaryEnv:
    """Return the environment with its own observations and actions, truncated at `env.max_steps`.

    Raises:
        UserError: a setting with which the environment cannot be made.
        EnvironmentFailed: the environment failed while it was made.
    """
    spec = spec_of(env)
    return make_behind_boundary(lambda: spec.make(env, render_mode), env.label)


def spaces_of(env: EnvConfig) -> Spaces:
    """Return the raw observation and action space, without starting a simulator if the environment allows that.

    Raises:
        UserError, EnvironmentFailed: as `make_raw_env`.
    """
    spaces = spec_of(env).spaces
    if spaces is not None:
        return spaces(env)
    made = make_raw_env(env)
    made.close()
    return made.observation_space, made.action_space


def contract_of(env: EnvConfig, contract: ObsContractConfig) -> ObservationContract:
    """Return the contract that `make_env` would apply; raise UserError if the two do not fit."""
    try:
        return build_contract(*spaces_of(env), contract)
    except UserError as error:  # which names the group
        raise UserError(re.sub("^env: ", f"{env.label}: ", str(error))) from error


def unchecked(env: EnvConfig) -> str | None:
    """Return one line that names the options which cannot be checked on this machine, or None."""
    return spec_of(env).unchecked(env)


def require(env: EnvConfig) -> None:
    """Raise UserError if a package that the environment needs is missing, before env runners fail for it."""
    spec_of(env).require(env)


def imported_key(env: EnvConfig) -> str | None:
    """Return the key whose value names a module that the environment imports, or None."""
    return spec_of(env).imports(env)
