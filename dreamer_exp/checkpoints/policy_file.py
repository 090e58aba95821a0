"""A trained network as two files that run nothing when they are read: no pickle, no Ray, no environment.

policy.safetensors holds every weight once; policy.json says what network they belong to:

    {"format": 2, "algorithm": "dreamerv3", "network": {"deter": 512, ...}, "observation_size": 831,
     "action": {"kind": "box", "size": 2}, "symlog_obs": true, "extra": {"contract_hash": "...", "env_steps": 512, ...}}

`network` is NetworkSize's fields for "dreamerv3", and RLlib's model_size and batch_length_T for "dreamerv3_rllib".
Format 1 had `learner`, "fast" or "rllib", in the place of `algorithm`. Format of the weights:
https://github.com/huggingface/safetensors (a JSON header, then plain numbers).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from ray.rllib.algorithms.dreamerv3.dreamerv3_catalog import DreamerV3Catalog
from ray.rllib.algorithms.dreamerv3.torch.dreamerv3_torch_rl_module import DreamerV3TorchRLModule
from ray.rllib.core.rl_module.rl_module import RLModule
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from dreamer_exp.algorithms.dreamerv3.module import AgentModule, action_kind
from dreamer_exp.algorithms.dreamerv3.sizes import NetworkSize
from dreamer_exp.algorithms.dreamerv3_rllib.config import SIZES as RLLIB_SIZES
from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.atomic import json_text, write_bytes, write_text

FORMAT = 2
TENSORS, DESCRIPTION = "policy.safetensors", "policy.json"


def save_policy(module: RLModule, folder: Path, extra: Mapping[str, Any]) -> None:
    """Write both files into the folder, the description last; each file is replaced atomically.

    Args:
        module: the whole network of either learner, world model included, on any device.
        folder: where the files go; made if it isn't there.
        extra: JSON values that a reader may want: contract_hash, env_steps, updates.

    Raises:
        ValueError: the module is an env runner's, which has no decoder, heads and critics.
        OSError: the disk takes no more.
    """
    if module.inference_only:
        raise ValueError("an env runner's network lacks the world model's heads: save the learner's.")
    description = json_text({"format": FORMAT, **describe(module), "extra": dict(extra)})
    write_bytes(folder / TENSORS, save(_tensors(module)))  # save_file hides an OSError
    write_text(folder / DESCRIPTION, description)


def load_policy(folder: Path) -> RLModule:
    """Return the network that `save_policy` wrote, on the CPU; torch's global generator is left as it was.

    Raises:
        UserError: a file is missing or not whole, its format is unknown, or the weights don't fit the description.
    """
    description = read_description(folder)
    module = build(description)
    try:
        found = load_file(_existing(folder / TENSORS))
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


def read_description(folder: Path) -> dict[str, Any]:
    """policy.json, checked as far as building the network takes; `extra` is whatever was given.

    Raises:
        UserError: the file is missing, of an unknown format, or not whole.
    """
    path = _existing(folder / DESCRIPTION)
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        number = tree["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a policy's description; name another checkpoint.") from error
    if number == 1:
        tree["algorithm"] = FORMAT_1.get(str(tree.pop("learner", None)))
    elif number != FORMAT:
        raise UserError(f"{path}: format={number!r} is unknown here, allowed are 1 and {FORMAT}; update dreamer-exp.")
    faults = [key for key, fits in FITS.items() if not fits(tree.get(key))]
    if not faults and not NETWORK_FITS[tree["algorithm"]](tree["network"]):
        faults = ["network"]
    if faults:
        raise UserError(f"{path}: {faults[0]}={tree.get(faults[0])!r} makes no network; name another checkpoint.")
    return dict(tree)


def describe(module: RLModule) -> dict[str, Any]:
    """Return the description from which `build` makes a network of the same kind and size."""
    config = module.model_config
    kind = action_kind(module.action_space)
    fast = isinstance(module, AgentModule)
    return {
        "algorithm": "dreamerv3" if fast else "dreamerv3_rllib",
        "network": asdict(module.agent.size) if fast else {name: config[name] for name in OF_RLLIB},
        "observation_size": int(module.observation_space.shape[0]),
        "action": {"kind": "discrete" if kind.discrete else "box", "size": kind.size},
        "symlog_obs": bool(config["symlog_obs"]),
    }


def build(description: Mapping[str, Any]) -> RLModule:
    """Return a network of this description with arbitrary weights; torch's global generator is left as it was."""
    action, network = description["action"], description["network"]
    spaces = {
        "observation_space": gymnasium.spaces.Box(-np.inf, np.inf, (description["observation_size"],), np.float32),
        "action_space": gymnasium.spaces.Discrete(action["size"])
        if action["kind"] == "discrete"
        else gymnasium.spaces.Box(-1.0, 1.0, (action["size"],), np.float32),
    }
    shared = {"symlog_obs": description["symlog_obs"]}
    with torch.random.fork_rng(devices=[]):
        if description["algorithm"] == "dreamerv3":
            return AgentModule(**spaces, inference_only=False, model_config={**shared, "size": network, "seed": 0})
        model_config = {**shared, **network}
        return DreamerV3TorchRLModule(
            **spaces, inference_only=False, model_config=model_config, catalog_class=DreamerV3Catalog
        )


OF_RLLIB = ("model_size", "batch_length_T")


def _whole(value: Any) -> bool:
    return type(value) is int and value >= 1


def _fits_fast(network: Mapping[str, Any]) -> bool:
    names = {field.name for field in fields(NetworkSize)}
    return names == set(network) and all(map(_whole, network.values())) and network["deter"] % network["blocks"] == 0


def _fits_rllib(network: Mapping[str, Any]) -> bool:
    return set(network) == set(OF_RLLIB) and network["model_size"] in RLLIB_SIZES and _whole(network["batch_length_T"])


def _fits_action(action: Any) -> bool:
    return isinstance(action, dict) and action.get("kind") in ("box", "discrete") and _whole(action.get("size"))


FORMAT_1 = {"fast": "dreamerv3", "rllib": "dreamerv3_rllib"}  # `learner` of format 1: the algorithm
NETWORK_FITS = {"dreamerv3": _fits_fast, "dreamerv3_rllib": _fits_rllib}
FITS: dict[str, Callable[[Any], bool]] = {
    "algorithm": lambda value: value in ("dreamerv3", "dreamerv3_rllib"),
    "network": lambda value: isinstance(value, dict),
    "observation_size": _whole,
    "action": _fits_action,
    "symlog_obs": lambda value: isinstance(value, bool),
    "extra": lambda value: isinstance(value, dict),
}


def _tensors(module: RLModule) -> dict[str, torch.Tensor]:
    """Every weight under one name (RLlib's network holds its parts under several), without its history."""
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


def _shape_text(tensor: torch.Tensor | None) -> str:
    return "nothing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; name a checkpoint that holds {TENSORS} and {DESCRIPTION}.")
    return path
