"""The training step of both algorithms: training ratio, stops and episodes; and the replay of RLlib's learner."""

from typing import Any

import numpy as np
import pytest
import torch

from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.build import build_algorithm
from tests.experiments import nano, nano_gym

pytestmark = pytest.mark.usefixtures("ray_local")

both_algorithms = pytest.mark.parametrize("algo", ["dreamerv3_rllib", "dreamerv3"], scope="module", indirect=True)
stock = pytest.mark.parametrize("algo", ["dreamerv3_rllib"], scope="module", indirect=True)


@pytest.fixture(scope="module")
def algo(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def rllib(*overrides: str) -> BaseDreamerV3:
    return build_algorithm(nano("algo=dreamerv3_rllib", *overrides))


def weights(algorithm: BaseDreamerV3) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in algorithm.env_runner.module.state_dict().items()}


@both_algorithms
def test_first_iteration_samples_a_batch_and_updates_for_its_last_fragment(algo: str) -> None:
    algorithm = build_algorithm(nano(f"algo={algo}"))
    algorithm.train()
    assert algorithm.last_iteration.env_steps == 32
    assert algorithm.last_iteration.prefill_env_steps == 16
    assert algorithm.last_iteration.updates == 2  # 16 new steps x ratio 4 / 32 replayed steps
    algorithm.stop()


@both_algorithms
def test_small_training_ratio_is_kept_over_several_iterations(algo: str) -> None:
    algorithm = build_algorithm(nano(f"algo={algo}", "algo.training_ratio=0.75"))  # 3/8 update an iteration
    updates = []
    for _ in range(6):
        algorithm.train()
        updates.append(algorithm.last_iteration.updates)
    assert updates == [0, 0, 1, 0, 0, 1]
    assert algorithm.last_iteration.prefill_env_steps == 0
    algorithm.stop()


@both_algorithms
def test_iteration_stops_between_two_updates(algo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamer_exp.algorithms.rllib.learner_replay.LEARNER_CALL_S", 0.0)  # a call an update
    algorithm = build_algorithm(nano(f"algo={algo}", "algo.training_ratio=64"))
    algorithm.should_stop = lambda: algorithm.last_iteration.updates >= 2
    algorithm.train()
    assert algorithm.last_iteration.updates == 2
    algorithm.stop()


@both_algorithms
def test_finished_episodes_are_reported_with_length_and_outcome(trained: BaseDreamerV3) -> None:
    assert len(trained.episodes_seen) == 4  # 96 steps: 4 complete episodes of 20
    assert {(episode.length, episode.outcome) for episode in trained.episodes_seen} == {(20, "timeout")}
    assert all(episode.scenario == "open" for episode in trained.episodes_seen)


@stock
def test_return_of_an_episode_is_the_sum_of_its_rewards_in_the_replay(trained: BaseDreamerV3) -> None:
    sums = [float(np.sum(episode.rewards.data)) for episode in trained.replay_buffer.episodes if episode.is_done]
    reported = [episode.episode_return for episode in trained.episodes_seen]
    assert sorted(sums) == pytest.approx(sorted(reported), abs=1e-4)


@stock
def test_replay_contains_neither_infos_nor_model_states(trained: BaseDreamerV3) -> None:
    for episode in trained.replay_buffer.episodes:
        assert episode.extra_model_outputs == {}
        assert all(info == {} for info in episode.infos.data)


@stock
def test_timeout_is_truncated_in_the_replay(trained: BaseDreamerV3) -> None:
    done = [episode for episode in trained.replay_buffer.episodes if episode.is_done]
    assert done
    assert all(episode.is_truncated and not episode.is_terminated for episode in done)


def test_same_seed_gives_the_same_weights() -> None:
    found = []
    for _ in range(2):
        algorithm = rllib("algo.training_ratio=2")  # an update an iteration
        for _ in range(2):
            algorithm.train()
        found.append(weights(algorithm))
        algorithm.stop()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.slow
def test_another_seed_gives_other_episodes() -> None:
    first_observations = []
    for seed in (1, 2):
        algorithm = rllib(f"run.seed={seed}")
        algorithm.train()
        first_observations.append(algorithm.replay_buffer.episodes[0].observations[0])
        algorithm.stop()
    assert not np.array_equal(*first_observations)


def first_observations(*overrides: str) -> list[bytes]:
    """Return the first observation of each environment's first episode."""
    algorithm = rllib("hardware.num_cpus=2", *overrides)
    algorithm.train()
    starts = [episode.observations[0].tobytes() for episode in algorithm.replay_buffer.episodes]
    algorithm.stop()
    return starts


@pytest.mark.slow
def test_environments_of_all_env_runners_have_different_episodes() -> None:
    starts = first_observations("hardware.num_env_runners=2", "hardware.num_envs_per_env_runner=4")
    assert len(starts) == len(set(starts)) == 8


@pytest.mark.slow
def test_runs_with_neighbouring_seeds_have_different_episodes() -> None:
    runs = [first_observations("hardware.num_envs_per_env_runner=4", f"run.seed={seed}") for seed in (1, 2)]
    assert not set(runs[0]) & set(runs[1])


@pytest.mark.parametrize(("algo", "loss"), [("dreamerv3_rllib", "WORLD_MODEL_L_total"), ("dreamerv3", "total")])
def test_discrete_actions_can_be_trained(algo: str, loss: str) -> None:
    algorithm = build_algorithm(nano_gym("CartPole-v1", f"algo={algo}"))
    result = algorithm.train()
    assert np.isfinite(result["learners"]["default_policy"][loss])
    algorithm.stop()


def test_metrics_of_an_iteration_are_means_over_its_updates() -> None:
    algorithm = rllib("algo.training_ratio=6")
    losses = []
    update_once = algorithm._update_once

    def recorded() -> list[Any]:
        results = update_once()
        losses.append(float(results[0]["default_policy"]["WORLD_MODEL_L_total"].peek()))
        return results

    algorithm._update_once = recorded
    result = algorithm.train()
    assert len(losses) == 3
    assert result["learners"]["default_policy"]["WORLD_MODEL_L_total"] == pytest.approx(np.mean(losses), rel=1e-5)
    algorithm.stop()


@stock
def test_checkpoint_restores_the_weights(trained: BaseDreamerV3, tmp_path: object) -> None:
    trained.save_to_path(str(tmp_path))
    before = weights(trained)
    fresh = rllib("run.seed=9")
    assert not all(torch.equal(before[name], weights(fresh)[name]) for name in before)
    fresh.restore_from_path(str(tmp_path))
    assert all(torch.equal(before[name], weights(fresh)[name]) for name in before)
    fresh.stop()
