"""SAC in a run: its ratio, rows, state and refusals; its policy in `load_policy`; and learning."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns

from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate
from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.algorithms.rllib.checked_learner import replay_update
from dreamer_exp.algorithms.sac.algorithm import ReplaySAC
from dreamer_exp.algorithms.sac.implementation import policy_maker
from dreamer_exp.algorithms.sac.learner import ReplayLearner
from dreamer_exp.algorithms.sac.sizes import policy_weights
from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.checkpoints.policy_file import build, save_policy
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.make import contract_of
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.planning.resolve import resolve
from dreamer_exp.planning.work import work_to_come
from dreamer_exp.policy.load import load_policy
from tests.experiments import experiment, machine, small, small_gym

pytestmark = pytest.mark.usefixtures("ray_local")

NETWORK = {
    "algorithm": "sac",
    "network": {"fcnet_hiddens": [16, 8], "fcnet_activation": "relu"},
    "observation_size": 7,
    "action": {"kind": "box", "size": 2},
}


@pytest.fixture(scope="module")
def algorithm(ray_local: None) -> Iterator[ReplaySAC]:
    built = build_algorithm(small("sac"))
    yield built
    built.stop()


@pytest.fixture
def learner(algorithm: ReplaySAC) -> ReplayLearner:
    found: ReplayLearner = algorithm.learner_group._learner
    return found


def test_updates_follow_the_ratio_after_the_first_steps(algorithm: ReplaySAC) -> None:
    iterations = []
    for _ in range(3):
        learned = algorithm.train()["learners"][DEFAULT_MODULE_ID]
        last = algorithm.last_iteration
        iterations.append((last.env_steps, last.prefill_env_steps, last.updates))

    assert iterations == [(32, 16, 4), (16, 0, 4), (16, 0, 4)]
    assert set(spec_of(small("sac").algo).metrics.values()) <= learned.keys()
    assert work_to_come(small("sac", "run.train_iterations=3"))[1:] == (64, 16, 12)


def test_the_forecast_counts_the_bytes_of_the_replay(learner: ReplayLearner) -> None:
    settings = small("sac")
    memory = spec_of(settings.algo).memory(settings, contract_of(settings.env, settings.obs_contract))

    held = sum(values.nbytes for values in learner.replay._columns.values())
    assert held == pytest.approx(memory.bytes_per_step * memory.replay_capacity, rel=0.01)
    trained = [p for p in learner.module[DEFAULT_MODULE_ID].parameters() if p.requires_grad]
    assert memory.parameters == sum(p.numel() for p in trained)


def test_the_state_has_the_weight_of_the_entropy(learner: ReplayLearner) -> None:
    learner.curr_log_alpha[DEFAULT_MODULE_ID].data.fill_(0.7)
    state = learner.get_state()
    learner.curr_log_alpha[DEFAULT_MODULE_ID].data.fill_(0.1)
    learner.set_state(state)

    assert learner.get_extra_state()["log_alpha"] == pytest.approx(0.7)


def test_a_loss_that_is_not_finite_ends_the_updates_and_changes_nothing(learner: ReplayLearner) -> None:
    kept = learner.replay._columns["reward"].copy()
    learner.replay._columns["reward"][:] = np.nan
    before = [parameter.detach().clone() for parameter in learner.module[DEFAULT_MODULE_ID].parameters()]
    update = learner.learn(3)
    learner.replay._columns["reward"][:] = kept

    assert isinstance(update, NonFiniteUpdate)
    assert "total_loss" in update.broken
    assert all(torch.equal(*pair) for pair in zip(before, learner.module[DEFAULT_MODULE_ID].parameters(), strict=True))
    assert not np.isfinite(replay_update(learner, update.batch, update.state)["total_loss"])


def test_discrete_actions_are_refused_before_the_run() -> None:
    with pytest.raises(UserError, match=r"^algo=sac takes Box actions, and env\.id='CartPole-v1' has 2 Discrete ones"):
        resolve(small_gym("sac", "CartPole-v1"), machine())


def test_a_replay_without_room_for_the_first_steps_is_refused() -> None:
    with pytest.raises(UserError, match=r"^algo\.replay_capacity=1000 is less than the 1,500 steps before the first"):
        experiment("algo=sac", "algo.replay_capacity=1000")


def test_load_policy_acts_as_the_run_does(tmp_path: Path) -> None:
    module = build(NETWORK)
    save_policy(module, "sac", tmp_path, {})
    loaded, in_run = load_policy(tmp_path, robots=3), policy_maker(module)(3)

    assert policy_weights(NETWORK) == sum(parameter.numel() for parameter in module.parameters())
    for step in np.random.default_rng(1).normal(size=(4, 3, 7)).astype(np.float32):
        actions = in_run.act(step)
        assert np.array_equal(loaded.act(step), actions)
        batch = {Columns.OBS: torch.from_numpy(step), Columns.ACTIONS: torch.from_numpy(actions)}
        np.testing.assert_allclose(loaded.value(), module.compute_q_values(batch).detach().numpy(), rtol=1e-5)


@pytest.mark.slow
def test_pendulum_is_learned() -> None:
    words = ("env=gym", "env.id=Pendulum-v1", "env.max_steps=200", "obs_contract=vector", "hardware=cpu", "run.seed=1")
    sizes = ("algo.fcnet_hiddens=[64,64]", "algo.train_batch_size_per_learner=128", "algo.actor_lr=1e-3")
    rates = ("algo.critic_lr=1e-3", "algo.alpha_lr=1e-3", "algo.training_intensity=32", "algo.gamma=0.95")
    envs = ("hardware.num_cpus=1", "hardware.num_env_runners=0", "hardware.num_envs_per_env_runner=4")
    algorithm, counters = build_algorithm(experiment("algo=sac", *words, *sizes, *rates, *envs)), Counters()
    for _ in range(220):
        algorithm.train()
        counters.add(algorithm.last_iteration)
    algorithm.stop()
    newest = [episode.episode_return for episode in list(counters.window)[-20:]]
    assert np.mean(newest) > -600  # random actions: about -1,250
