"""Recompose the config of an experiment.yaml under new overrides, for resume and evaluate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dreamer_exp.config import compose, schema
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment, Hardware, fingerprint
from dreamer_exp.config.plugins import SPECS, find_spec
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import RunReader

GROUPS = ("run", "env", "obs_contract", "algo", "hardware", "tracking", "evaluation")
OF_THIS_COMMAND = ("resume", "trust", "dry_run", "sweep", "hydra")  # that no run keeps


def reload(file: Path, overrides: Sequence[str]) -> tuple[DictConfig, DictConfig]:
    """The config of an experiment.yaml, with those keys replaced that the overrides name; and these composed alone.

    Args:
        file: a run's experiment.yaml.
        overrides: as typed: `run.train_iterations=400`, `hardware=cpu`.

    Raises:
        UserError: no such file, one that is no experiment, or an override that only a new run can take.
    """
    tree = _read(file)
    options = {group: tree[group]["name"] for group in compose.VARYING}
    composed = compose.compose_words([*(f"{group}={name}" for group, name in options.items()), *overrides])
    config = compose.open_node(schema.ExperimentConfig)
    for group, name in options.items():
        config[group] = compose.open_node(find_spec(SPECS[group], name).config)
    merged = OmegaConf.merge(config, _composed(tree))
    assert isinstance(merged, DictConfig)
    for word in overrides:
        name = word.lstrip("+").partition("=")[0].partition("@")[0]
        if name.partition(".")[0] in OF_THIS_COMMAND:
            continue
        if word.startswith("~") or name == "experiment":
            raise UserError(f"{word} composes a new run; give the keys that shall change, as algo.gamma=0.99.")
        OmegaConf.update(merged, name, OmegaConf.select(composed, name), force_add=False)
    return merged, composed


def changes(file: Path, after: Experiment) -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ from those of an experiment.yaml: its value, and the new one."""
    tree = _read(file)
    old, new = _leaves({group: tree[group] for group in GROUPS}), _leaves(after.to_dict())
    return {key: (old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}


def resolved_in(file: Path) -> tuple[Hardware, dict[str, Any], str]:
    """Return a run's hardware and algo, with "auto" as resolved on its machine, and its fingerprint.

    Raises:
        UserError: it is not the experiment.yaml of a run.
    """
    tree = _read(file)
    return Hardware(**tree["hardware"]), tree["algo"], fingerprint({group: tree[group] for group in GROUPS})


def refuse_other_network(changed: Mapping[str, tuple[Any, Any]], after: Experiment) -> None:
    """Raise UserError for a change that makes another network than the checkpoint's."""
    names = ("name", *find_spec("algorithms", after.algo.name).network_keys)
    for key, (before, now) in changed.items():
        if any(f"{key}.".startswith(f"algo.{name}.") for name in names):
            raise UserError(
                f"resume: {key}={now!r} makes another network than the run's, which has {before!r}: leave it, or "
                "begin a new run."
            )


def refuse_older_resume(root: Path) -> None:
    """Raise UserError for a run of a release whose training state cannot be loaded any more."""
    if _read(RunDirectory(root).experiment).get("format", 1) == 1:
        raise UserError(
            f"resume={root}: a run of release 0.1, whose checkpoints name classes that no longer exist; evaluate and "
            "compare still read it. Begin a new run to train further."
        )


def _read(file: Path) -> dict[str, Any]:
    reader = RunReader()
    tree = reader.tree(file)
    faults = reader.faults or [f"{file.name}: {group} is missing" for group in GROUPS if not _is_option(tree, group)]
    if faults:
        raise UserError(f"{file.parent / faults[0]}. Name a run's directory, outputs/<run>.")
    return tree


def _is_option(tree: Mapping[str, Any], group: str) -> bool:
    """Whether the tree has the mapping of this group, and in it the name of an option where options vary."""
    node = tree.get(group)
    return isinstance(node, dict) and (group not in compose.VARYING or isinstance(node.get("name"), str))


def _composed(tree: dict[str, Any]) -> dict[str, Any]:
    """The resolved tree in the schema's words: what was "auto" is the number that it became."""
    kept: dict[str, Any] = {group: dict(tree[group]) for group in GROUPS}
    kept["hardware"]["overlap_sampling"] = "always" if kept["hardware"]["overlap_sampling"] else "never"
    return kept


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= _leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
