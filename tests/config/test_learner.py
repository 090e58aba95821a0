"""What `algo.learner` decides: sizes, learning rates, how an update is computed, and which keys are refused."""

import re
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamer_exp.config.checks import OF_FAST, OF_RLLIB
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Algo
from dreamer_exp.config.load import ON_CPU, ON_GPU, resolve_algo
from dreamer_exp.config.schema import AlgoConfig, NetworkConfig
from dreamer_exp.config.sizes import FAST_SIZES, RLLIB_SIZES, SIZES, NetworkSize
from dreamer_exp.hardware import Machine
from tests.config.composing import CONF, loaded, schema_keys
from tests.experiments import machine

RLLIB = "algo.learner=rllib"
CPUS = machine(cpus=64)
GPU = machine(cpus=64, gpus=1)
HELP = {key.path: key.declared.metadata["help"] for key in schema_keys()}


def refusal(*words: str, on: Machine = CPUS) -> str:
    """The one line with which these words are refused."""
    with pytest.raises(UserError) as refused:
        loaded(*words, on=on)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# Sizes


@pytest.mark.parametrize("name", FAST_SIZES)
def test_a_size_becomes_its_numbers(name: str) -> None:
    assert loaded(f"algo.model_size={name}").algo.network == SIZES[name]


@pytest.mark.parametrize("name", RLLIB_SIZES)
def test_rllibs_learner_takes_its_own_sizes_and_has_no_network_of_ours(name: str) -> None:
    algo = loaded(RLLIB, f"algo.model_size={name}").algo

    assert (algo.model_size, algo.network) == (name, None)


@pytest.mark.parametrize(("name", "published"), [("S", "12M"), ("M", "25M"), ("L", "50M"), ("XL", "200M")])
def test_rllibs_names_stand_for_published_sizes(name: str, published: str) -> None:
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
def test_the_published_sizes_are_those_of_the_published_code(name: str, deter: int, hidden: int, classes: int) -> None:
    size = SIZES[name]

    assert (size.deter, size.hidden, size.units, size.classes) == (deter, hidden, hidden, classes)
    assert (size.stoch, size.blocks) == (32, 8)
    layers = (size.encoder_layers, size.decoder_layers, size.actor_layers, size.critic_layers)
    assert layers == (3, 3, 3, 3)
    assert (size.prior_layers, size.posterior_layers, size.reward_layers, size.continue_layers) == (2, 1, 1, 1)


@pytest.mark.parametrize("name", FAST_SIZES)
def test_every_size_passes_the_checks_of_its_own_keys(name: str) -> None:
    written = [f"algo.network.{field.name}={getattr(SIZES[name], field.name)}" for field in fields(NetworkSize)]

    assert loaded(*written).algo.network == SIZES[name]


def test_the_latent_is_all_classes_of_all_categoricals_and_heads_see_deter_too() -> None:
    size = SIZES["12M"]

    assert (size.latent, size.feature) == (32 * 16, 2048 + 32 * 16)


def test_every_number_of_a_size_has_a_key_of_its_name_and_the_other_way_round() -> None:
    assert {field.name for field in fields(NetworkConfig)} == {field.name for field in fields(NetworkSize)}


@pytest.mark.parametrize("word", ["algo.network.deter=1024", "algo.network={deter: 1024}"])
def test_one_number_is_given_and_the_rest_stay_the_sizes(word: str) -> None:
    assert loaded(word).algo.network == replace(SIZES["XS"], deter=1024)


def test_auto_written_out_is_the_sizes_number() -> None:
    assert loaded("algo.network.deter=auto").algo.network == SIZES["XS"]


@given(st.sampled_from(FAST_SIZES), st.dictionaries(st.sampled_from(["hidden", "units", "stoch"]), st.integers(1, 99)))
def test_any_numbers_given_win_over_any_size(name: str, given_numbers: dict[str, int]) -> None:
    config = AlgoConfig(model_size=name, network=NetworkConfig(**given_numbers))

    assert resolve_algo(config, on_gpu=False).network == replace(SIZES[name], **given_numbers)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((RLLIB, "algo.model_size=12M"), "algo.model_size='12M' is none of algo.learner=rllib's sizes: nano, micro, "),
        (("algo.model_size=XXS",), "algo.model_size='XXS' is none of algo.learner=fast's sizes: nano, XS, 1M, "),
    ],
)
def test_a_size_of_the_other_learner_is_answered_with_this_ones_and_a_way_out(words: tuple[str], line: str) -> None:
    told = refusal(*words)

    assert told.startswith(line)
    assert told.endswith("; take one of these, or algo.learner=" + ("fast." if RLLIB in words else "rllib."))


# Learning rates


