"""`load_policy`: from a run, a checkpoint or a policy's folder to a policy that acts."""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from dreamer_exp import algorithms
from dreamer_exp.algorithms.acting_network import ActingNetwork
from dreamer_exp.algorithms.policy_values import PolicyFormat
from dreamer_exp.checkpoints.manifest import MANIFEST, resolve
from dreamer_exp.checkpoints.policy_description import DESCRIPTION, described_environment, read_description
from dreamer_exp.checkpoints.policy_source import PREFIX, find_policy
from dreamer_exp.checkpoints.policy_tensors import read_tensors
from dreamer_exp.config.errors import UserError
from dreamer_exp.policy.acting import Policy, PolicyInfo
from dreamer_exp.policy.contract import PolicyContract, read_contract
from dreamer_exp.rundir.plain_file import is_plain

ALGORITHMS = Path(algorithms.__file__).parent


def formats() -> dict[str, PolicyFormat]:
    """Return the policy format of each algorithm in this package that acts with torch alone."""
    names = sorted(path.parent.name for path in ALGORITHMS.glob("*/acting_network.py"))
    return {name: import_module(f"{algorithms.__name__}.{name}.sizes").POLICY_FORMAT for name in names}


def load_policy(
    path: str | os.PathLike[str], *, robots: int | None = None, seed: int = 0, device: str | torch.device = "cpu"
) -> Policy:
    """Return the policy of a run, ready to act. Needs torch, numpy and safetensors alone, and runs no code of files.

    Args:
        path: a run's directory (its best checkpoint, else its latest), a checkpoint, a folder with policy.json and
            policy.safetensors, or `pretrained:NAME`.
        robots: N, the number of robots that one call acts for; None for one without a leading axis.
        seed: of the noise (`Policy.reset`).
        device: where the network computes.

    Raises:
        UserError: there is no policy, a file is incomplete, or its format or algorithm is unknown here.
        ValueError: `robots` is not a whole number of at least 1.
    """
    if robots is not None and (type(robots) is not int or robots < 1):
        raise ValueError(f"robots={robots!r}: it takes a whole number of at least 1, or None")
    folder = find_folder(Path(path))
    description = read_description(folder, formats)
    extra = described_environment(folder, description["extra"])
    return Policy(
        load_network(folder, description).to(device),
        read_info(description["algorithm"], extra),
        _contract(extra, description, folder),
        observation_size=description["observation_size"],
        robots=robots,
        seed=seed,
    )


def find_folder(path: Path) -> Path:
    """Return the folder of policy.json that a path names.

    The files of a checkpoint are compared with its manifest; a folder without one holds nothing else to compare.

    Raises:
        UserError: there is none, or a file differs from the manifest.
    """
    if str(path).startswith(PREFIX):
        return find_policy(str(path)).folder
    if is_plain(path / DESCRIPTION) and not os.path.lexists(path / MANIFEST):
        return path
    return resolve(path)


def load_network(folder: Path, description: Mapping[str, Any]) -> ActingNetwork:
    """Return the network of a policy file, on the CPU; torch's global generator keeps its state.

    Raises:
        UserError: the weights do not fit the description.
    """
    module = import_module(f"{algorithms.__name__}.{description['algorithm']}.acting_network")
    build: Callable[[Mapping[str, Any]], ActingNetwork] = module.build
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = build(description)
    tensors = read_tensors(folder, dict(network.named_parameters()))
    # copies are aligned as a run's weights are, and do not change with the file
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}
    network.load_state_dict(copies, assign=True)
    return network.requires_grad_(False).eval()


def read_info(algorithm: str, extra: Mapping[str, Any]) -> PolicyInfo:
    """Return the info in policy.json; values of another type are left out."""
    environment = extra.get("environment")
    environment = environment if isinstance(environment, dict) else {}
    return PolicyInfo(
        algorithm,
        _typed(extra, "contract_hash", str),
        _typed(extra, "env_steps", int),
        _typed(extra, "updates", int),
        _typed(environment, "name", str),
        _typed(environment, "step_s", float),
        _typed(environment, "action_repeat", int) or 1,
        _units(environment.get("units")),
        _typed(extra, "discount", float),
    )


def _units(tree: Any) -> dict[str, tuple[str, float]]:
    pairs = tree.items() if isinstance(tree, dict) else ()
    return {
        key: (pair[0], pair[1])
        for key, pair in pairs
        if isinstance(pair, list) and [type(part) for part in pair] == [str, float]
    }


def _contract(extra: Mapping[str, Any], description: Mapping[str, Any], folder: Path) -> PolicyContract | None:
    if "contract" not in extra:
        return None
    tree, action, path = extra["contract"], description["action"], folder / DESCRIPTION
    other = UserError(f"{path}: its contract is of another network; name another checkpoint.")
    size = tree.get("size") if isinstance(tree, dict) else None
    if type(size) is int and size != description["observation_size"]:  # first: a contract makes vectors of its size
        raise other
    contract = read_contract(tree, str(path))
    if (contract.action_size, contract.discrete) != (action["size"], action["kind"] == "discrete"):
        raise other
    return contract


def _typed(tree: Mapping[str, Any], key: str, kind: type) -> Any:
    value = tree.get(key)
    return value if type(value) is kind else None
