"""`algo=dreamerv3_rllib`: sizes, learning rates, what "auto" becomes, and values that are refused."""

import pytest

from dreamer_exp.algorithms.dreamerv3_rllib.sizes import SIZES
from dreamer_exp.config.errors import UserError
from tests.config.composing import loaded
from tests.experiments import machine

OPTION = "algo=dreamerv3_rllib"


@pytest.mark.parametrize("name", SIZES)
def test_model_size_accepts_rllibs_sizes(name: str) -> None:
    assert loaded(OPTION, f"algo.model_size={name}").algo.model_size == name


def test_auto_learning_rates_are_rllibs() -> None:
    algo = loaded(OPTION).algo

    assert (algo.world_model_lr, algo.actor_lr, algo.critic_lr) == (1e-4, 3e-5, 3e-5)


@pytest.mark.parametrize("gpus", [0, 1])
def test_sampling_does_not_overlap_under_auto(gpus: int) -> None:
    assert not loaded(OPTION, on=machine(cpus=64, gpus=gpus)).hardware.overlap_sampling


def test_overlapped_sampling_is_refused() -> None:
    with pytest.raises(UserError) as refused:
        loaded(OPTION, "hardware.overlap_sampling=always")

    assert str(refused.value) == (
        "hardware.overlap_sampling=always: algo=dreamerv3_rllib samples and learns in turn; use never."
    )


def test_learners_have_to_divide_the_batch() -> None:
    with pytest.raises(UserError, match=r"^hardware\.num_learners=3 has to divide algo\.batch_size_B=16\.$"):
        loaded(OPTION, "hardware.num_learners=3")


def test_nothing_is_left_auto() -> None:
    assert "auto" not in loaded(OPTION).to_dict()["algo"].values()
