"""Env runner: episodes across chunks, seeds, weights, and exceptions that are passed on unchanged."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.dreamerv3.acting.chunks import Steps, steps_of
from dreamer_exp.algorithms.dreamerv3.acting.env_runner import AgentEnvRunner
from dreamer_exp.algorithms.dreamerv3.acting.policy import AgentPolicy
from dreamer_exp.algorithms.rllib.build import build_config
from dreamer_exp.algorithms.rllib.chunks import result
from dreamer_exp.algorithms.rllib.env_runner import policy_seed
from tests.experiments import nano, nano_gym

ENVS, FRAGMENT, LENGTH = 3, 16, 20  # of the nano experiment; an episode spans two or three chunks
SEED = 7


def make_runner(*overrides: str, worker_index: int = 0) -> AgentEnvRunner:
    experiment = nano("algo=dreamerv3", f"run.seed={SEED}", f"hardware.num_envs_per_env_runner={ENVS}", *overrides)
    return AgentEnvRunner(config=build_config(experiment), worker_index=worker_index, num_workers=0)


def make_cartpole() -> AgentEnvRunner:
    experiment = nano_gym("CartPole-v1", "algo=dreamerv3", "env.max_steps=500")
    return AgentEnvRunner(config=build_config(experiment), worker_index=0, num_workers=0)


def sample(runner: AgentEnvRunner, calls: int) -> list[SingleAgentEpisode]:
    return [chunk for _ in range(calls) for chunk in runner.sample()]


def streams(chunks: list[SingleAgentEpisode]) -> list[list[SingleAgentEpisode]]:
    """Return the chunks of each environment, oldest first."""
    keys = sorted({chunk.custom_data["stream"] for chunk in chunks})
    return [[chunk for chunk in chunks if chunk.custom_data["stream"] == key] for key in keys]


def steps(runner: AgentEnvRunner, stream: list[SingleAgentEpisode]) -> Steps:
    """Return all steps of an environment as the replay receives them."""
    kind = runner.module.agent.action
    before = [0.0, *(float(chunk.rewards.data[-1]) for chunk in stream)]
    parts = [steps_of(chunk, kind, reward) for chunk, reward in zip(stream, before, strict=False)]
    return Steps(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


@pytest.fixture(scope="module")
def runner() -> AgentEnvRunner:
    """Return the runner that sampled `chunks`."""
    return make_runner()


@pytest.fixture(scope="module")
def chunks(runner: AgentEnvRunner) -> list[SingleAgentEpisode]:
    return sample(runner, 5)


def test_fragment_has_the_requested_number_of_env_steps(chunks: list[SingleAgentEpisode]) -> None:
    assert sum(map(len, chunks)) == 5 * FRAGMENT * ENVS


def test_request_is_rounded_up_to_a_step_of_every_environment() -> None:
    assert sum(map(len, make_runner().sample(num_timesteps=4))) == 2 * ENVS


def test_chunks_of_an_episode_follow_each_other_without_gaps(chunks: list[SingleAgentEpisode]) -> None:
    for stream in streams(chunks):
        for left, right in pairwise(stream):
            if left.is_done:
                assert right.t_started == 0
                assert left.id_ != right.id_
            else:
                assert (left.id_, left.t) == (right.id_, right.t_started)
                assert np.array_equal(left.observations.data[-1], right.observations.data[0])


def test_result_covers_the_complete_episode(chunks: list[SingleAgentEpisode]) -> None:
    done = [chunk for chunk in chunks if chunk.is_done]
    assert len(done) == 4 * ENVS
    for chunk in done:
        parts = [part for part in chunks if part.id_ == chunk.id_]
        ended = result(chunk)
        assert len(parts) > 1
        assert (ended.length, ended.outcome, ended.scenario) == (LENGTH, "timeout", "open")
        assert ended.episode_return == pytest.approx(sum(part.get_return() for part in parts), abs=1e-4)


def test_timeout_truncates_and_does_not_terminate(chunks: list[SingleAgentEpisode]) -> None:
    assert {(chunk.is_terminated, chunk.is_truncated) for chunk in chunks if chunk.is_done} == {(False, True)}


def test_reset_loses_no_env_step(runner: AgentEnvRunner, chunks: list[SingleAgentEpisode]) -> None:
    for stream in streams(chunks):
        found = steps(runner, stream)
        assert np.flatnonzero(found.is_last).tolist() == [LENGTH, 2 * LENGTH + 1, 3 * LENGTH + 2, 4 * LENGTH + 3]
        assert np.array_equal(np.flatnonzero(found.is_first)[1:], np.flatnonzero(found.is_last)[:-1] + 1)


def test_latents_and_actions_are_those_of_the_policy(runner: AgentEnvRunner, chunks: list[SingleAgentEpisode]) -> None:
    """Across chunks and episodes; the policy does not act on the last observation of an episode."""
    found = [steps(runner, stream) for stream in streams(chunks)]
    acted = [~each.is_last for each in found]
    policy = AgentPolicy(runner.module.agent, ENVS, policy_seed(SEED, 0), explore=True)
    for t in range(5 * FRAGMENT):
        now = [np.flatnonzero(mask)[t] for mask in acted]
        rows = list(zip(found, now, strict=True))
        policy.act(
            np.stack([each.observation[i] for each, i in rows]), np.array([each.is_first[i] for each, i in rows])
        )
        assert np.array_equal(policy.deter, [each.deter[i] for each, i in rows])
        assert np.array_equal(policy.stoch, [each.stoch[i] for each, i in rows])
        assert np.array_equal(policy.action, [each.action[i] for each, i in rows])


def test_chunks_hold_no_infos_and_are_numpy(chunks: list[SingleAgentEpisode]) -> None:
    assert all(info == {} for chunk in chunks for info in chunk.infos.data)
    assert all(chunk.is_numpy for chunk in chunks)


def test_same_seed_gives_the_same_episodes(chunks: list[SingleAgentEpisode]) -> None:
    again = sample(make_runner(), 5)
    assert all(
        np.array_equal(left.observations.data, right.observations.data)
        for left, right in zip(chunks, again, strict=True)
    )


def test_environments_and_runners_have_different_episodes(chunks: list[SingleAgentEpisode]) -> None:
    others = make_runner(worker_index=1).sample()
    starts = [chunk.observations.data[0].tobytes() for chunk in (*chunks, *others) if chunk.t_started == 0]
    assert len(starts) == len(set(starts)) == (4 + 1) * ENVS
    assert [chunk.custom_data["stream"] for chunk in others] == [(1, i) for i in range(ENVS)]


def test_new_weights_change_the_actions_within_an_episode() -> None:
    stale, updated = make_runner(), make_runner()
    stale.sample()
    updated.sample()
    weights = {name: np.full_like(value, 0.05) for name, value in updated.module.get_state().items()}
    updated.set_state({COMPONENT_RL_MODULE: {DEFAULT_MODULE_ID: weights}})
    left, right = stale.sample()[-1], updated.sample()[-1]
    assert torch.equal(updated.module.agent.actor[0].bias, torch.full_like(updated.module.agent.actor[0].bias, 0.05))
    assert not np.array_equal(left.actions.data, right.actions.data)


def test_runner_takes_the_mode_without_exploration() -> None:
    runner = make_runner()
    (chunk, *_) = runner.sample(explore=False)
    policy = AgentPolicy(runner.module.agent, ENVS, policy_seed(SEED, 0), explore=False)
    policy.act(np.stack([env_chunk[0].observations.data[0] for env_chunk in streams([chunk])] * ENVS))
    assert np.allclose(chunk.actions.data[0], policy.action[0], atol=1e-6)


def test_forced_reset_begins_new_episodes() -> None:
    runner = make_runner()
    first, second = runner.sample(), runner.sample(num_timesteps=ENVS, force_reset=True)
    assert {chunk.t_started for chunk in second} == {0}
    assert not {chunk.id_ for chunk in first} & {chunk.id_ for chunk in second}


@pytest.mark.parametrize("request_", [{"num_episodes": 1}, {"num_timesteps": 8, "random_actions": True}])
def test_unsupported_requests_raise(request_: dict[str, object]) -> None:
    with pytest.raises(NotImplementedError, match="AgentEnvRunner samples a number of env steps"):
        make_runner().sample(**request_)


def test_discrete_actions_are_stored_as_integers() -> None:
    runner = make_cartpole()
    chunks = sample(runner, 8)
    assert {chunk.actions.data.dtype.kind for chunk in chunks} == {"i"}
    assert {(chunk.is_terminated, chunk.is_truncated) for chunk in chunks if chunk.is_done} == {(True, False)}
    found = steps(runner, chunks)
    assert found.action.shape[1] == 2
    assert np.array_equal(found.action.sum(1) == 0.0, found.is_last)


def test_exception_of_an_environment_is_raised_unchanged() -> None:
    runner = make_runner()
    runner.sample()

    def broken(action: object) -> None:
        raise ValueError("the simulator failed")

    runner._envs[1].step = broken
    with pytest.raises(ValueError, match="the simulator failed"):
        runner.sample()


def test_rllib_metrics_are_logged() -> None:
    runner = make_runner()
    sample(runner, 2)
    metrics = runner.get_metrics()
    assert metrics["num_env_steps_sampled"].peek() == 2 * FRAGMENT * ENVS
    assert metrics["num_episodes"].peek() == ENVS
    assert metrics["episode_len_mean"].peek() == LENGTH


def test_sampling_does_not_touch_torchs_global_generator() -> None:
    runner = make_runner()
    before = torch.get_rng_state()
    runner.sample()
    assert torch.equal(before, torch.get_rng_state())
