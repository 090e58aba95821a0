"""The presets of DeepMind Control: composition and the line for a missing extra everywhere, the rest with the extra."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ContractEnv
from dreamer_exp.envs.gym import dm_control
from dreamer_exp.envs.make import contract_of, make_env
from dreamer_exp.rundir.reader import read_evaluations, read_rows
from tests.experiments import NANO, experiment
from tests.programs import run as program

TASKS = {"walker_walk": (24, 6), "cheetah_run": (17, 6), "cartpole_swingup": (5, 1)}  # sizes of observation and action
INSTALLED = importlib.util.find_spec("dm_control") is not None
each_task = pytest.mark.parametrize("task", TASKS)
with_the_extra = pytest.mark.skipif(not INSTALLED, reason="needs the extra dmc")


def preset(task: str, *words: str) -> Experiment:
    return experiment(f"experiment=dmc_{task}", *words)


@each_task
def test_preset_has_the_published_settings(task: str) -> None:
    found = preset(task)

    assert found.env.label == f"env.id='dm_control/{task.replace('_', '-')}-v0'"
    assert (found.env.action_repeat, found.env.max_steps) == (1, 1000)
    assert found.algo.network == SIZES["1M"]
    assert (found.algo.training_ratio, found.algo.batch_size_B, found.algo.batch_length_T) == (1024, 16, 64)
    assert (found.algo.horizon_H, found.algo.gamma, found.algo.actor_lr) == (15, 0.997, 4e-5)
    assert found.hardware.num_env_runners * found.hardware.num_envs_per_env_runner == 16


@each_task
def test_preset_has_half_a_million_env_steps(task: str) -> None:
    found = preset(task)

    assert found.run.train_iterations * found.hardware.env_steps_per_iteration == 500_224


def test_tasks_differ_in_name_task_and_observed_entries_only() -> None:
    walker, cheetah = preset("walker_walk"), preset("cheetah_run")

    assert replace(walker, run=cheetah.run, env=cheetah.env, obs_contract=cheetah.obs_contract) == cheetah
    assert replace(walker.run, id="dmc_cheetah_run") == cheetah.run


def test_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dm_control, "PACKAGES", ("no_such_package",))
    walker = preset("walker_walk")

    with pytest.raises(
        UserError, match=r"^env\.id='dm_control/walker-walk-v0' needs no_such_package, .*: pip install 'd"
    ):
        contract_of(walker.env, walker.obs_contract)


@pytest.mark.skipif(INSTALLED, reason="the extra dmc is installed")
@pytest.mark.parametrize("words", [(), ("dry_run=true",)], ids=["run", "dry run"])
def test_run_without_the_extra_ends_in_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    done = program("experiment=dmc_walker_walk", *words, cwd=tmp_path)

    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert done.stderr.count("\n") == 1
    assert "needs shimmy, dm_control, mujoco, which this Python lacks: pip install 'dreamer-exp[dmc]'" in done.stderr


@with_the_extra
@each_task
def test_contract_has_the_sizes_of_the_task(task: str) -> None:
    found = preset(task)

    contract = contract_of(found.env, found.obs_contract)

    assert (contract.size, contract.action.size) == TASKS[task]


def rollout(env: ContractEnv, seed: int) -> tuple[list[float], bool, bool]:
    """Return first numbers of the observations, and how the episode ended."""
    observation, _ = env.reset(seed=seed)
    action, seen = np.full(env.action_space.shape or (), 0.5, np.float32), [float(observation[0])]
    while True:
        observation, _, terminated, truncated, _ = env.step(action)
        seen.append(float(observation[0]))
        if terminated or truncated:
            return seen, terminated, truncated


@with_the_extra
def test_episode_depends_on_its_seed_alone() -> None:
    found = preset("walker_walk", "env.max_steps=30")
    env, other = (make_env(found.env, found.obs_contract) for _ in range(2))

    rollout(other, 2)

    assert rollout(env, 1) == rollout(other, 1)
    assert rollout(env, 1) != rollout(env, 2)


@with_the_extra
def test_episode_is_truncated_after_a_thousand_steps() -> None:
    found = preset("cartpole_swingup")

    seen, terminated, truncated = rollout(make_env(found.env, found.obs_contract), 1)

    assert (len(seen), terminated, truncated) == (1001, False, True)


@with_the_extra
@pytest.mark.slow
@pytest.mark.end_to_end
@each_task
def test_nano_run_trains_and_evaluates(task: str, tmp_path: Path) -> None:
    words = [word for word in NANO if not word.startswith("env.scenario")]
    small = ("hardware.num_env_runners=0", "hardware.num_envs_per_env_runner=2", "run.train_iterations=2")

    done = program(
        f"experiment=dmc_{task}", *words, *small, "tracking=none", "hydra.run.dir=run", cwd=tmp_path, trains=True
    )

    assert done.returncode == 0, done.stderr
    assert "absl" not in done.stderr
    assert read_rows(tmp_path / "run" / "result.jsonl")[-1]["env_steps"] == 64
    evaluations = read_evaluations(tmp_path / "run" / "evaluation.jsonl")
    assert [(row["kind"], row["episodes"]) for row in evaluations].count(("trained", 2)) == 2
