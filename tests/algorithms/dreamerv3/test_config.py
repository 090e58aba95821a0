"""`algo=dreamerv3`: sizes, learning rates, what "auto" becomes, and values that are refused."""

import re
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamer_exp.algorithms.dreamerv3.config import (
    ON_CPU,
    ON_GPU,
    DreamerV3Algo,
    DreamerV3AlgoConfig,
    NetworkConfig,
    resolve_network,
)
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES, NetworkSize
from dreamer_exp.config.errors import UserError
from dreamer_exp.hardware import Machine
from tests.config.composing import CONF, loaded
from tests.experiments import machine

CPUS = machine(cpus=64)
GPU = machine(cpus=64, gpus=1)
HELP = {f"algo.{declared.name}": declared.metadata.get("help") for declared in fields(DreamerV3AlgoConfig)}


def refusal(*words: str, on: Machine = CPUS) -> str:
    """Return the line with which these words are refused."""
    with pytest.raises(UserError) as refused:
        loaded(*words, on=on)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# Sizes


@pytest.mark.parametrize("name", SIZES)
def test_size_sets_the_dimensions_of_the_network(name: str) -> None:
    assert loaded(f"algo.model_size={name}").algo.network == SIZES[name]


@pytest.mark.parametrize(("name", "published"), [("S", "12M"), ("M", "25M"), ("L", "50M"), ("XL", "200M")])
def test_names_of_rllib_are_aliases_of_published_sizes(name: str, published: str) -> None:
    assert loaded(f"algo.model_size={name}").algo.network == SIZES[published]


@pytest.mark.parametrize(
    ("name", "deter", "hidden", "classes"),
    [
        ("1M", 512, 64, 4),
        ("12M", 2048, 256, 16),
        ("25M", 3072, 384, 24),
        ("50M", 4096, 512, 32),
        ("100M", 6144, 768, 48),
        ("200M", 8192, 1024, 64),
    ],
)
def test_published_sizes_equal_those_of_the_published_code(name: str, deter: int, hidden: int, classes: int) -> None:
    size = SIZES[name]

    assert (size.deter, size.hidden, size.units, size.classes) == (deter, hidden, hidden, classes)
    assert (size.stoch, size.blocks) == (32, 8)
    layers = (size.encoder_layers, size.decoder_layers, size.actor_layers, size.critic_layers)
    assert layers == (3, 3, 3, 3)
    assert (size.prior_layers, size.posterior_layers, size.reward_layers, size.continue_layers) == (2, 1, 1, 1)


@pytest.mark.parametrize("name", SIZES)
def test_every_size_can_be_given_by_its_dimensions(name: str) -> None:
    written = [f"algo.network.{field.name}={getattr(SIZES[name], field.name)}" for field in fields(NetworkSize)]

    assert loaded(*written).algo.network == SIZES[name]


def test_latent_has_all_classes_of_all_categoricals_and_feature_also_deter() -> None:
    size = SIZES["12M"]

    assert (size.latent, size.feature) == (32 * 16, 2048 + 32 * 16)


def test_network_keys_are_the_dimensions_of_a_size() -> None:
    assert {field.name for field in fields(NetworkConfig)} == {field.name for field in fields(NetworkSize)}


@pytest.mark.parametrize("word", ["algo.network.deter=1024", "algo.network={deter: 1024}"])
def test_given_dimension_replaces_only_that_of_the_size(word: str) -> None:
    assert loaded(word).algo.network == replace(SIZES["XS"], deter=1024)


def test_dimension_auto_is_that_of_the_size() -> None:
    assert loaded("algo.network.deter=auto").algo.network == SIZES["XS"]


@given(
    st.sampled_from(sorted(SIZES)), st.dictionaries(st.sampled_from(["hidden", "units", "stoch"]), st.integers(1, 99))
)
def test_given_dimensions_take_precedence_over_any_size(name: str, given_numbers: dict[str, int]) -> None:
    config = DreamerV3AlgoConfig(model_size=name, network=NetworkConfig(**given_numbers))

    assert resolve_network(config) == replace(SIZES[name], **given_numbers)


# Learning rates


def test_auto_learning_rates_are_the_published_values() -> None:
    algo = loaded().algo

    assert (algo.world_model_lr, algo.actor_lr, algo.critic_lr) == (4e-5, 4e-5, 4e-5)


def test_given_learning_rate_replaces_only_its_auto() -> None:
    algo = loaded("algo.actor_lr=1e-3").algo

    assert (algo.actor_lr, algo.critic_lr) == (1e-3, 4e-5)


def test_learning_rate_given_as_an_integer_becomes_a_float() -> None:
    rate = loaded("algo.actor_lr=1").algo.actor_lr

    assert (rate, type(rate)) == (1.0, float)


@pytest.mark.parametrize("name", ["world_model_lr", "actor_lr", "critic_lr"])
@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("slow", "='slow' is neither a number nor 'auto'."),
        ("Auto", "='Auto' is neither a number nor 'auto'."),
        ("0", "=0 is out of range: it has to be more than 0."),
        ("-1e-4", "=-0.0001 is out of range: it has to be more than 0."),
        ("nan", "=nan is out of range: it has to be finite and more than 0."),
    ],
)
def test_invalid_learning_rate_is_refused_in_one_line(name: str, value: str, line: str) -> None:
    assert refusal(f"algo.{name}={value}") == f"algo.{name}{line}"


