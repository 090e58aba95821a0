"""Policies with random weights, saved as a run saves them."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from ray.rllib.core.rl_module.rl_module import RLModule
from safetensors.torch import load_file, save_file

from dreamer_exp.algorithms.dreamerv3.sizes import BINS, SIZES
from dreamer_exp.checkpoints.policy_file import build, save_policy
from dreamer_exp.checkpoints.policy_interface import policy_interface
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of
from tests.experiments import nano

ALGORITHMS = ("dreamerv3", "dreamerv3_rllib")


def network_of(algorithm: str, model_size: str = "nano") -> dict[str, Any]:
    """Return `network` of a policy.json."""
    return asdict(SIZES[model_size]) if algorithm == "dreamerv3" else {"model_size": model_size, "batch_length_T": 8}


def changed(folder: Path, **values: Any) -> Path:
    """Change values of policy.json."""
    file = folder / "policy.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    return folder


def pack_acting_only(folder: Path) -> Path:
    """Make of a policy of dreamerv3 what `checkpoints.pack acting_only=true` writes."""
    tensors = load_file(folder / "policy.safetensors")
    kept = ("agent.encoder.", "agent.rssm.", "agent.actor.")
    save_file(
        {name: tensor.half() for name, tensor in tensors.items() if name.startswith(kept)},
        folder / "policy.safetensors",
    )
    return changed(folder, acting_only=True)


def random_network(
    algorithm: str, observation_size: int, action: Mapping[str, Any], model_size: str = "nano"
) -> RLModule:
    """Return a network whose every weight is random, those that begin as zeros too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build(
            {
                "algorithm": algorithm,
                "network": network_of(algorithm, model_size),
                "observation_size": observation_size,
                "action": action,
                "symlog_obs": True,
            }
        )
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
            if algorithm == "dreamerv3":  # returns near 0, as a trained critic's: those of random bins are near 1e6
                module.agent.critic[-1].bias.sub_((torch.arange(BINS) - BINS // 2).abs())
    return module


def save_random(
    folder: Path, algorithm: str = "dreamerv3", *overrides: str, experiment: Experiment | None = None
) -> RLModule:
    """Save a random policy for the environment of an experiment; return its network."""
    settings = experiment or nano(f"algo={algorithm}", *overrides)
    contract = contract_of(settings.env, settings.obs_contract)
    module = random_network(algorithm, contract.size, asdict(contract.action))
    about = {"contract_hash": contract.hash, "env_steps": 512, "updates": 64}
    save_policy(module, algorithm, folder, {**about, **policy_interface(settings, contract)})
    return module
