"""Edits of experiment.yaml by hand."""

from typing import Any

import pytest
import yaml

from dreamer_exp.rundir.edits import GROUPS, hand_edits
from tests.experiments import nano

EXPERIMENT = nano()


def written(**changes: Any) -> dict[str, Any]:
    """Return the tree of an experiment.yaml in which keys of `algo` were changed by hand."""
    tree: dict[str, Any] = yaml.safe_load(EXPERIMENT.to_yaml())
    tree["algo"] |= changes
    return tree


def test_a_file_as_it_was_written_has_no_edits() -> None:
    assert hand_edits(written(), {"experiment": EXPERIMENT.to_dict()}) == {}
    assert hand_edits(written(), {}) == {}


def test_an_edit_is_named_by_the_copy_in_the_provenance() -> None:
    edits = hand_edits(written(horizon_H=7, gamma=0.5), {"experiment": EXPERIMENT.to_dict()})
    assert edits == {"algo.horizon_H": (3, 7), "algo.gamma": (EXPERIMENT.algo.gamma, 0.5)}


@pytest.mark.parametrize("provenance", [{}, {"experiment": None}, {"experiment": {"algo": {}}}])
def test_an_edit_without_a_copy_is_detected_by_the_fingerprint(provenance: dict[str, Any]) -> None:
    assert hand_edits(written(horizon_H=7), provenance) is None


def test_a_removed_fingerprint_is_an_edit() -> None:
    tree = written()
    del tree["fingerprint"]
    assert hand_edits(tree, {}) is None


def test_a_file_of_release_0_1_is_not_checked() -> None:
    assert hand_edits({**written(), "format": 1, "fingerprint": "of other keys"}, {}) == {}


@pytest.mark.parametrize("tree", [{}, {"algo": 3}, dict.fromkeys(GROUPS)])
def test_what_is_not_an_experiment_has_no_edits(tree: dict[str, Any]) -> None:
    assert hand_edits(tree, {}) == {}
