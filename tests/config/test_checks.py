"""Checks of values: bounds and words of the schema, values against each other, the machine and the environment."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamer_exp.config.checks import baseline_names, check_values
from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.envs.crowd_nav.baselines import BASELINES
from dreamer_exp.envs.make import contract_of
from dreamer_exp.envs.robot_sf.planners import PLANNERS
from tests.config.composing import Key, loaded, schema_keys, tree_of, with_value
from tests.experiments import machine

KEYS = schema_keys()
TREES = {key.option: tree_of(key) for key in KEYS}
NUMBERS = [key for key in KEYS if key.takes in (int, float, int | str, int | float | str, int | None)]
FRACTIONS = (float, int | float | str)
INTEGERS = (int, int | str, int | None)


def check(key: Key, value: object) -> None:
    check_values(with_value(TREES[key.option], key.path, value))


def beyond(key: Key) -> list[float]:
    """Return the nearest values outside each bound of the key."""
    low, high, above = key.bounds
    step = 1 if key.takes in INTEGERS else 1e-6
    return [
        *([low - step] if low is not None else []),
        *([high + step] if high is not None else []),
        *([above] if above is not None else []),
    ]


def at_the_edge(key: Key) -> list[float]:
    """Return the last values inside each bound of the key."""
    low, high, above = key.bounds
    return [*(bound for bound in (low, high) if bound is not None), *([above + 1e-6] if above is not None else [])]


# One value


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in NUMBERS for value in beyond(key)], ids=str)
def test_number_beyond_its_bound_is_refused_in_one_line_with_key_value_and_bound(key: Key, value: float) -> None:
    with pytest.raises(UserError) as refused:
        check(key, value)

    line = str(refused.value)
    assert line.startswith(f"{key.path}={value} is out of range: it has to be ")
    assert all(str(bound) in line for bound in key.bounds if bound is not None)
    assert "\n" not in line


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in NUMBERS for value in at_the_edge(key)], ids=str)
def test_number_at_its_bound_is_accepted(key: Key, value: float) -> None:
    check(key, value)


@pytest.mark.parametrize("key", [key for key in NUMBERS if key.takes in FRACTIONS], ids=str)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nonfinite_number_is_refused(key: Key, value: float) -> None:
    with pytest.raises(UserError, match=rf"^{key.path}={value} is out of range: it has to be finite"):
        check(key, value)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("env.kwargs={kind:nan}", "env.kwargs.kind=nan"),
        ("env.kwargs={limits:[0.0,{far:-inf}]}", r"env.kwargs.limits\[1\].far=-inf"),
    ],
)
def test_a_nonfinite_number_within_a_mapping_is_refused_by_its_key(word: str, shown: str) -> None:
    with pytest.raises(UserError, match=rf"^{shown} is not finite, .* quote it"):
        loaded("env=gym", "env.id=CartPole-v1", "obs_contract=vector", word)


def test_a_quoted_word_within_a_mapping_stays_a_word() -> None:
    env = loaded("env=gym", "env.id=CartPole-v1", "obs_contract=vector", 'env.kwargs={kind:"nan"}').env

    assert env.kwargs == {"kind": "nan"}


@pytest.mark.parametrize("key", [key for key in NUMBERS if key.path.split(".")[0] in ("algo", "hardware")], ids=str)
def test_every_numeric_key_of_algo_and_hardware_has_a_bound(key: Key) -> None:
    assert any(bound is not None for bound in key.bounds)


@pytest.mark.parametrize("key", [key for key in KEYS if key.choices and key.takes is str], ids=str)
def test_refusal_of_a_word_lists_the_allowed_words(key: Key) -> None:
    with pytest.raises(UserError) as refused:
        check(key, "nonsense")

    assert str(refused.value).startswith(f"{key.path}='nonsense' is not one of: {', '.join(key.choices or ())}.")


@pytest.mark.parametrize(("key", "word"), [(key, word) for key in KEYS for word in key.choices or ()], ids=str)
def test_allowed_word_is_accepted(key: Key, word: str) -> None:
    check(key, [word] if key.takes == list[str] else word)


def test_refusal_of_a_misspelt_word_suggests_the_nearest_allowed_word() -> None:
    with pytest.raises(UserError, match=r"^run\.log_level='WARN' is not one of: .* Did you mean 'WARNING'\?$"):
        loaded("run.log_level=WARN")


def test_every_word_of_a_list_is_checked() -> None:
    with pytest.raises(
        UserError, match=r"^evaluation\.baselines='strait_to_goal' .* Did you mean 'straight_to_goal'\?$"
    ):
        loaded("evaluation.baselines=[random,strait_to_goal]")


@pytest.mark.parametrize(
    "word",
    [
        "obs_contract.encoders={rays: [lidar]}",
        "algo.decoder_scales={rays: [1]}",
        "env.ranges.ray_miss=[[1],[2]]",
        "evaluation.baselines=[{a: 1}]",
    ],
)
def test_a_list_or_mapping_in_the_place_of_a_value_is_refused(word: str) -> None:
    with pytest.raises(UserError, match=rf"^{word.partition('=')[0]}=.* has a part of the wrong type"):
        loaded(word)


def test_allowed_baselines_are_random_and_those_of_the_environments() -> None:
    assert set(baseline_names()) == {"random", *BASELINES, *PLANNERS}


@pytest.mark.parametrize(
    "key", [key for key in KEYS if key.takes == (int | str) and not key.declared.metadata["memory"]], ids=str
)
def test_whole_number_or_auto_takes_no_other_word(key: Key) -> None:
    with pytest.raises(UserError, match=rf"^{key.path}='many' is neither a whole number nor 'auto'\.$"):
        check(key, "many")


@pytest.mark.parametrize("key", [key for key in KEYS if key.takes == (int | float | str)], ids=str)
def test_learning_rate_takes_no_word_other_than_auto(key: Key) -> None:
    with pytest.raises(UserError, match=rf"^{key.path}='fast' is neither a number nor 'auto'\.$"):
        check(key, "fast")


@pytest.mark.parametrize("amount", ["8 GiB", "500 MB", "2e9 B", "64GB", "1.5 GiB"])
def test_replay_capacity_takes_an_amount_of_memory(amount: str) -> None:
    assert loaded(f"algo.replay_capacity={amount}").algo.replay_capacity == amount  # converted to steps later


@pytest.mark.parametrize("word", ["many", "auto", "8 GiX", "GiB", "-1 GiB", "'8'"])
def test_replay_capacity_takes_no_word_that_is_not_an_amount_of_memory(word: str) -> None:
    with pytest.raises(
        UserError, match=r"^algo\.replay_capacity='.*' is neither a whole number nor memory: write it as"
    ):
        loaded(f"algo.replay_capacity={word}")


@pytest.mark.parametrize("path", ["env.name", "obs_contract.name", "hardware.name", "evaluation.name"])
def test_missing_value_is_refused_with_how_to_give_it(path: str) -> None:
    with pytest.raises(UserError, match=rf"^{path} has no value: give it one"):
        loaded(f"{path}=???")


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=5))
def test_hint_is_empty_or_names_a_candidate(word: str, words: list[str]) -> None:
    hint = nearest(word, words)

    assert hint == "" or hint in [f" Did you mean {candidate!r}?" for candidate in words]


# Values against each other


@pytest.mark.parametrize(("capacity", "batch", "length"), [(511, 16, 32), (127, 2, 64), (1, 1, 2)])
def test_replay_smaller_than_a_batch_is_refused(capacity: int, batch: int, length: int) -> None:
    words = f"algo.replay_capacity={capacity}", f"algo.batch_size_B={batch}", f"algo.batch_length_T={length}"

    with pytest.raises(UserError, match=rf"^algo\.replay_capacity={capacity} .*batch_length_T = {batch * length}\.$"):
        loaded(*words)


def test_replay_of_exactly_one_batch_is_accepted() -> None:
    assert loaded("algo.replay_capacity=512").algo.replay_capacity == 512


def test_training_the_actor_without_the_critic_is_refused() -> None:
    with pytest.raises(UserError, match=r"^algo\.train_critic=False with algo\.train_actor=True"):
        loaded("algo.train_critic=false")


# Values against the machine


@pytest.mark.parametrize(
    ("words", "gpus", "line"),
    [
        (("hardware=cuda",), 0, "hardware.num_gpus_per_learner=1 asks for 1 GPU(s), and this machine shows 0"),
        (("hardware.num_gpus_per_learner=2",), 1, "hardware.num_gpus_per_learner=2 asks for 2 GPU(s)"),
        (
            ("algo=dreamerv3_rllib", "hardware=cuda", "hardware.num_learners=2"),
            1,
            "hardware.num_gpus_per_learner=1 asks for 2 GPU(s)",
        ),
    ],
)
def test_refusal_for_too_few_gpus_names_the_source_of_their_number(
    words: tuple[str, ...], gpus: int, line: str
) -> None:
    with pytest.raises(UserError) as refused:
        loaded(*words, on=machine(gpus=gpus))

    assert str(refused.value).startswith(line)
    assert "(test)" in str(refused.value)


@pytest.mark.parametrize(
    ("words", "cpus", "line"),
    [
        (("hardware.num_env_runners=3",), 2, "hardware.num_env_runners=3 is more than hardware.num_cpus=2"),
        (("hardware.num_env_runners=5", "hardware.num_cpus=4"), 64, "hardware.num_env_runners=5 is more than"),
        (("hardware=apple_silicon", "hardware.num_cpus=4"), 12, "hardware.num_env_runners=8 is more than"),
    ],
)
def test_more_env_runners_than_cpus_are_refused(words: tuple[str, ...], cpus: int, line: str) -> None:
    with pytest.raises(UserError) as refused:
        loaded(*words, on=machine(cpus=cpus))

    assert str(refused.value).startswith(line)


def test_as_many_env_runners_as_cpus_are_accepted() -> None:
    assert loaded("hardware.num_env_runners=4", on=machine(cpus=4)).hardware.num_env_runners == 4


def test_hardware_of_a_remote_cluster_is_not_checked_against_this_machine() -> None:
    experiment = loaded("hardware=ray_cluster", "hardware.num_gpus_per_learner=1", on=machine(cpus=2, gpus=0))

    assert experiment.hardware.num_env_runners == 8


# The contract against the environment


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("obs_contract.keys=[drive_state,rayz]",), r"obs_contract\.keys: 'rayz' is not an observation .*'rays'"),
        (("obs_contract.keys=[rays,rays]",), r"obs_contract\.keys: 'rays' is given twice"),
        (("obs_contract=vector",), r"obs_contract\.keys: empty, .* name keys of: drive_state, rays"),
        (
            ("env=gym",),
            r"obs_contract\.keys=\['drive_state', 'rays'\], but this env .* no Dict .*: use obs_contract=vector",
        ),
        (("env=gym", "env.id=Nope-v0", "obs_contract=vector"), r"env\.id='Nope-v0' cannot be made"),
    ],
)
def test_contract_that_does_not_fit_the_environment_is_refused(words: tuple[str, ...], line: str) -> None:
    experiment = loaded(*words)

    with pytest.raises(UserError, match=f"^{line}"):
        contract_of(experiment.env, experiment.obs_contract)
