"""A trained policy as a planner of Robot SF's runner."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.encoders import LIDAR
from dreamer_exp.envs.contract import ObservationContract, build_contract
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.map_runner import NAME
from dreamer_exp.envs.robot_sf.spaces import known
from dreamer_exp.policy.acting import Policy
from dreamer_exp.policy.contract import PolicyContract
from dreamer_exp.policy.load import load_policy

OBSERVED = ("drive_state", "rays")
ENCODERS: tuple[dict[str, str], ...] = ({}, {"rays": LIDAR})
CHOICES = tuple(product((OBSERVED, OBSERVED[::-1]), ("all", "latest"), ("none", "metric"), ENCODERS))
"""Keys, frames, scaling and encoders of the contracts that the runner's observation can fill."""


@dataclass(frozen=True)
class Entrant:
    """A trained policy that enters the benchmark.

    Attributes:
        folder: of policy.json and policy.safetensors.
        contract_hash: of the observation contract that it was trained with.
        action_repeat: steps for which each action is applied.
    """

    folder: Path
    contract_hash: str
    action_repeat: int = 1

    def load(self) -> Policy:
        """Return the policy, with its contract also where its files do not describe it."""
        policy = load_policy(self.folder)
        policy.contract = PolicyContract(contract_of_hash(self.contract_hash).to_dict())
        return policy


def contract_of_hash(contract_hash: str) -> ObservationContract:
    """Return the contract with this hash, among those that the runner's observation can fill.

    Raises:
        UserError: there is none.
    """
    observation, action = known(RobotSFConfig())
    for keys, frames, scaling, encoders in CHOICES:
        config = ObsContractConfig("benchmark", list(keys), frames, scaling, encoders)
        if (contract := build_contract(observation, action, config)).hash == contract_hash:
            return contract
    raise UserError(
        f"benchmark: the policy's observation contract {contract_hash} is not one of drive_state (3, 5) and rays "
        "(3, 272), which the runner supplies, with accelerations as actions; train with obs_contract=drive_state_rays, "
        "drive_state_rays_latest or drive_state_rays_metric."
    )


class RunnerPlanner:
    """The deterministic policy as Robot SF's runner calls it: an observation in, native accelerations out.

    The runner finds `_planner_...` by these names. It calls `_planner_reset` once an episode.
    """

    _planner_native_env_action = True  # the runner applies what we return as the environment's action

    def __init__(self, policy: Policy, action_repeat: int) -> None:
        self._policy, self._repeat = policy, action_repeat
        self._planner_reset()

    def _planner_reset(self, seed: int | None = None) -> None:
        """Begin an episode: initial recurrent state, and the latents' noise of this seed."""
        self._policy.reset(seed=0 if seed is None else int(seed))
        self._step = 0
        self._action: NDArray[np.float32] = np.zeros(2, np.float32)

    def _planner_close(self) -> None:
        """Do nothing: the network belongs to the process."""

    def __call__(self, observation: Mapping[str, Any]) -> tuple[float, float]:
        """Return linear and angular acceleration in [-1, 1].

        Raises:
            ObservationError: a number of the observation is not finite or out of its bounds.
            ValueError: the policy returned a number that is not finite.
        """
        if self._step % self._repeat == 0:
            self._action = self._policy.act(observation)
            if not np.isfinite(self._action).all():
                raise ValueError(f"step {self._step}: the policy's action is {self._action.tolist()}")
        self._step += 1
        return float(self._action[0]), float(self._action[1])


def planner_builder(entrant: Entrant) -> Callable[..., tuple[RunnerPlanner, dict[str, Any]]]:
    """Return what builds the planner of an entrant for each episode, in the form that the runner calls."""
    policy = entrant.load()

    def build(algo: str, config: Mapping[str, Any], **robot: Any) -> tuple[RunnerPlanner, dict[str, Any]]:
        return RunnerPlanner(policy, entrant.action_repeat), {"algorithm": NAME, "status": "ok", "config": dict(config)}

    return build
