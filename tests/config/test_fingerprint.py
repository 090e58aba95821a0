"""The fingerprint: two experiments share it exactly when the values that shape the result are equal."""

import re
from dataclasses import fields
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dreamer_exp.config.experiment import UNSHAPING
from tests.config.composing import Key, loaded, schema_keys, value_at, with_value

KEYS = schema_keys()
EXPERIMENT = loaded("algo=dreamerv3")  # which has a network of its own
OTHER: dict[Any, Any] = {  # another value of a type
    bool: lambda value: not value,
    int: lambda value: value + 1,
    float: lambda value: value / 2 + 0.1,
    str: lambda value: value + "x",
    list: lambda value: [*value, "x"],
    dict: lambda value: {**value, "x": 1.0},
    type(None): lambda value: "x",
}
TRACKING = [key.path for key in KEYS if key.path.startswith("tracking.")]
UNSHAPED = [f"{group}.{name}" for group, names in UNSHAPING.items() for name in names]
LEFT_OUT = (*UNSHAPED, "tracking.", "sweep.", "dry_run", "resume", "trust")
SHAPING = [
    key for key in KEYS if key.option in ("", "env=crowd_nav", "algo=dreamerv3") and not key.path.startswith(LEFT_OUT)
]
SHAPING = [key for key in SHAPING if key.path != "hardware.max_env_runners"]  # what auto was allowed is gone by then


def changed(path: str) -> Any:
    """The default experiment with another value at a key."""
    value = value_at(EXPERIMENT, path)
    return with_value(EXPERIMENT, path, OTHER[type(value)](value))


def test_it_is_16_hex_digits() -> None:
    assert re.fullmatch("[0-9a-f]{16}", EXPERIMENT.fingerprint())


@pytest.mark.parametrize("key", SHAPING, ids=str)
def test_another_value_of_what_shapes_the_result_changes_it(key: Key) -> None:
    assert changed(key.path).fingerprint() != EXPERIMENT.fingerprint()


def test_every_field_of_algo_shapes_the_result() -> None:
    shaping = {".".join(key.path.split(".")[:2]) for key in SHAPING}

    assert {f"algo.{declared.name}" for declared in fields(EXPERIMENT.algo)} <= shaping


@pytest.mark.parametrize("path", [*UNSHAPED, *TRACKING])
def test_names_what_is_kept_and_shown_and_where_it_runs_do_not_change_it(path: str) -> None:
    assert changed(path).fingerprint() == EXPERIMENT.fingerprint()


@given(
    st.fixed_dictionaries(
        {
            "algo.horizon_H": st.integers(1, 30),
            "algo.gamma": st.floats(0.1, 1.0),
            "algo.train_actor": st.booleans(),
            "env.scenario": st.sampled_from(["open", "dense"]),
            "run.seed": st.integers(0, 3),
            "run.id": st.sampled_from(["a", "b"]),
        }
    ),
    st.randoms(use_true_random=False),
)
def test_equal_values_give_equal_fingerprints_in_any_order(values: dict[str, Any], order: Any) -> None:
    shuffled = list(values.items())
    order.shuffle(shuffled)

    assert _with(shuffled).fingerprint() == _with(values.items()).fingerprint()


@given(st.permutations(sorted(EXPERIMENT.to_dict()["env"]["scenario_weights"])))
def test_the_order_of_a_mappings_names_does_not_change_it(names: list[str]) -> None:
    experiment = with_value(EXPERIMENT, "env.scenario_weights", dict.fromkeys(names, 1.0))

    assert experiment.fingerprint() == EXPERIMENT.fingerprint()


@pytest.mark.parametrize("preset_and_words", [(), ("experiment=quickstart",)])
def test_the_same_words_give_the_same_fingerprint_again(preset_and_words: tuple[str, ...]) -> None:
    assert loaded(*preset_and_words).fingerprint() == loaded(*preset_and_words).fingerprint()


def test_a_number_of_the_size_written_out_is_the_same_experiment() -> None:
    named, written = loaded("algo=dreamerv3"), loaded("algo=dreamerv3", "algo.network.deter=512")

    assert named.fingerprint() == written.fingerprint()


def test_two_algorithms_are_two_experiments() -> None:
    assert loaded("algo=dreamerv3").fingerprint() != loaded("algo=dreamerv3_rllib").fingerprint()


def test_a_whole_number_where_a_number_goes_is_the_same_value() -> None:
    assert loaded("algo.training_ratio=32").fingerprint() == loaded("algo.training_ratio=32.0").fingerprint()


def test_experiment_yaml_holds_the_format_the_fingerprint_and_the_complete_tree() -> None:
    tree = yaml.safe_load(EXPERIMENT.to_yaml())

    assert list(tree)[:2] == ["format", "fingerprint"]
    assert (tree.pop("format"), tree.pop("fingerprint")) == (2, EXPERIMENT.fingerprint())
    assert tree == EXPERIMENT.to_dict()


def _with(values: Any) -> Any:
    experiment = EXPERIMENT
    for path, value in values:
        experiment = with_value(experiment, path, value)
    return experiment
