"""Reading of policy.json and of the header of policy.safetensors, checked against each other without torch.

A network is built only if its weights are in the file: a description of a few bytes can request any amount of memory.
"""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from dreamer_exp.algorithms.policy_values import PolicyFormat, is_count
from dreamer_exp.checkpoints.manifest import CHECKPOINTS, BrokenCheckpoint, read_json
from dreamer_exp.config.errors import UserError
from dreamer_exp.formatting import shortened
from dreamer_exp.rundir.formats import format_fault
from dreamer_exp.rundir.migration import ALGORITHMS
from dreamer_exp.rundir.parse import Unparsable, leaves, parse_json
from dreamer_exp.rundir.plain_file import open_plain

TENSORS, DESCRIPTION = "policy.safetensors", "policy.json"
MAX_HEADER_BYTES = 2**22  # 200 bytes a tensor, and a few hundred tensors
MAX_AXES = 8  # of a tensor: the product over a list that fills the header takes minutes
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class Weights:
    """Names of the tensors in a safetensors file, and how many numbers they have."""

    names: frozenset[str]
    numbers: int  # of all tensors


def formats_of_specs() -> Mapping[str, PolicyFormat]:
    """Return the formats of all algorithms, plug-ins too."""
    from dreamer_exp.config.plugins import find_specs  # imports OmegaConf, which `load_policy` does without

    specs = find_specs("algorithms").items()
    return {name: PolicyFormat(spec.policy_format, spec.policy_weights) for name, spec in specs}


def read_description(
    folder: Path, formats: Callable[[], Mapping[str, PolicyFormat]] = formats_of_specs
) -> dict[str, Any]:
    """Return the content of policy.json, with every key checked that building the network needs.

    Args:
        folder: Of policy.json and policy.safetensors.
        formats: Returns the formats of the algorithms that are known.

    Raises:
        UserError: The file is missing, of an unknown format or incomplete, or its network has more weights than
            policy.safetensors.
    """
    path = folder / DESCRIPTION
    try:
        tree = read_json(path)
    except BrokenCheckpoint as broken:
        raise UserError(f"{broken}; name a checkpoint with {TENSORS} and {DESCRIPTION}.") from broken
    if not isinstance(tree, dict) or "format" not in tree:
        raise UserError(f"{path}: not a policy's description; name another checkpoint.")
    if fault := format_fault(DESCRIPTION, tree):
        raise UserError(f"{path}: {fault}.")
    if tree["format"] == 1:
        tree["algorithm"] = ALGORITHMS.get(str(tree.pop("learner", None)))
    known = formats()
    if key := _first_fault(tree, known):
        value = shortened(repr(tree.get(key)))
        allowed = f"; known here: {', '.join(known)}" if key == "algorithm" else ""
        raise UserError(f"{path}: {key}={value} describes no valid network{allowed}; name another checkpoint.")
    _refuse_more_than(read_weights(folder / TENSORS), tree, known[tree["algorithm"]], path)
    return tree


def described_environment(folder: Path, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return policy.json's `extra`, completed from the run's provenance.json if an older release wrote it."""
    if "contract" in extra or folder.parent.name != CHECKPOINTS:
        return dict(extra)
    try:
        provenance = read_json(folder.parents[1] / "provenance.json")
    except BrokenCheckpoint:  # a checkpoint that was copied by itself
        return dict(extra)
    contract = provenance.get("contract") if isinstance(provenance, dict) else None
    if not isinstance(contract, dict) or contract.get("hash") != extra.get("contract_hash"):
        return dict(extra)
    return {**extra, "contract": contract}


def read_weights(path: Path) -> Weights:
    """Return what the header of a safetensors file has, checked against the size of the file.

    Raises:
        UserError: The file is missing, not a plain file, or not a complete safetensors file.
    """
    try:
        with open_plain(path) as file:
            header = _header(file)
            begin = file.tell()
            return _weights(header, file.seek(0, os.SEEK_END) - begin)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: there is no such file; name a checkpoint with {TENSORS} and {DESCRIPTION}."
        ) from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name another checkpoint.") from error
    except (Unparsable, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a complete safetensors file; name another checkpoint.") from error


def _header(file: BufferedReader) -> Mapping[str, Any]:
    size = int.from_bytes(file.read(8), "little")
    if size > MAX_HEADER_BYTES:
        raise Unparsable(f"has a header of {size:,} bytes")
    header = parse_json(file.read(size))
    if not isinstance(header, dict):
        raise Unparsable("has a header that is not an object")
    return header


def _weights(header: Mapping[str, Any], data_bytes: int) -> Weights:
    """Return what a header has; raises KeyError, TypeError or ValueError for one that does not fit its data."""
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    numbers = total_bytes = 0
    for entry in tensors.values():
        begin, end = entry["data_offsets"]
        count = math.prod(_shape(entry["shape"], data_bytes))
        if not 0 <= begin <= end <= data_bytes or end - begin != count * ITEM_BYTES[entry["dtype"]]:
            raise ValueError("a tensor is not within the file")
        numbers, total_bytes = numbers + count, total_bytes + end - begin
    if total_bytes > data_bytes:
        raise ValueError("tensors overlap")
    return Weights(frozenset(tensors), numbers)


def _shape(value: Any, data_bytes: int) -> list[int]:
    if not isinstance(value, list) or len(value) > MAX_AXES:
        raise ValueError("a shape is not a short list")
    if not all(is_count(size) and size <= data_bytes for size in value):
        raise ValueError("a shape has a size that is not within the file")
    return value


def _refuse_more_than(weights: Weights, tree: Mapping[str, Any], known: PolicyFormat, path: Path) -> None:
    """Raise UserError for a description of a network with more weights than the file.

    Each size is compared alone first, to name the one that is too large.
    """
    described = {key: tree.get(key) for key in ("network", "observation_size", "action")}
    sizes = {key: value for key, value in leaves(described).items() if type(value) is int}
    for key, size in sizes.items():
        if size > weights.numbers:
            raise UserError(f"{path}: {key}={size} makes a larger network than the weights in {TENSORS}.")
    if (expected := known.weights(tree)) > weights.numbers:
        raise UserError(
            f"{path}: its network has {expected:,} weights, but {TENSORS} has {weights.numbers:,}; the files are of "
            "different policies: name another checkpoint."
        )


def _first_fault(description: Mapping[str, Any], formats: Mapping[str, PolicyFormat]) -> str | None:
    """Return the first key without a value that a network can be built from."""
    algorithm = description.get("algorithm")
    if not isinstance(algorithm, str) or algorithm not in formats:
        return "algorithm"
    fits = FITS | dict(formats[algorithm].fits)
    return next((key for key, is_fit in fits.items() if not is_fit(description.get(key))), None)


def _fits_action(action: Any) -> bool:
    return isinstance(action, dict) and action.get("kind") in ("box", "discrete") and is_count(action.get("size"))


FITS: dict[str, Callable[[Any], bool]] = {
    "observation_size": is_count,
    "action": _fits_action,
    "extra": lambda value: isinstance(value, dict),
    "acting_only": lambda value: value in (None, True, False),
}
