"""Reading of the policy that enters: a run, a checkpoint, a folder with its two files, or `pretrained:NAME`."""

import re
from dataclasses import dataclass
from pathlib import Path

from dreamer_exp.benchmark.planner import Entrant
from dreamer_exp.benchmark.submission import UNKNOWN, Origin
from dreamer_exp.checkpoints.manifest import CHECKPOINTS, sha256
from dreamer_exp.checkpoints.policy_description import DESCRIPTION, TENSORS, read_description
from dreamer_exp.checkpoints.policy_source import PREFIX
from dreamer_exp.config.errors import UserError
from dreamer_exp.policy.load import find_folder, formats, read_info
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_tree


@dataclass(frozen=True)
class FoundPolicy:
    """A policy, where it comes from, and its run's directory; None without a run."""

    entrant: Entrant
    origin: Origin
    run: Path | None


def find_origin(path: Path) -> FoundPolicy:
    """Return the policy that a path names.

    Raises:
        UserError: there is none, `load_policy` lacks its algorithm, or its files do not give its observation contract.
    """
    folder = find_folder(path if str(path).startswith(PREFIX) else path.resolve())
    description = read_description(folder)
    if description["algorithm"] not in formats():
        raise UserError(
            f"benchmark: {folder} is of algo={description['algorithm']}; it takes policies of {', '.join(formats())}."
        )
    info = read_info(description["algorithm"], description["extra"])
    if info.contract_hash is None:
        raise UserError(
            f"{folder / DESCRIPTION}: contract_hash is missing, so its observation is unknown; name another checkpoint."
        )
    run = folder.parents[1] if folder.parent.name == CHECKPOINTS else None
    if run is not None and not RunDirectory(run).experiment.is_file():
        run = None
    named = folder.parents[1].name if folder.parent.name == CHECKPOINTS else folder.name
    origin = Origin(
        model_id=re.sub(r"[^a-z0-9_]+", "_", f"dreamer_exp_{named}".lower()),
        description=description,
        contract_hash=info.contract_hash,
        action_repeat=info.action_repeat,
        weights=folder / TENSORS,
        sha256=sha256(folder / TENSORS),
        size_bytes=(folder / TENSORS).stat().st_size,
        environment=info.environment or _trained_in(run),
        provenance=None if run is None else read_tree(run / "provenance.json"),
    )
    return FoundPolicy(Entrant(folder, info.contract_hash, info.action_repeat), origin, run)


def _trained_in(run: Path | None) -> str:
    """Return the name of a run's environment."""
    env = {} if run is None else read_tree(RunDirectory(run).experiment).get("env") or {}
    return str(env.get("name", UNKNOWN)) if isinstance(env, dict) else UNKNOWN
