"""The fingerprint: two experiments have the same exactly if the values that affect their results are equal."""

import re
from dataclasses import fields
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dreamer_exp.config.experiment import WITHOUT_EFFECT
from tests.config.composing import Key, loaded, schema_keys, value_at, with_value

KEYS = schema_keys()
EXPERIMENT = loaded("algo=dreamerv3")
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
UNAFFECTING = [f"{group}.{name}" for group, names in WITHOUT_EFFECT.items() for name in names]
LEFT_OUT = (*UNAFFECTING, "tracking.", "sweep.", "dry_run", "resume", "trust")
AFFECTING = [
    key for key in KEYS if key.option in ("", "env=crowd_nav", "algo=dreamerv3") and not key.path.startswith(LEFT_OUT)
]
AFFECTING = [key for key in AFFECTING if key.path != "hardware.max_env_runners"]  # not in the resolved experiment


def changed(path: str) -> Any:
    """Return the default experiment with another value of a key."""
    value = value_at(EXPERIMENT, path)
    return with_value(EXPERIMENT, path, OTHER[type(value)](value))


def test_fingerprint_has_16_hex_digits() -> None:
    assert re.fullmatch("[0-9a-f]{16}", EXPERIMENT.fingerprint())


@pytest.mark.parametrize("key", AFFECTING, ids=str)
def test_fingerprint_depends_on_every_key_that_affects_the_result(key: Key) -> None:
    assert changed(key.path).fingerprint() != EXPERIMENT.fingerprint()


def test_every_field_of_algo_affects_the_result() -> None:
    affecting = {".".join(key.path.split(".")[:2]) for key in AFFECTING}

    assert {f"algo.{declared.name}" for declared in fields(EXPERIMENT.algo)} <= affecting


@pytest.mark.parametrize("path", [*UNAFFECTING, *TRACKING])
def test_fingerprint_does_not_depend_on_names_logging_checkpoints_and_the_address_of_ray(path: str) -> None:
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
def test_fingerprint_does_not_depend_on_the_order_of_changes(values: dict[str, Any], order: Any) -> None:
    shuffled = list(values.items())
    order.shuffle(shuffled)

    assert _with(shuffled).fingerprint() == _with(values.items()).fingerprint()


@given(st.permutations(sorted(EXPERIMENT.to_dict()["env"]["scenario_weights"])))
def test_fingerprint_does_not_depend_on_the_order_of_a_mapping(names: list[str]) -> None:
    experiment = with_value(EXPERIMENT, "env.scenario_weights", dict.fromkeys(names, 1.0))

    assert experiment.fingerprint() == EXPERIMENT.fingerprint()


@pytest.mark.parametrize("preset_and_words", [(), ("experiment=quickstart",)])
def test_fingerprint_is_the_same_in_a_second_composition(preset_and_words: tuple[str, ...]) -> None:
    assert loaded(*preset_and_words).fingerprint() == loaded(*preset_and_words).fingerprint()


def test_fingerprint_is_the_same_if_a_dimension_of_the_model_size_is_given_explicitly() -> None:
    named, written = loaded("algo=dreamerv3"), loaded("algo=dreamerv3", "algo.network.deter=512")

    assert named.fingerprint() == written.fingerprint()


def test_fingerprint_depends_on_the_algorithm() -> None:
    assert loaded("algo=dreamerv3").fingerprint() != loaded("algo=dreamerv3_rllib").fingerprint()


def test_fingerprint_is_the_same_for_an_integer_and_the_equal_float() -> None:
    assert loaded("algo.training_ratio=32").fingerprint() == loaded("algo.training_ratio=32.0").fingerprint()


def test_experiment_yaml_contains_format_fingerprint_and_the_complete_tree() -> None:
    tree = yaml.safe_load(EXPERIMENT.to_yaml())

    assert list(tree)[:2] == ["format", "fingerprint"]
    assert (tree.pop("format"), tree.pop("fingerprint")) == (2, EXPERIMENT.fingerprint())
    assert tree == EXPERIMENT.to_dict()


def _with(values: Any) -> Any:
    experiment = EXPERIMENT
    for path, value in values:
        experiment = with_value(experiment, path, value)
    return experiment
