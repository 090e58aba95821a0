"""Policies for evaluations: without a network, and with a random one."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dreamer_exp.algorithms.dreamerv3.module import AgentModule
from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.checkpoints.policy_file import build
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of
from dreamer_exp.evaluation.rollout import MakePolicy


class Still:
    """Policy that never moves."""

    def __init__(self, rows: int) -> None:
        self.actions = np.zeros((rows, 2), np.float32)

    def begin(self, row: int, seed: int) -> None:
        """Begin nothing."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        assert len(observations) == len(self.actions)
        return self.actions


class Wanderer:
    """Policy that draws random actions, in each row from the seed of its episode."""

    def __init__(self, rows: int) -> None:
        self.rngs = [np.random.default_rng(0)] * rows

    def begin(self, row: int, seed: int) -> None:
        self.rngs[row] = np.random.default_rng(seed)

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        return np.stack([rng.uniform([-0.2, -1.0], [1.0, 1.0]) for rng in self.rngs]).astype(np.float32)


class GloballyRandom(Still):
    """Policy that draws its actions from torch's global generator."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        return torch.rand(len(observations), 2).numpy()


def network(experiment: Experiment) -> AgentModule:
    """Return a random network for the experiment, nano; its actions are not small."""
    from dataclasses import asdict

    from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

    contract = contract_of(experiment.env, experiment.obs_contract)
    module = build(
        {
            "algorithm": "dreamerv3",
            "network": asdict(SIZES["nano"]),
            "observation_size": contract.size,
            "action": {"kind": "box", "size": 2},
            "symlog_obs": True,
        }
    )
    with torch.no_grad():
        module.agent.actor[-1].weight.normal_(generator=torch.Generator().manual_seed(0))
    return module


def network_policy(experiment: Experiment) -> MakePolicy:
    """Return the policy of a random network."""
    make: MakePolicy = spec_of(experiment.algo).load().policy_maker(network(experiment))
    return make
