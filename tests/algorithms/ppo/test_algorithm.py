"""PPO in a run: batches over iterations, figures, the learner's state, divergence, and learning."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate
from dreamer_exp.algorithms.ppo import collected_file
from dreamer_exp.algorithms.ppo.algorithm import CollectingPPO, joined
from dreamer_exp.algorithms.ppo.learner import EpochLearner
from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.algorithms.rllib.checked_learner import replay_update
from dreamer_exp.algorithms.spec import spec_of
from tests.experiments import experiment, small

pytestmark = pytest.mark.usefixtures("ray_local")


@pytest.fixture(scope="module")
def algorithm(ray_local: None) -> Iterator[CollectingPPO]:
    built = build_algorithm(small("ppo"))
    yield built
    built.stop()


@pytest.fixture
def learner(algorithm: CollectingPPO) -> EpochLearner:
    found: EpochLearner = algorithm.learner_group._learner
    return found


def test_a_batch_is_collected_over_iterations(algorithm: CollectingPPO) -> None:
    made, owed, reported = [], [], []
    for _ in range(6):
        learned = algorithm.train().get("learners", {}).get(DEFAULT_MODULE_ID, {})
        made.append(algorithm.last_iteration.updates > 0)
        owed.append(algorithm.updates_owed)
        reported.append(set(spec_of(small("ppo").algo).metrics.values()) - learned.keys())

    assert made == [False, False, True] * 2  # 16 steps each, 40 wanted
    assert owed == [16 * 2 / 16, 32 * 2 / 16, 0] * 2
    assert reported[-1] == set()


def test_the_state_has_the_coefficient_of_the_kl_penalty(learner: EpochLearner) -> None:
    learner.curr_kl_coeffs_per_module[DEFAULT_MODULE_ID].data.fill_(0.7)
    state = learner.get_state()
    learner.curr_kl_coeffs_per_module[DEFAULT_MODULE_ID].data.fill_(0.1)
    learner.set_state(state)

    assert learner.get_extra_state()["kl_coefficient"] == pytest.approx(0.7)


def test_an_earlier_state_replaces_newer_weights(learner: EpochLearner) -> None:
    state = learner.get_state()
    weight = next(learner.module[DEFAULT_MODULE_ID].parameters())
    before = weight.detach().clone()
    with torch.no_grad():
        weight.add_(1.0)
    learner._weights_seq_no += 1  # as an update does
    learner.set_state(state)

    assert torch.equal(weight, before)


def test_a_loss_that_is_not_finite_ends_the_updates_and_changes_nothing(
    algorithm: CollectingPPO, learner: EpochLearner
) -> None:
    chunks = collected(algorithm)
    chunks[0].rewards.data[:] = np.nan
    before = [parameter.detach().clone() for parameter in learner.module[DEFAULT_MODULE_ID].parameters()]
    update = learner.learn(joined(chunks))

    assert isinstance(update, NonFiniteUpdate)
    assert "total_loss" in update.broken
    after = learner.module[DEFAULT_MODULE_ID].parameters()
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert not np.isfinite(replay_update(learner, update.batch, update.state)["total_loss"])


def collected(algorithm: CollectingPPO) -> list[SingleAgentEpisode]:
    """Return the chunks of one fragment, taken out of the algorithm."""
    algorithm._collected = []
    algorithm._sample_fragment()
    chunks, algorithm._collected = algorithm._collected, []
    return chunks


def test_waiting_steps_are_saved_and_loaded(algorithm: CollectingPPO, tmp_path: Path) -> None:
    chunks = collected(algorithm) + collected(algorithm)
    collected_file.save(chunks, tmp_path)
    loaded = collected_file.load(tmp_path)

    assert [(one.id_, one.t_started, len(one)) for one in loaded] == [
        (one.id_, one.t_started, len(one)) for one in chunks
    ]
    for name in collected_file.NAMES:
        pairs = zip(loaded, chunks, strict=True)
        assert all(np.array_equal(*(collected_file.column(chunk, name) for chunk in pair)) for pair in pairs), name


def test_no_waiting_steps_are_saved_and_loaded(tmp_path: Path) -> None:
    collected_file.save([], tmp_path)
    assert collected_file.load(tmp_path) == []


def test_chunks_of_an_episode_are_joined(algorithm: CollectingPPO) -> None:
    algorithm.reset_episodes(7)
    chunks = collected(algorithm) + collected(algorithm)  # 32 steps; episodes have 20
    lengths = [len(chunk) for chunk in chunks]
    episodes = joined(chunks)

    assert lengths == [16, 4, 12]
    assert [(len(episode), bool(episode.is_done)) for episode in episodes] == [(20, True), (12, False)]


@pytest.mark.slow
@pytest.mark.robot_sf
def test_the_preset_for_robot_sf_trains() -> None:
    pytest.importorskip("robot_sf")
    machine_words = ("hardware=cpu", "hardware.num_cpus=1", "hardware.num_env_runners=0")
    sizes = ("hardware.num_envs_per_env_runner=2", "algo.train_batch_size_per_learner=64", "algo.minibatch_size=32")
    built = build_algorithm(experiment("experiment=robot_sf_ppo", *machine_words, *sizes, "env.max_steps=40"))
    learned = [built.train()["learners"][DEFAULT_MODULE_ID] for _ in range(2)]
    built.stop()

    assert built.last_iteration.env_steps == 64
    assert all(np.isfinite(one["total_loss"]) for one in learned)
