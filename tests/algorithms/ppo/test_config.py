"""`algo=ppo`: values that are refused, planned work and memory."""

import pytest

from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.make import contract_of
from dreamer_exp.planning.work import work_to_come
from tests.experiments import experiment, machine, small


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["algo.minibatch_size=4096"], "algo.minibatch_size=4096 is more than algo.train_batch_size_per_learner=2048"),
        (["algo.fcnet_hiddens=[]"], "algo.fcnet_hiddens=[]: it takes at least one layer"),
        (["algo.fcnet_activation=gelu"], "algo.fcnet_activation='gelu' is not one of: tanh, relu, silu."),
        (["hardware.overlap_sampling=always"], "hardware.overlap_sampling=always: algo=ppo samples and learns in turn"),
        (["hardware.num_learners=2"], "hardware.num_learners=2: algo=ppo learns in one process"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        experiment("algo=ppo", *words, on=machine(cpus=8))

    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_each_step_is_used_once_in_an_epoch_and_none_waits_for_a_replay() -> None:
    work = work_to_come(small("ppo", "run.train_iterations=10"))

    assert (work.env_steps, work.prefill_env_steps, work.updates) == (160, 0, 160 * 2 // 16)


def test_there_is_no_replay_to_forecast() -> None:
    settings = small("ppo")
    memory = spec_of(settings.algo).memory(settings, contract_of(settings.env, settings.obs_contract))

    assert (memory.replay_capacity, memory.bytes_per_step) == (0, 0)
    assert memory.parameters == (831 * 16 + 16 + 16 * 16 + 16) * 2 + (16 * 2 + 2) + 2 + (16 + 1)
