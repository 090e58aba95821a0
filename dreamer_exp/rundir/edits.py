"""Edits of a run's experiment.yaml by hand, detected by its fingerprint or by the copy in provenance.json."""

from collections.abc import Mapping
from typing import Any

from dreamer_exp.config.experiment import fingerprint
from dreamer_exp.rundir.parse import leaves

GROUPS = ("run", "env", "obs_contract", "algo", "hardware", "tracking", "evaluation")
Edits = dict[str, tuple[Any, Any]]
"""By key: the value that the run wrote, and the one in the file now."""


def hand_edits(tree: Mapping[str, Any], provenance: Mapping[str, Any]) -> Edits | None:
    """Return the edits of an experiment.yaml since the run wrote it; None if it was edited and no copy is recorded.

    Without a copy, the fingerprint decides. Files of release 0.1 have neither: their fingerprints are of other keys.

    Args:
        tree: The content of experiment.yaml.
        provenance: The content of provenance.json.
    """
    if not is_experiment(tree):
        return {}
    if (written := written_experiment(provenance)) is not None:
        return differences(written, tree)
    return {} if tree.get("format", 1) == 1 or _fingerprint(tree) == tree.get("fingerprint") else None


def written_experiment(provenance: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the copy of the experiment in provenance.json, as the run wrote it last, or None."""
    copy = provenance.get("experiment")
    return copy if isinstance(copy, Mapping) and is_experiment(copy) else None


def is_experiment(tree: Mapping[str, Any]) -> bool:
    """Return whether a tree has the groups of an experiment."""
    return all(isinstance(tree.get(group), Mapping) for group in GROUPS)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Edits:
    """Return the keys whose values differ between two experiments, with both values."""
    old, new = (leaves({group: tree[group] for group in GROUPS}) for tree in (before, after))
    return {key: (old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}


def _fingerprint(tree: Mapping[str, Any]) -> str | None:
    """Return the fingerprint of a tree's groups; None if they are not those of an experiment."""
    try:
        return fingerprint({group: tree[group] for group in GROUPS})
    except (KeyError, TypeError, ValueError):
        return None
