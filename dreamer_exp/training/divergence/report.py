"""diagnostics/nonfinite_<update>/: what is needed to see why training diverged, and to do that update again."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import Learner

from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.checkpoints.policy_file import TENSORS, save_policy
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.rundir.atomic import replace_folder, write_json, write_text
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_rows

BATCH, STATE, RANGES, LOSSES, ROWS, COMMAND = (
    "batch.npz", "state.npz", "ranges.json", "losses.json", "rows.json", "command.txt"
)  # fmt: skip
LAST_ROWS = 20
OBSERVATIONS = ("observation", "obs")  # in a batch of the fast learner, and of RLlib's
ACTIONS, REWARDS = ("action", "actions"), ("reward", "rewards")


def write_diagnostics(
    root: Path,
    found: NonFiniteUpdate,
    algorithm: BaseDreamerV3,
    contract: ObservationContract,
    checkpoint: Path | None,
) -> Path:
    """Writes the folder whole or not at all; returns it.

    - batch.npz: what the update was computed from, by the learner's names; reads with allow_pickle=False;
    - ranges.json: least, greatest and how many not finite, of each observation key, of actions and rewards;
    - losses.json: its figures ("nan" and "inf" as words), and where its weights are;
    - policy.safetensors, policy.json, state.npz: weights, return range and noise before it, where they are still known
      (on the CPU); else the checkpoint's are the nearest;
    - rows.json: the run's last rows;
    - command.txt: the command that does the update again.

    Args:
        root: the run's directory.
        found: the update.
        algorithm: as the update left it, not restored yet.
        contract: tells the observation's keys.
        checkpoint: the run's last whole one, in its checkpoints/ folder, if there is one.
    """
    folder = _unused(root / "diagnostics" / f"nonfinite_{found.number:09d}")
    with replace_folder(folder) as temporary:
        _save(temporary / BATCH, found.batch)
        write_json(temporary / RANGES, ranges(found.batch, contract))
        write_json(temporary / LOSSES, _losses(found, contract, checkpoint))
        write_json(temporary / ROWS, read_rows(RunDirectory(root).result)[-LAST_ROWS:])
        if found.untouched:
            _save(temporary / STATE, found.state)
            call = partial(_save_policy, folder=temporary, extra={"contract_hash": contract.hash})
            next(iter(algorithm.learner_group.foreach_learner(call))).get()
        write_text(temporary / COMMAND, f"python -m dreamer_exp.replay_update {shlex.quote(str(folder))}\n")
    return folder


@dataclass(frozen=True)
class Diagnostics:
    """Such a folder, read."""

    batch: dict[str, NDArray[Any]]
    state: dict[str, NDArray[Any]]
    losses: dict[str, Any]
    weights: Path | None  # the folder of policy.safetensors: this one, or the checkpoint; None where that is gone


def read_diagnostics(folder: Path) -> Diagnostics:
    """What `write_diagnostics` wrote, wherever the run's directory is now; raises OSError where it isn't one."""
    losses = json.loads((folder / LOSSES).read_text(encoding="utf-8"))
    places = [folder]
    if losses["checkpoint"] is not None:
        places.append(folder.parents[1] / "checkpoints" / losses["checkpoint"])
    state = _load(folder / STATE) if (folder / STATE).exists() else {}
    weights = next((place for place in places if (place / TENSORS).exists()), None)
    return Diagnostics(_load(folder / BATCH), state, losses, weights)


def ranges(batch: Mapping[str, NDArray[Any]], contract: ObservationContract) -> dict[str, Any]:
    """By observation key, action and reward: `min` and `max` of the finite numbers, how many are `not_finite`, and of
    the keys the bounds that the contract promises."""
    observation = _either(batch, OBSERVATIONS)
    bounds = {entry["key"]: {"low": entry["low"], "high": entry["high"]} for entry in contract.to_dict()["entries"]}
    keys = {
        entry.key: _range(observation[..., entry.start : entry.stop]) | bounds[entry.key] for entry in contract.entries
    }
    return {
        "observation": keys,
        "action": _range(_either(batch, ACTIONS)),
        "reward": _range(_either(batch, REWARDS)),
    }


def _range(values: NDArray[Any]) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    least, greatest = (float(finite.min()), float(finite.max())) if finite.size else (None, None)
    return {"min": least, "max": greatest, "not_finite": int(values.size - finite.size)}


def _losses(found: NonFiniteUpdate, contract: ObservationContract, checkpoint: Path | None) -> dict[str, Any]:
    broken = found.broken
    return {
        "update": found.number,
        "not_finite": sorted(broken),
        "figures": {name: str(value) if name in broken else value for name, value in found.figures.items()},
        "weights_before": found.untouched,
        "checkpoint": checkpoint.name if checkpoint else None,
        "contract_hash": contract.hash,
    }


def _save_policy(learner: Learner, folder: Path, extra: dict[str, Any]) -> None:
    save_policy(learner.module[DEFAULT_MODULE_ID].unwrapped(), folder, extra)


def _unused(folder: Path) -> Path:
    """The folder, or the same name with _2, _3, ... where the run has diverged at this update before."""
    taken = 1
    while (other := folder if taken == 1 else folder.with_name(f"{folder.name}_{taken}")).exists():
        taken += 1
    return other


def _either(batch: Mapping[str, NDArray[Any]], names: tuple[str, str]) -> NDArray[Any]:
    return next(batch[name] for name in names if name in batch)


def _save(path: Path, arrays: Mapping[str, Any]) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **{name: np.asarray(value) for name, value in arrays.items()})


def _load(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}
