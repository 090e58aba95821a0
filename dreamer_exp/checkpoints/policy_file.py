"""A trained network as two files. Reading them runs no code: no pickle, no Ray, no environment.

policy.safetensors contains every weight once; policy.json describes the network:

    {"format": 2, "algorithm": "dreamerv3", "network": {"deter": 512, ...}, "observation_size": 831,
     "action": {"kind": "box", "size": 2}, "symlog_obs": true, "extra": {"contract_hash": "...", "env_steps": 512, ...}}

The algorithm defines the keys that describe the network (AlgorithmSpec.policy_format), here `network` and `symlog_obs`.
Weights are float32, or, to save space, float16, or int8 with a float32 scale for each row, `NAME.scale`. With
`"acting_only": true`, decoder, reward head and critics are missing. Format 1 had the key `learner` with the values
"fast" and "rllib" instead of `algorithm`. Format of the weights: https://github.com/huggingface/safetensors (a JSON
header, then plain numbers).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.rl_module.rl_module import RLModule
from safetensors.torch import save

from dreamer_exp.algorithms.protocol import Implementation, Policy
from dreamer_exp.algorithms.spec import AlgorithmSpec
from dreamer_exp.checkpoints.policy_description import DESCRIPTION, TENSORS, read_description
from dreamer_exp.checkpoints.policy_tensors import read_tensors
from dreamer_exp.config.plugins import find_spec
from dreamer_exp.envs.contract import policy_spaces
from dreamer_exp.rundir.atomic import json_text, write_bytes, write_text
from dreamer_exp.rundir.formats import current_format


def save_policy(module: RLModule, algorithm: str, folder: Path, extra: Mapping[str, Any]) -> None:
    """Write both files into the folder, the description last; each file is replaced atomically.

    Args:
        module: The complete network of the learner, including the world model, on any device.
        algorithm: Name of the algorithm.
        folder: Folder of the files, created if needed.
        extra: Further JSON values: contract_hash, env_steps, updates.

    Raises:
        ValueError: The module is that of an env runner, which has no decoder, heads and critics.
        OSError: The files cannot be written.
    """
    if module.inference_only:
        raise ValueError("an env runner's network lacks the world model's heads: save the learner's.")
    description = json_text(
        {"format": current_format(DESCRIPTION), **describe(module, algorithm), "extra": dict(extra)}
    )
    write_bytes(folder / TENSORS, save(_tensors(module)))  # safetensors.torch.save_file would convert an OSError
    write_text(folder / DESCRIPTION, description)


def save_learner_policy(learner: Learner, algorithm: str, folder: Path, extra: Mapping[str, Any]) -> None:
    """Save the policy of a learner, in its process (`Algorithm.on_learner`)."""
    save_policy(learner.module[DEFAULT_MODULE_ID].unwrapped(), algorithm, folder, extra)


def load_policy(folder: Path) -> RLModule:
    """Return the network that `save_policy` wrote, on the CPU; torch's global generator keeps its state.

    Raises:
        UserError: A file is missing or incomplete, its format is unknown, or the weights don't fit the description.
    """
    description = read_description(folder)
    module = build(description)
    expected = _tensors(module)
    for name, tensor in read_tensors(folder, expected).items():
        expected[name].copy_(tensor)
    return module


def read_arrays(folder: Path, parts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Return the weights of these parts by name, as `load_policy` reads them.

    Args:
        folder: Of the two files.
        parts: First words of the names: "agent.encoder".

    Raises:
        UserError: As `load_policy`.
    """
    prefixes = tuple(f"{part}." for part in parts)
    return {name: tensor.numpy() for name, tensor in _tensors(load_policy(folder)).items() if name.startswith(prefixes)}


def load_policy_maker(folder: Path, device: str = "cpu") -> Callable[[int], Policy]:
    """Return a function that builds the deterministic policy of a saved network for N episodes.

    Args:
        folder: Of the two files.
        device: Where it acts, "cpu" or "cuda".

    Raises:
        UserError: As `load_policy`.
    """
    module, algorithm = load_policy(folder), read_description(folder)["algorithm"]
    make = _implementation(algorithm).policy_maker(module)
    return make if device == "cpu" else partial(make, device=device)


def describe(module: RLModule, algorithm: str) -> dict[str, Any]:
    """Return the description from which `build` makes a network of the same kind and size."""
    observation_space, action_space = module.observation_space, module.action_space
    discrete = isinstance(action_space, gymnasium.spaces.Discrete)
    return {
        "algorithm": algorithm,
        "observation_size": int(observation_space.shape[0]),
        "action": {
            "kind": "discrete" if discrete else "box",
            "size": int(action_space.n if discrete else action_space.shape[0]),
        },
        **_implementation(algorithm).describe_network(module),
    }


def build(description: Mapping[str, Any]) -> RLModule:
    """Return a network of this description with arbitrary weights; torch's global generator keeps its state."""
    action = description["action"]
    spaces = policy_spaces(description["observation_size"], action["kind"], action["size"])
    with torch.random.fork_rng(devices=[]):
        return _implementation(description["algorithm"]).build_network(description, *spaces)


def _implementation(algorithm: str) -> Implementation:
    spec: AlgorithmSpec = find_spec("algorithms", algorithm)
    return spec.load()


def _tensors(module: RLModule) -> dict[str, torch.Tensor]:
    """Return every weight once, detached; RLlib's network has several names for some weights."""
    return {name: parameter.detach() for name, parameter in module.named_parameters()}