@pytest.mark.parametrize(("learner", "rates"), [("fast", (4e-5, 4e-5, 4e-5)), ("rllib", (1e-4, 3e-5, 3e-5))])
def test_learning_rates_are_the_learners_own(learner: str, rates: tuple[float, float, float]) -> None:
    algo = loaded(f"algo.learner={learner}").algo

    assert (algo.world_model_lr, algo.actor_lr, algo.critic_lr) == rates


@pytest.mark.parametrize("learner", ["fast", "rllib"])
def test_a_learning_rate_that_is_given_wins_and_the_others_stay(learner: str) -> None:
    algo = loaded(f"algo.learner={learner}", "algo.actor_lr=1e-3").algo

    assert (algo.actor_lr, algo.critic_lr) == (1e-3, loaded(f"algo.learner={learner}").algo.critic_lr)


def test_a_whole_number_is_taken_for_a_learning_rate_and_becomes_a_float() -> None:
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
def test_a_learning_rate_that_is_none_is_refused_in_one_line(name: str, value: str, line: str) -> None:
    assert refusal(f"algo.{name}={value}") == f"algo.{name}{line}"


# How an update is computed


def computing(*words: str, on: Machine) -> tuple[str, str, str, bool]:
    experiment = loaded(*words, on=on)
    algo = experiment.algo
    return algo.kernels, algo.precision, algo.replay_device, experiment.hardware.overlap_sampling


@pytest.mark.parametrize(
    ("words", "on", "becomes"),
    [
        ((), CPUS, ("eager", "float32", "cpu", False)),
        ((), GPU, ("fused", "tf32", "auto", True)),
        (("hardware=cpu",), GPU, ("eager", "float32", "cpu", False)),
        (("hardware.num_env_runners=0",), GPU, ("fused", "tf32", "auto", False)),
        ((RLLIB,), CPUS, ("eager", "float32", "cpu", False)),
        ((RLLIB,), GPU, ("eager", "float32", "cpu", False)),
    ],
    ids=["fast", "fast on a GPU", "fast beside a GPU", "fast without runners", "rllib", "rllib on a GPU"],
)
def test_auto_becomes_what_learner_and_machine_allow(
    words: tuple[str, ...], on: Machine, becomes: tuple[str, str, str, bool]
) -> None:
    assert computing(*words, on=on) == becomes


@pytest.mark.parametrize(
    ("word", "becomes"),
    [
        ("algo.kernels=eager", ("eager", "tf32", "auto", True)),
        ("algo.kernels=graph", ("graph", "tf32", "auto", True)),
        ("algo.kernels=fused", ("fused", "tf32", "auto", True)),
        ("algo.precision=float32", ("fused", "float32", "auto", True)),
        ("algo.precision=tf32", ("fused", "tf32", "auto", True)),
        ("algo.precision=bfloat16", ("fused", "bfloat16", "auto", True)),
        ("algo.replay_device=cpu", ("fused", "tf32", "cpu", True)),
        ("algo.replay_device=cuda", ("fused", "tf32", "cuda", True)),
        ("hardware.overlap_sampling=never", ("fused", "tf32", "auto", False)),
    ],
)
def test_a_word_that_is_given_wins_over_auto(word: str, becomes: tuple[str, str, str, bool]) -> None:
    assert computing(word, on=GPU) == becomes


def test_bfloat16_and_overlapped_sampling_work_on_a_cpu_too_where_they_are_asked_for() -> None:
    words = ("algo.precision=bfloat16", "hardware.overlap_sampling=always")

    assert computing(*words, on=CPUS) == ("eager", "bfloat16", "cpu", True)


@pytest.mark.parametrize("name", ["kernels", "precision"])
def test_help_and_comment_tell_what_auto_is_on_a_gpu(name: str) -> None:
    comment = re.search(
        rf"^{name}: auto .*(?:\n +#.*)*", (CONF / "algo" / "dreamerv3.yaml").read_text(encoding="utf-8"), re.M
    )

    assert re.search(rf"auto: {ON_GPU[name]}\b.* on a GPU, else {ON_CPU[name]}$", HELP[f"algo.{name}"])
    assert comment is not None
    assert f"auto: {ON_GPU[name]} on a GPU" in comment[0]


@pytest.mark.parametrize(
    ("name", "word"),
    [("kernels", "graph"), ("kernels", "fused"), ("precision", "tf32"), ("replay_device", "cuda")],
)
@pytest.mark.parametrize("on", [CPUS, GPU], ids=["without a GPU", "beside one"])
def test_what_needs_a_gpu_is_refused_without_one(name: str, word: str, on: Machine) -> None:
    told = refusal("hardware=cpu", f"algo.{name}={word}", on=on)

    assert told == f"algo.{name}={word} needs a learner on a GPU: use hardware=cuda, or algo.{name}=auto."


