"""diagnostics/nonfinite_<update>/: the inputs and results of the update that diverged, and how to repeat it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate
from dreamer_exp.algorithms.protocol import Algorithm, BatchNames
from dreamer_exp.algorithms.spec import AlgorithmSpec
from dreamer_exp.checkpoints.manifest import CHECKPOINTS, FOLDER_NAME
from dreamer_exp.checkpoints.policy_description import TENSORS
from dreamer_exp.checkpoints.policy_file import save_learner_policy
from dreamer_exp.config.command_words import pasteable
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.formatting import gibibytes
from dreamer_exp.rundir.atomic import replace_folder, write_json, write_text
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.parse import parse_object
from dreamer_exp.rundir.plain_file import open_plain, read_plain
from dreamer_exp.rundir.reader import read_rows

BATCH, STATE, RANGES, LOSSES, ROWS, COMMAND = (
    "batch.npz", "state.npz", "ranges.json", "losses.json", "rows.json", "command.txt"
)  # fmt: skip
LAST_ROWS = 20
MAX_LOSSES_BYTES = 2**20
MAX_ARRAYS_BYTES = 2**31


def write_diagnostics(
    root: Path,
    update: NonFiniteUpdate,
    algorithm: Algorithm,
    contract: ObservationContract,
    checkpoint: Path | None,
    *,
    spec: AlgorithmSpec,
) -> Path:
    """Write the diagnostics of an update atomically; return their folder.

    - batch.npz: the batch of the update, by the learner's names; can be read with allow_pickle=False;
    - ranges.json: minimum, maximum and count of non-finite values of each observation key, of actions and rewards;
    - losses.json: losses and gradient norms ("nan" and "inf" as text), and where the weights are;
    - policy.safetensors, policy.json, state.npz: weights, return range and noise before the update, if they are known
      (learners on the CPU); otherwise the checkpoint has the nearest ones;
    - rows.json: the last rows of the run;
    - command.txt: the command that repeats the update.

    Args:
        root: the run's directory.
        update: the update.
        algorithm: the algorithm as the update left it.
        contract: gives the observation keys.
        checkpoint: the newest complete checkpoint of the run, if there is one.
        spec: of the algorithm.
    """
    folder = _unused(root / "diagnostics" / f"nonfinite_{update.number:09d}")
    with replace_folder(folder) as temporary:
        _save(temporary / BATCH, update.batch)
        write_json(temporary / RANGES, ranges(update.batch, spec.load().batch_names, contract))
        write_json(temporary / LOSSES, _losses(update, contract, checkpoint))
        write_json(temporary / ROWS, read_rows(RunDirectory(root).result)[-LAST_ROWS:])
        if update.untouched:
            _save(temporary / STATE, update.state)
            about = {"contract_hash": contract.hash}
            algorithm.on_learner(partial(save_learner_policy, algorithm=spec.name, folder=temporary, extra=about))
        write_text(temporary / COMMAND, pasteable("replay-update", folder) + "\n")
    return folder


@dataclass(frozen=True)
class Diagnostics:
    """Diagnostics that were read from a folder.

    Attributes:
        batch: the batch of the update.
        state: the learner's state before the update, if it was known.
        losses: the content of losses.json.
        weights: the folder of policy.safetensors, either the diagnostics or a checkpoint; None if it is missing.
    """

    batch: dict[str, NDArray[Any]]
    state: dict[str, NDArray[Any]]
    losses: dict[str, Any]
    weights: Path | None


def read_diagnostics(folder: Path) -> Diagnostics:
    """Return the diagnostics in a folder, which may have moved with its run.

    Raises:
        OSError: the folder is missing or incomplete.
        ValueError: a file is damaged.
    """
    losses = parse_object(read_plain(folder / LOSSES, MAX_LOSSES_BYTES))
    if losses is None:
        raise ValueError(f"{folder / LOSSES}: not a JSON object")
    if missing := next((key for key in ("update", "figures", "contract_hash") if key not in losses), None):
        raise ValueError(f"{folder / LOSSES}: {missing} is missing")
    places, checkpoint = [folder], losses.get("checkpoint")
    if isinstance(checkpoint, str) and FOLDER_NAME.fullmatch(checkpoint):
        places.append(folder.parents[1] / CHECKPOINTS / checkpoint)
    state = _load(folder / STATE) if (folder / STATE).exists() else {}
    weights = next((place for place in places if (place / TENSORS).exists()), None)
    return Diagnostics(_load(folder / BATCH), state, losses, weights)


def ranges(batch: Mapping[str, NDArray[Any]], names: BatchNames, contract: ObservationContract) -> dict[str, Any]:
    """Return `min` and `max` of the finite values and the number of others (`not_finite`).

    The result has the keys `observation`, `action` and `reward`; each observation key also has the bounds of the
    contract.
    """
    observation = batch[names.observation]
    bounds = {entry["key"]: {"low": entry["low"], "high": entry["high"]} for entry in contract.to_dict()["entries"]}
    keys = {
        entry.key: _range(observation[..., entry.start : entry.stop]) | bounds[entry.key] for entry in contract.entries
    }
    return {
        "observation": keys,
        "action": _range(batch[names.action]),
        "reward": _range(batch[names.reward]),
    }


def _range(values: NDArray[Any]) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    minimum, maximum = (float(finite.min()), float(finite.max())) if finite.size else (None, None)
    return {"min": minimum, "max": maximum, "not_finite": int(values.size - finite.size)}


def _losses(update: NonFiniteUpdate, contract: ObservationContract, checkpoint: Path | None) -> dict[str, Any]:
    broken = update.broken
    return {
        "update": update.number,
        "not_finite": sorted(broken),
        "figures": {name: str(value) if name in broken else value for name, value in update.figures.items()},
        "weights_before": update.untouched,
        "checkpoint": checkpoint.name if checkpoint else None,
        "contract_hash": contract.hash,
    }


def _unused(folder: Path) -> Path:
    """Return the folder, or its name with _2, _3, ... if the run diverged at this update before."""
    unused, number = folder, 1
    while unused.exists():
        number += 1
        unused = folder.with_name(f"{folder.name}_{number}")
    return unused


def _save(path: Path, arrays: Mapping[str, Any]) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **{name: np.asarray(value) for name, value in arrays.items()})


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file; raise OSError or ValueError for any other, or if they are too large."""
    with open_plain(path, MAX_ARRAYS_BYTES) as file:
        try:
            size_bytes = sum(member.file_size for member in ZipFile(file).infolist())
        except BadZipFile as error:
            raise ValueError(f"{path}: not an .npz file") from error
        if size_bytes > MAX_ARRAYS_BYTES:
            raise ValueError(f"{path}: its arrays are larger than {gibibytes(MAX_ARRAYS_BYTES)}")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
