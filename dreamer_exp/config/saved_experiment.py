"""The config of an experiment.yaml with new overrides, for resume and evaluate."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dreamer_exp.config import compose, schema
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment, Hardware, fingerprint
from dreamer_exp.config.plugins import SPECS, find_spec
from dreamer_exp.rundir.edits import GROUPS, Edits, differences, hand_edits, written_experiment
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import RunReader, read_tree

OF_THIS_COMMAND = ("resume", "trust", "dry_run", "sweep", "hydra")  # keys that are not saved in experiment.yaml


def recompose(file: Path, overrides: Sequence[str]) -> tuple[DictConfig, DictConfig]:
    """Return the config of an experiment.yaml with overrides applied, and the config of the overrides alone.

    Args:
        file: The experiment.yaml of a run.
        overrides: As typed: `run.train_iterations=400`, `hardware=cpu`.

    Raises:
        UserError: The file is missing or not an experiment, or an override can only be used in a new run.
    """
    tree = _read(file)
    options = {group: find_spec(SPECS[group], tree[group]["name"]).name for group in compose.VARYING}
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
            raise UserError(f"{word} composes a new run; give single keys to change, such as algo.gamma=0.99.")
        OmegaConf.update(merged, name, OmegaConf.select(composed, name), force_add=False)
    return merged, composed


def changes(file: Path, after: Experiment) -> dict[str, tuple[Any, Any]]:
    """Return the keys whose values differ from those that the run wrote into experiment.yaml, with both values.

    An edit by hand is a change too.

    Raises:
        UserError: The file was edited, and what it was is not recorded.
    """
    tree = _read(file)
    provenance = read_tree(RunDirectory(file.parent).provenance)
    if hand_edits(tree, provenance) is None:
        raise UserError(
            f"{file}: edited by hand (its fingerprint is another), and provenance.json has no copy of what it was: "
            "restore the file, or start a new run."
        )
    return differences(written_experiment(provenance) or tree, after.to_dict())


def edits(file: Path) -> Edits | None:
    """Return the edits of an experiment.yaml by hand; None if it was edited and what it was is not recorded."""
    return hand_edits(_read(file), read_tree(RunDirectory(file.parent).provenance))


def resolved_in(file: Path) -> tuple[Hardware, dict[str, Any], str]:
    """Return a run's hardware, its algo and its fingerprint, with "auto" as resolved on the run's machine.

    Raises:
        UserError: The file is not the experiment.yaml of a run.
    """
    tree = _read(file)
    return Hardware(**tree["hardware"]), tree["algo"], fingerprint({group: tree[group] for group in GROUPS})


def refuse_other_network(changed: Mapping[str, tuple[Any, Any]], after: Experiment) -> None:
    """Raise UserError for a change of the network, whose weights the checkpoint could not provide."""
    names = ("name", *find_spec("algorithms", after.algo.name).network_keys)
    for key, (before, now) in changed.items():
        if any(f"{key}.".startswith(f"algo.{name}.") for name in names):
            raise UserError(
                f"{key}={now!r} changes the network of the run, which has {before!r}: remove it, or start a new run."
            )


def refuse_older_resume(root: Path) -> None:
    """Raise UserError for a run of a release whose training state cannot be loaded any more."""
    if _read(RunDirectory(root).experiment).get("format", 1) == 1:
        raise UserError(
            f"resume={root}: a run of release 0.1, whose checkpoints name classes that no longer exist; evaluate and "
            "compare still read it. Start a new run to train further."
        )


def _read(file: Path) -> dict[str, Any]:
    reader = RunReader()
    tree = reader.tree(file)
    faults = reader.faults or [f"{file.name}: {group} is missing" for group in GROUPS if not _is_option(tree, group)]
    if faults:
        raise UserError(f"{file.parent / faults[0]}. Name a run's directory, outputs/<run>.")
    return tree


def _is_option(tree: Mapping[str, Any], group: str) -> bool:
    """Return whether the tree has a mapping of this group, with the name of its option if the group is in VARYING."""
    node = tree.get(group)
    return isinstance(node, dict) and (group not in compose.VARYING or isinstance(node.get("name"), str))


def _composed(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the tree with the values that the schema takes: overlap_sampling is a word there.

    Its texts are data: what OmegaConf would resolve is escaped.
    """
    values: dict[str, Any] = _escaped({group: dict(tree[group]) for group in GROUPS})
    values["hardware"]["overlap_sampling"] = "always" if values["hardware"]["overlap_sampling"] else "never"
    return values


def _escaped(node: Any) -> Any:
    """Return the tree with every `${` in its texts escaped, so that OmegaConf resolves no interpolation."""
    if isinstance(node, Mapping):
        return {key: _escaped(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_escaped(value) for value in node]
    if isinstance(node, str):
        return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + "\\${", node)
    return node
