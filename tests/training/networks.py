"""Networks for tests that need one, and no algorithm around it."""

from ray.rllib.core.rl_module.rl_module import RLModule

from dreamer_exp.checkpoints.policy_file import build
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of


def network(asked: Experiment) -> RLModule:
    """An untrained one of the experiment's sizes."""
    contract = contract_of(asked.env, asked.obs_contract)
    sizes = asked.to_dict()["algo"].get("network", {"model_size": "nano", "batch_length_T": 8})
    return build(
        {
            "algorithm": asked.algo.name,
            "network": sizes,
            "observation_size": contract.size,
            "action": {"kind": contract.action.kind, "size": contract.action.size},
            "symlog_obs": True,
        }
    )