# Keys of one learner


CHANGED = {  # another value than the default
    "kernels": "eager",
    "precision": "float32",
    "lr_warmup": 0,
    "adaptive_grad_clip": 0.1,
    "replay_device": "cpu",
    "intrinsic_rewards_scale": 0.2,
    "world_model_grad_clip_by_global_norm": 1.0,
    "actor_grad_clip_by_global_norm": 1.0,
    "critic_grad_clip_by_global_norm": 1.0,
}


@pytest.mark.parametrize(
    ("learner", "owner", "name"),
    [
        *(("rllib", "fast", name) for name in OF_FAST if name in CHANGED),
        *(("fast", "rllib", name) for name in OF_RLLIB),
    ],
)
def test_a_key_that_the_learner_would_ignore_is_refused(learner: str, owner: str, name: str) -> None:
    told = refusal(f"algo.learner={learner}", f"algo.{name}={CHANGED[name]}")

    assert told == (
        f"algo.{name}={CHANGED[name]} is read by algo.learner={owner} alone, and this run has algo.learner={learner}: "
        f"leave it out, or choose algo.learner={owner}."
    )


@pytest.mark.parametrize(
    ("word", "start"),
    [
        ("algo.loss_scales.decoder=2", "algo.loss_scales={'decoder': 2.0, "),
        ("+algo.decoder_scales.rays=2", "algo.decoder_scales={'rays': 2.0} is read by algo.learner=fast alone"),
    ],
)
def test_weights_of_losses_are_refused_under_rllibs_learner(word: str, start: str) -> None:
    assert refusal(RLLIB, word).startswith(start)


@pytest.mark.parametrize("name", [field.name for field in fields(NetworkSize)])
def test_a_number_of_the_network_is_refused_under_rllibs_learner(name: str) -> None:
    told = refusal(RLLIB, f"algo.network.{name}=3")

    assert told.startswith(f"algo.network.{name}=3 is read by algo.learner=fast alone")


@pytest.mark.parametrize(("learner", "name"), [("fast", "precision"), ("rllib", "adaptive_grad_clip")])
def test_a_foreign_key_at_its_default_is_no_fault(learner: str, name: str) -> None:
    default = getattr(AlgoConfig(), name)

    assert loaded(f"algo.learner={learner}", f"algo.{name}={default}").algo.learner == learner


@pytest.mark.parametrize(("names", "owner"), [(OF_FAST, "fast"), (OF_RLLIB, "rllib")])
def test_help_says_whose_each_key_of_one_learner_is(names: tuple[str, ...], owner: str) -> None:
    assert [name for name in names if not HELP[f"algo.{name}"].startswith(f"{owner}: ")] == []


def test_overlapped_sampling_is_refused_under_rllibs_learner() -> None:
    told = refusal(RLLIB, "hardware.overlap_sampling=always")

    assert told == "hardware.overlap_sampling=always: algo.learner=rllib samples and learns in turn; use never."


# Values of the fast learner against each other


def test_the_fast_learner_is_one_process() -> None:
    told = refusal("hardware.num_learners=2")

    assert told.startswith("hardware.num_learners=2: algo.learner=fast learns in one process; use 0")


def test_the_fast_learner_may_have_a_process_of_its_own() -> None:
    assert loaded("hardware.num_learners=1").hardware.num_learners == 1


@pytest.mark.parametrize(("blocks", "deter"), [(7, 512), (1024, 512), (8, 500)])
def test_blocks_that_do_not_divide_the_recurrent_units_are_refused(blocks: int, deter: int) -> None:
    told = refusal(f"algo.network.blocks={blocks}", f"algo.network.deter={deter}")

    assert told == f"algo.network.blocks={blocks} has to divide algo.network.deter={deter}."


CAPACITY = ("hardware.num_env_runners=4", "hardware.num_envs_per_env_runner=8", "algo.batch_length_T=32")


def test_a_replay_without_room_for_a_window_of_each_environment_is_refused_with_the_least_there_is() -> None:
    told = refusal(*CAPACITY, "algo.replay_capacity=1055")

    assert told.startswith("algo.replay_capacity=1055 is too small: each of the 32 environments needs ")
    assert told.endswith("at least 1,056.")


def test_a_replay_with_room_for_just_one_window_of_each_environment_is_taken() -> None:
    assert loaded(*CAPACITY, "algo.replay_capacity=1056").algo.replay_capacity == 1056


def test_nothing_but_the_replays_place_is_left_auto_on_a_gpu() -> None:
    algo = loaded(on=GPU).algo

    assert [field.name for field in fields(Algo) if getattr(algo, field.name) == "auto"] == ["replay_device"]
