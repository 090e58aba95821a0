"""The world-model check: its error curves and its figure."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamer_exp.algorithms.open_loop import Imagined
from dreamer_exp.envs.make import contract_of
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.spec import spec_of
from dreamer_exp.evaluation.rollout import Stopped
from dreamer_exp.evaluation.world_model.check import (
    Quantity,
    draw_imagination,
    error_curves,
    nothing_changes,
    quantities,
    typical_rays,
)
from dreamer_exp.evaluation.world_model.figure import describe_steps
from dreamer_exp.evaluation.world_model.ground_truth import CONTEXT, EPISODES, STARTS, collect
from dreamer_exp.evaluation.world_model.verdict import LINEAR, MODEL, STILL
from tests.evaluation.world_model.driving import driven
from tests.experiments import nano, nano_gym
from tests.training.networks import network

OBSERVATION = [Quantity("observation", "m", slice(0, 2))]


def world(running: list[int], ahead: int = 4) -> Imagined:
    """Return observations (N, ahead+1, 2) and rewards that grow by 1 a step; start i runs for running[i] steps."""
    after = np.arange(ahead + 1, dtype=np.float32)
    rising = np.where(after <= np.array(running)[:, None], after, np.nan).astype(np.float32)
    proceeds = np.where(np.isnan(rising), np.nan, 1.0).astype(np.float32)
    return Imagined(np.stack([rising, rising], -1), rising, proceeds)


def compared(truth: Imagined, *rollouts: Imagined, parts: list[Quantity] = OBSERVATION) -> dict[str, Any]:
    """Return the curves of the model's rollouts and of the last step repeated."""
    return error_curves(truth, {MODEL: list(rollouts), STILL: [nothing_changes(truth)]}, parts, 15)


def test_an_episode_shorter_than_the_context_has_no_start_point(tmp_path: Path) -> None:
    experiment = nano("algo=dreamerv3", f"env.max_steps={CONTEXT - 1}")
    assert draw_imagination(network(experiment), experiment, tmp_path / "imagination.png") is None
    assert list(tmp_path.iterdir()) == []


def test_a_perfect_rollout_has_no_error_and_is_better_at_every_step() -> None:
    truth = world([4, 4])
    errors = compared(truth, truth, truth)["errors"]
    assert errors["observation"] == {
        "model": [0.0] * 5,
        "nothing_changes": [0.0, 1.0, 2.0, 3.0, 4.0],
        "better_at": [1, 2, 3, 4],
    }
    assert errors["reward"]["nothing_changes"] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_constant_rollout_is_better_at_no_step() -> None:
    truth = world([4, 4])
    errors = compared(truth, nothing_changes(truth))["errors"]
    assert errors["observation"]["model"] == errors["observation"]["nothing_changes"]
    assert [errors[name]["better_at"] for name in ("observation", "reward", "continue")] == [[], [], []]


def test_the_error_of_a_quantity_is_in_its_units() -> None:
    truth = world([4])
    rollout = Imagined(truth.observation + np.array([0.0, 0.5], np.float32), truth.reward, truth.proceeds)
    parts = [Quantity("right", "m", slice(0, 1), 10.0), Quantity("wrong", "m", slice(1, 2), 10.0)]
    errors = compared(truth, rollout, parts=parts)["errors"]
    assert (errors["right"]["model"], errors["wrong"]["model"]) == ([0.0] * 5, [5.0] * 5)


def test_errors_are_means_over_rollouts() -> None:
    truth = world([4])
    errors = compared(truth, truth, nothing_changes(truth))["errors"]
    assert errors["reward"]["model"] == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_an_ended_episode_no_longer_counts() -> None:
    truth = world([4, 1])
    curves = compared(truth, Imagined(*(np.nan_to_num(x) for x in vars(truth).values())))
    assert curves["starts"] == [2, 2, 1, 1, 1]
    assert curves["errors"]["reward"]["nothing_changes"] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert curves["errors"]["reward"]["model"] == [0.0] * 5


def test_steps_without_a_running_start_point_have_no_error() -> None:
    truth = world([1])
    curves = compared(truth, truth)
    assert curves["starts"] == [1, 1, 0, 0, 0]
    assert curves["errors"]["reward"]["nothing_changes"] == [0.0, 1.0, None, None, None]
    json.dumps(curves, allow_nan=False)


def test_an_end_counts_as_an_error_of_the_probability_to_get_so_far() -> None:
    truth = world([2])
    truth.proceeds[0, 2] = 0.0
    predicted = Imagined(truth.observation, truth.reward, np.full((1, 5), 0.5, np.float32))
    errors = compared(truth, predicted)["errors"]["continue"]
    assert errors["nothing_changes"] == [0.0, 0.0, 1.0, 1.0, 1.0]
    assert errors["model"] == [0.0, 0.5**2, 0.25**2, 0.125**2, 0.0625**2]


def test_after_a_truncation_it_is_unknown_whether_the_episode_would_have_ended() -> None:
    errors = compared(world([2]), world([2]))["errors"]["continue"]
    assert errors["nothing_changes"] == [0.0, 0.0, 0.0, None, None]


def test_the_linear_predictor_is_another_one_to_beat() -> None:
    truth = world([4])
    half = Imagined(truth.observation / 2, truth.reward / 2, truth.proceeds)
    predictions = {MODEL: [half], STILL: [nothing_changes(truth)], LINEAR: [truth]}
    curves = error_curves(truth, predictions, OBSERVATION, 4)
    assert curves["errors"]["observation"]["linear"] == [0.0] * 5
    assert curves["errors"]["observation"]["better_at"] == []
    assert curves["earned"] == {"observation": 0, "reward": 0, "continue": None}


