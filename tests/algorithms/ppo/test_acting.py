"""PPO's policy in a run, in `load_policy` and in the env runner: the same actions, probabilities and values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule

from dreamer_exp.algorithms.ppo.env_runner import ActorEnvRunner
from dreamer_exp.algorithms.ppo.implementation import policy_maker
from dreamer_exp.algorithms.ppo.sizes import policy_weights
from dreamer_exp.algorithms.rllib.build import build_config
from dreamer_exp.checkpoints.policy_file import build, save_policy
from dreamer_exp.policy.load import load_policy
from tests.experiments import small, small_gym

SIZE, ROWS = 7, 3  # of observations, robots
ACTIONS = {"box": {"kind": "box", "size": 2}, "discrete": {"kind": "discrete", "size": 5}}
CASES = [("box", True), ("box", False), ("discrete", True)]


def description(kind: str, free_log_std: bool) -> dict[str, Any]:
    network = {"fcnet_hiddens": [16, 8], "fcnet_activation": "tanh", "free_log_std": free_log_std}
    return {"algorithm": "ppo", "network": network, "observation_size": SIZE, "action": ACTIONS[kind]}


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]} {case[1]}")
def case(request: pytest.FixtureRequest) -> tuple[str, bool]:
    found: tuple[str, bool] = request.param
    return found


@pytest.fixture
def module(case: tuple[str, bool]) -> RLModule:
    built = build(description(*case))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    return built


def observations(steps: int = 4) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(steps, ROWS, SIZE)).astype(np.float32)


def test_load_policy_acts_as_the_run_does(module: RLModule, tmp_path: Path) -> None:
    save_policy(module, "ppo", tmp_path, {})
    loaded, in_run = load_policy(tmp_path, robots=ROWS), policy_maker(module)(ROWS)

    for step in observations():
        assert np.array_equal(loaded.act(step), in_run.act(step))
        expected = module.compute_values({Columns.OBS: torch.from_numpy(step)}).detach().numpy()
        np.testing.assert_allclose(loaded.value(), expected, rtol=1e-6)


def test_sampled_actions_vary_around_the_most_likely_one(module: RLModule, tmp_path: Path) -> None:
    save_policy(module, "ppo", tmp_path, {})
    loaded = load_policy(tmp_path, robots=ROWS)
    (step,) = observations(1)

    drawn = np.stack([loaded.act(step, sample=True) for _ in range(50)])
    assert len(np.unique(drawn, axis=0)) > 1


def test_imagining_is_refused(module: RLModule, tmp_path: Path) -> None:
    save_policy(module, "ppo", tmp_path, {})
    loaded = load_policy(tmp_path)

    with pytest.raises(ValueError, match=r"^imagining needs a world model, and algo=ppo has none$"):
        loaded.imagine(loaded.state, np.zeros((3, 2), np.float32))


def test_the_file_describes_as_many_weights_as_it_has(module: RLModule, case: tuple[str, bool]) -> None:
    assert policy_weights(description(*case)) == sum(parameter.numel() for parameter in module.parameters())


def sampled(kind: str) -> tuple[ActorEnvRunner, Any]:
    words = ("hardware.num_envs_per_env_runner=2", "run.seed=3")
    settings = small("ppo", *words) if kind == "box" else small_gym("ppo", "CartPole-v1", *words)
    runner = ActorEnvRunner(config=build_config(settings), worker_index=0, num_workers=0)
    return runner, runner.sample(num_timesteps=32)


@pytest.mark.parametrize("kind", ["box", "discrete"])
def test_recorded_probabilities_are_those_of_the_network(kind: str) -> None:
    runner, chunks = sampled(kind)
    for chunk in chunks:
        batch = {Columns.OBS: torch.from_numpy(chunk.observations.data[:-1])}
        logits = runner.module.forward_exploration(batch)[Columns.ACTION_DIST_INPUTS]
        logp = (
            runner.module.get_exploration_action_dist_cls()
            .from_logits(logits)
            .logp(torch.as_tensor(chunk.actions.data))
        )
        np.testing.assert_allclose(chunk.extra_model_outputs[Columns.ACTION_LOGP].data, logp.detach(), atol=1e-5)


def test_sampling_repeats_from_the_same_number_and_does_not_touch_torchs_generator() -> None:
    runner, chunks = sampled("box")
    before = torch.get_rng_state()
    runner.reset_episodes(0)
    again = runner.sample(num_timesteps=32)

    assert torch.equal(before, torch.get_rng_state())
    pairs = list(zip(chunks, again, strict=True))
    assert all(np.array_equal(one.actions.data, other.actions.data) for one, other in pairs)
