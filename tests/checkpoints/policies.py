"""Policies of small networks as checkpoints, without training."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.checkpoints.manifest import MANIFEST, manifest
from dreamer_exp.checkpoints.policy_description import DESCRIPTION, TENSORS
from dreamer_exp.checkpoints.policy_file import build, save_policy
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of
from dreamer_exp.rundir.atomic import write_json, write_text
from dreamer_exp.rundir.layout import RunDirectory


def saved_run(root: Path, experiment: Experiment, seed: int = 1) -> Path:
    """Write a run's directory with one checkpoint of random weights; return the checkpoint."""
    contract = contract_of(experiment.env, experiment.obs_contract)
    about = {"iteration": 1, "env_steps": 512, "updates": 8}
    module = build(
        {
            "algorithm": experiment.algo.name,
            **spec_of(experiment.algo).network(experiment.algo),
            "observation_size": contract.size,
            "action": {"kind": contract.action.kind, "size": contract.action.size},
        }
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.nan_to_num_().add_(0.1 * torch.randn(parameter.shape, generator=generator))
    checkpoint = root / "checkpoints" / "000000512"
    save_policy(module, experiment.algo.name, checkpoint, {**about, "contract_hash": contract.hash})
    seal(checkpoint, {**about, "contract_hash": contract.hash})
    write_text(root / "checkpoints" / "latest", checkpoint.name)
    write_text(RunDirectory(root).experiment, experiment.to_yaml())
    write_json(RunDirectory(root).provenance, {"format": 2, "contract": contract.to_dict()})
    return checkpoint


def seal(folder: Path, about: dict[str, Any]) -> None:
    """Write the manifest of the files as they are now."""
    write_json(folder / MANIFEST, manifest(folder, about))


def keep_acting_parts(folder: Path) -> None:
    """Leave only what acting needs in a policy's files, in float16."""
    description = json.loads((folder / DESCRIPTION).read_text())
    kept = ("agent.encoder.", "agent.rssm.", "agent.actor.")
    tensors = {name: tensor.half() for name, tensor in load_file(folder / TENSORS).items() if name.startswith(kept)}
    save_file(tensors, folder / TENSORS)
    write_json(folder / DESCRIPTION, {**description, "acting_only": True})
    seal(folder, description["extra"])