@pytest.mark.parametrize("contract", ["drive_state_rays", "drive_state_rays_latest"])
def test_quantities_are_the_newest_rays_in_metres_and_the_newest_drive_state(contract: str) -> None:
    experiment = nano("algo=dreamerv3", f"obs_contract={contract}")
    made = contract_of(experiment.env, experiment.obs_contract)
    rays, drive_state = quantities(made, experiment.env)
    assert (rays.part, rays.scale, rays.unit) == (slice(made.size - 272, made.size), 10.0, "m")
    end = {entry.key: entry.stop for entry in made.entries}["drive_state"]
    assert drive_state.part == slice(end - 5, end)


def test_the_range_of_robot_sfs_lidar_scales_its_rays() -> None:
    short = RobotSFConfig(config={"lidar_config": {"max_scan_dist": 7.0}})
    assert [spec_of(env).units(env)["rays"].scale for env in (RobotSFConfig(), short)] == [10.0, 7.0]


def test_the_rays_shown_have_the_median_error_of_complete_rollouts() -> None:
    truth = world([4, 4, 4, 1])
    wrong_by = np.array([3.0, 1.0, 2.0, 1.5], np.float32)[:, None, None]
    rollout = Imagined(np.nan_to_num(truth.observation) + wrong_by, truth.reward, truth.proceeds)
    shown = typical_rays(truth, rollout, [Quantity("rays", "m", slice(0, 2), scale=10.0)])
    assert shown is not None
    assert np.allclose(shown["imagined"] - shown["simulator"], 20.0)
    assert typical_rays(truth, rollout, OBSERVATION) is None


@pytest.mark.parametrize("algo", ["dreamerv3", pytest.param("dreamerv3_rllib", marks=pytest.mark.slow)])
def test_figure_and_curves_are_written(algo: str, tmp_path: Path) -> None:
    experiment = nano(f"algo={algo}", "env.max_steps=40", "algo.horizon_H=5", "obs_contract=drive_state_rays_latest")
    path = tmp_path / "report" / "imagination.png"
    curves = draw_imagination(network(experiment), experiment, path, recorded=driven(experiment, 400))
    assert curves is not None
    assert path.read_bytes().startswith(b"\x89PNG")
    assert json.loads(path.with_suffix(".json").read_text()) == curves
    assert sorted(file.name for file in path.parent.iterdir()) == ["imagination.json", "imagination.png"]
    assert list(curves["errors"]) == ["rays", "drive_state", "reward", "continue"]
    assert (curves["horizon_H"], curves["steps"], curves["starts"][0]) == (5, list(range(16)), EPISODES * STARTS)
    assert all(len(curve[name]) == 16 for curve in curves["errors"].values() for name in (MODEL, STILL, LINEAR))
    assert curves["verdict"].startswith("horizon_H = 5 is not earned: the model beats both predictors up to step 0")
    assert curves["held_out"]


@pytest.mark.slow
def test_errors_under_metric_scaling_are_in_metres(tmp_path: Path) -> None:
    asked = nano("algo=dreamerv3", "obs_contract=drive_state_rays_metric", "algo.symlog_obs=false", "env.max_steps=40")
    module = network(asked)
    curves = draw_imagination(module, asked, tmp_path / "imagination.png")
    collected = collect(module, asked, 15)
    assert curves is not None
    assert collected is not None
    scaled = collected.truth.observation[..., 5:]
    metres = np.expm1(scaled + 1.7)  # rays are ln(1 + metres) - 1.7
    change = np.abs(metres[:, 1] - metres[:, 0]).mean(-1)
    assert curves["errors"]["rays"]["nothing_changes"][1] == pytest.approx(np.nanmean(change), rel=1e-4)


@pytest.mark.slow
def test_a_task_without_rays_reports_its_complete_observation(tmp_path: Path) -> None:
    experiment = nano_gym("CartPole-v1", "algo=dreamerv3", "env.max_steps=40")
    curves = draw_imagination(network(experiment), experiment, tmp_path / "imagination.png")
    assert curves is not None
    assert list(curves["errors"]) == ["observation", "reward", "continue"]


@pytest.mark.slow
def test_a_longer_horizon_is_imagined_to_its_end(tmp_path: Path) -> None:
    experiment = nano_gym("CartPole-v1", "algo=dreamerv3", "env.max_steps=12", "algo.horizon_H=18")
    curves = draw_imagination(network(experiment), experiment, tmp_path / "imagination.png")
    assert curves is not None
    assert curves["steps"][-1] == 18


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["dreamerv3", "dreamerv3_rllib"])
def test_the_check_is_reproducible_and_does_not_change_the_global_generators(algo: str, tmp_path: Path) -> None:
    experiment = nano_gym("CartPole-v1", f"algo={algo}", "env.max_steps=12")
    module = network(experiment)
    before = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
    first = draw_imagination(module, experiment, tmp_path / "imagination.png")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(np.random.get_state()) == before[1]  # noqa: NPY002
    torch.rand(1)
    assert draw_imagination(module, experiment, tmp_path / "imagination.png") == first


def test_the_check_can_be_interrupted(tmp_path: Path) -> None:
    experiment = nano("algo=dreamerv3")
    with pytest.raises(Stopped):
        draw_imagination(network(experiment), experiment, tmp_path / "imagination.png", should_stop=lambda: True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "at no step"),
        ([4], "at step 4"),
        ([1, 2, 3], "at steps 1-3"),
        ([2, 4, 5, 6, 9], "at steps 2, 4-6, 9"),
    ],
)
def test_consecutive_steps_are_joined(steps: list[int], words: str) -> None:
    assert describe_steps(steps) == words