# How an update is computed


def computing(*words: str, on: Machine) -> tuple[str, str, str, bool]:
    experiment = loaded(*words, on=on)
    algo = experiment.algo
    return algo.backend, algo.precision, algo.replay_device, experiment.hardware.overlap_sampling


@pytest.mark.parametrize(
    ("words", "on", "becomes"),
    [
        ((), CPUS, ("eager", "float32", "cpu", False)),
        ((), GPU, ("fused", "tf32", "auto", True)),
        (("hardware=cpu",), GPU, ("eager", "float32", "cpu", False)),
        (("hardware.num_env_runners=0",), GPU, ("fused", "tf32", "auto", False)),
    ],
    ids=["without a GPU", "on a GPU", "next to a GPU", "without env runners"],
)
def test_auto_is_resolved_from_learner_and_machine(
    words: tuple[str, ...], on: Machine, becomes: tuple[str, str, str, bool]
) -> None:
    assert computing(*words, on=on) == becomes


@pytest.mark.parametrize(
    ("word", "becomes"),
    [
        ("algo.backend=eager", ("eager", "tf32", "auto", True)),
        ("algo.backend=cuda_graph", ("cuda_graph", "tf32", "auto", True)),
        ("algo.backend=fused", ("fused", "tf32", "auto", True)),
        ("algo.precision=float32", ("fused", "float32", "auto", True)),
        ("algo.precision=tf32", ("fused", "tf32", "auto", True)),
        ("algo.precision=bfloat16", ("fused", "bfloat16", "auto", True)),
        ("algo.replay_device=cpu", ("fused", "tf32", "cpu", True)),
        ("algo.replay_device=cuda", ("fused", "tf32", "cuda", True)),
        ("hardware.overlap_sampling=never", ("fused", "tf32", "auto", False)),
    ],
)
def test_given_value_replaces_auto(word: str, becomes: tuple[str, str, str, bool]) -> None:
    assert computing(word, on=GPU) == becomes


def test_bfloat16_and_overlapped_sampling_can_be_requested_on_a_cpu() -> None:
    words = ("algo.precision=bfloat16", "hardware.overlap_sampling=always")

    assert computing(*words, on=CPUS) == ("eager", "bfloat16", "cpu", True)


@pytest.mark.parametrize("name", ["backend", "precision"])
def test_help_and_comment_name_the_value_of_auto_on_a_gpu(name: str) -> None:
    comment = re.search(
        rf"^{name}: auto .*(?:\n +#.*)*", (CONF / "algo" / "dreamerv3.yaml").read_text(encoding="utf-8"), re.M
    )

    assert re.search(rf"auto: {ON_GPU[name]}\b.* on a GPU, else {ON_CPU[name]}$", HELP[f"algo.{name}"])
    assert comment is not None
    assert f"auto: {ON_GPU[name]} on a GPU" in comment[0]


@pytest.mark.parametrize(
    ("name", "word"),
    [("backend", "cuda_graph"), ("backend", "fused"), ("precision", "tf32"), ("replay_device", "cuda")],
)
@pytest.mark.parametrize("on", [CPUS, GPU], ids=["without a GPU", "with a GPU"])
def test_value_that_needs_a_gpu_is_refused_without_one(name: str, word: str, on: Machine) -> None:
    message = refusal("hardware=cpu", f"algo.{name}={word}", on=on)

    assert message == f"algo.{name}={word} needs a learner on a GPU: use hardware=cuda, or algo.{name}=auto."


# Values against each other


def test_decay_that_ends_before_it_starts_is_refused() -> None:
    message = refusal("algo.lr_decay_start=10", "algo.lr_decay_end=10")

    assert message.startswith("algo.lr_decay_end=10 has to be above algo.lr_decay_start=10, or 0")


def test_more_than_one_learner_is_refused() -> None:
    message = refusal("hardware.num_learners=2")

    assert message.startswith("hardware.num_learners=2: algo=dreamerv3 learns in one process; use 0")


def test_one_learner_process_is_accepted() -> None:
    assert loaded("hardware.num_learners=1").hardware.num_learners == 1


@pytest.mark.parametrize(("blocks", "deter"), [(7, 512), (1024, 512), (8, 500)])
def test_blocks_that_do_not_divide_the_recurrent_units_are_refused(blocks: int, deter: int) -> None:
    message = refusal(f"algo.network.blocks={blocks}", f"algo.network.deter={deter}")

    assert message == f"algo.network.blocks={blocks} has to divide algo.network.deter={deter}."


CAPACITY = ("hardware.num_env_runners=4", "hardware.num_envs_per_env_runner=8", "algo.batch_length_T=32")


def test_replay_too_small_for_a_window_of_each_environment_is_refused_with_the_minimum() -> None:
    message = refusal(*CAPACITY, "algo.replay_capacity=1055")

    assert message.startswith("algo.replay_capacity=1055 is too small: each of the 32 environments needs ")
    assert message.endswith("at least 1,056.")


def test_replay_of_one_window_for_each_environment_is_accepted() -> None:
    assert loaded(*CAPACITY, "algo.replay_capacity=1056").algo.replay_capacity == 1056


def test_only_replay_device_remains_auto_on_a_gpu() -> None:
    algo = loaded(on=GPU).algo

    assert [field.name for field in fields(DreamerV3Algo) if getattr(algo, field.name) == "auto"] == ["replay_device"]
