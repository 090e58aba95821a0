"""Networks without an algorithm, for tests."""

from ray.rllib.core.rl_module.rl_module import RLModule

from dreamer_exp.checkpoints.policy_file import build
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of


def network(experiment: Experiment) -> RLModule:
    """Return an untrained network of the experiment's sizes."""
    contract = contract_of(experiment.env, experiment.obs_contract)
    sizes = experiment.to_dict()["algo"].get("network", {"model_size": "nano", "batch_length_T": 8})
    return build(
        {
            "algorithm": experiment.algo.name,
            "network": sizes,
            "observation_size": contract.size,
            "action": {"kind": contract.action.kind, "size": contract.action.size},
            "symlog_obs": True,
        }
    )
