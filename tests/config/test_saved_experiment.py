"""Composing the config of an experiment.yaml again: its texts are data."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamer_exp.config import load, saved_experiment
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from tests.experiments import machine, nano, nano_gym


def write(root: Path, experiment: Experiment, **keys: Any) -> Path:
    """Write an experiment.yaml with other values at some keys, `__` for a dot, and the copy that a run records."""
    tree = yaml.safe_load(experiment.to_yaml())
    for key, value in keys.items():
        group, *path = key.split("__")
        node = tree[group]
        for name in path[:-1]:
            node = node[name]
        node[path[-1]] = value
    (root / "experiment.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True))
    (root / "provenance.json").write_text(json.dumps({"experiment": experiment.to_dict()}))
    return root / "experiment.yaml"


def recomposed(file: Path, *words: str) -> Experiment:
    return load.load_experiment(saved_experiment.recompose(file, words)[0], machine())


@pytest.mark.parametrize(
    "text", ["${oc.env:SECRET}", "x${oc.env:SECRET}y", r"\${a}", "${run.seed}", "${${a}}", "$${a", "${"]
)
def test_an_interpolation_in_a_file_is_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SECRET", "of this machine")
    file = write(tmp_path, nano_gym("CartPole-v1"), env__kwargs={"a": [text], "b": {"c": text}}, tracking__project=text)
    found = recomposed(file)
    assert found.env.kwargs == {"a": [text], "b": {"c": text}}  # type: ignore[attr-defined]
    assert found.tracking.project == text


@settings(max_examples=10, deadline=None)
@given(st.text(st.sampled_from("${}\\:.ab ")))
def test_any_text_comes_back_as_it_is(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = write(tmp_path_factory.mktemp("run"), nano_gym("CartPole-v1"), env__kwargs={"a": text})
    assert recomposed(file).env.kwargs == {"a": text}  # type: ignore[attr-defined]


def test_an_interpolation_on_the_command_line_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT", "ours")
    file = write(tmp_path, nano())
    assert recomposed(file, "tracking.project=${oc.env:PROJECT}").tracking.project == "ours"


@pytest.mark.parametrize("name", ["gym,run.id=x", "${oc.env:HOME}", "[gym]", "gym run.seed=3", "../gym"])
def test_the_name_of_an_option_is_no_override(tmp_path: Path, name: str) -> None:
    file = write(tmp_path, nano_gym("CartPole-v1"), env__name=name)
    with pytest.raises(UserError, match=re.escape(f"env.name={name!r} is not one of")):
        recomposed(file)


def test_an_edit_by_hand_is_a_change_of_the_run(tmp_path: Path) -> None:
    file = write(tmp_path, nano(), algo__horizon_H=7)
    assert saved_experiment.changes(file, recomposed(file, "algo.gamma=0.5")) == {
        "algo.horizon_H": (3, 7),
        "algo.gamma": (nano().algo.gamma, 0.5),
    }


def test_an_edit_that_makes_another_network_is_refused_by_key(tmp_path: Path) -> None:
    file = write(tmp_path, nano(), algo__network__deter=128)
    after = recomposed(file)
    with pytest.raises(UserError, match=r"^algo\.network\.deter=128 changes the network of the run, which has 64"):
        saved_experiment.refuse_other_network(saved_experiment.changes(file, after), after)


def test_an_edit_without_a_copy_of_what_it_was_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, nano(), algo__horizon_H=7)
    (tmp_path / "provenance.json").unlink()
    with pytest.raises(UserError, match=r"edited by hand .* restore the file, or start a new run"):
        saved_experiment.changes(file, recomposed(file))
