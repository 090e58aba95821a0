"""A trained network as two files that run nothing when they are read: no pickle, no Ray, no environment.

policy.safetensors holds every weight once; policy.json says what network they belong to:

    {"format": 2, "algorithm": "dreamerv3", "network": {"deter": 512, ...}, "observation_size": 831,
     "action": {"kind": "box", "size": 2}, "symlog_obs": true, "extra": {"contract_hash": "...", "env_steps": 512, ...}}

Which keys describe the network is the algorithm's (AlgorithmSpec.policy_format), here `network` and `symlog_obs`.
Format 1 had `learner`, "fast" or "rllib", in the place of `algorithm`. Format of the weights:
https://github.com/huggingface/safetensors (a JSON header, then plain numbers).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.rl_module.rl_module import RLModule
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from dreamer_exp.algorithms.protocol import Implementation, Policy
from dreamer_exp.algorithms.spec import AlgorithmSpec
from dreamer_exp.checkpoints.policy_description import DESCRIPTION, FORMAT, TENSORS, read_description
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.plugins import find_spec
from dreamer_exp.envs.contract import policy_spaces
from dreamer_exp.rundir.atomic import json_text, write_bytes, write_text


def save_policy(module: RLModule, algorithm: str, folder: Path, extra: Mapping[str, Any]) -> None:
    """Write both files into the folder, the description last; each file is replaced atomically.

    Args:
        module: the complete network of the learner, world model included, on any device.
        algorithm: the name of the algorithm.
        folder: where the files go; made if it isn't there.
        extra: JSON values that a reader may want: contract_hash, env_steps, updates.

    Raises:
        ValueError: the module is an env runner's, which has no decoder, heads and critics.
        OSError: the disk takes no more.
    """
    if module.inference_only:
        raise ValueError("an env runner's network lacks the world model's heads: save the learner's.")
    description = json_text({"format": FORMAT, **describe(module, algorithm), "extra": dict(extra)})
    write_bytes(folder / TENSORS, save(_tensors(module)))  # save_file hides an OSError
    write_text(folder / DESCRIPTION, description)


def save_learner_policy(learner: Learner, algorithm: str, folder: Path, extra: Mapping[str, Any]) -> None:
    """Save the policy of a learner, in its process (`Algorithm.on_learner`)."""
    save_policy(learner.module[DEFAULT_MODULE_ID].unwrapped(), algorithm, folder, extra)


def load_policy(folder: Path) -> RLModule:
    """Return the network that `save_policy` wrote, on the CPU; torch's global generator is left as it was.

    Raises:
        UserError: a file is missing or not whole, its format is unknown, or the weights don't fit the description.
    """
    description = read_description(folder)
    module = build(description)
    try:
        found = load_file(folder / TENSORS)
    except SafetensorError as error:
        raise UserError(f"{folder / TENSORS}: not a whole safetensors file; name another checkpoint.") from error
    wanted = _tensors(module)
    for name in sorted(wanted.keys() | found.keys()):
        theirs, ours = found.get(name), wanted.get(name)
        if theirs is None or ours is None or (theirs.shape, theirs.dtype) != (ours.shape, ours.dtype):
            raise UserError(
                f"{folder / TENSORS}: {name} is {_shape_text(theirs)}, and {DESCRIPTION} next to it wants "
                f"{_shape_text(ours)}; the two don't belong together: name another checkpoint."
            )
        ours.copy_(theirs)
    return module


def load_policy_maker(folder: Path) -> Callable[[int], Policy]:
    """Return a function that builds the deterministic policy of a saved network for N episodes.

    Raises:
        UserError: as `load_policy`.
    """
    module, algorithm = load_policy(folder), read_description(folder)["algorithm"]
    return _implementation(algorithm).policy_maker(module)


def describe(module: RLModule, algorithm: str) -> dict[str, Any]:
    """Return what `build` needs to make a network of the same kind and size."""
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
    """Every weight under one name (RLlib's network holds its parts under several), without its history."""
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


def _shape_text(tensor: torch.Tensor | None) -> str:
    return "nothing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
