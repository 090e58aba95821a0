"""The eight original profiles: each preset resolves to the values of the table, and runs on the stand-in too."""

from dataclasses import fields, replace
from typing import Any

import pytest

from dreamer_exp.algorithms.rllib.base_config import BaseDreamerV3Config
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.planning.forecast import check_memory, forecast
from tests.config.composing import CONF, PRESETS, composed, loaded
from tests.experiments import machine

# A copy of the original launcher's profiles, as the project's reference of Robot SF has them. Of every profile: seed
# 123, num_learners 0, one env a runner, world model lr 1e-4, actor and critic lr 3e-5 where the table names no other.
TABLE = """
profile                                | iterations/checkpoint | CPUs/GPUs | runners x fragment | size/ratio | B/T/H    | lr         | reward, observation | evaluation   | W&B
drive_state_rays                       | 2000/50               | 12/0      | 8x16               | XS/64      | 16/32/10 |            | v2, 831             | none         | offline
drive_state_rays_auxme_a30_full        | 6000/100              | auto      | auto x32           | S/128      | 32/64/15 |            | v2, 831             | none         | online
drive_state_rays_br08_gate             | 60/20                 | 8/0       | 4x16               | XS/64      | 16/32/10 |            | BR-08, 831          | none         | offline
drive_state_rays_br08_full             | 6000/100              | auto      | auto x32           | S/128      | 32/64/15 |            | BR-08, 831          | none         | online
drive_state_rays_br08_stability_probe  | 120/20                | 8/1       | 4x16               | XS/32      | 16/32/8  | 5e-5/1e-5  | BR-08, 831          | 20 it, 4     | offline
benchmark_socnav_grid_br08_gate        | 60/20                 | 8/0       | 4x16               | XS/64      | 16/32/10 |            | BR-08, 77088        | none         | offline
benchmark_socnav_grid_br08_full        | 6000/100              | auto      | auto x32           | S/128      | 16/32/10 |            | BR-08, 77088        | 100 it, 30   | online
benchmark_socnav_grid_br08_full_32x32  | 6000/100              | auto      | auto x32           | S/128      | 16/32/10 |            | BR-08, 3360         | 100 it, 30   | online
"""  # noqa: E501  # a table
BR08 = {
    "progress": 1.1, "living": -0.015, "collision": -15.0, "near_miss": -3.0, "ttc_risk": -2.8, "comfort": -0.5,
    "smoothness": -0.18, "timeout": -6.5, "stagnation": -2.0, "terminal_bonus": 20.0,
}  # fmt: skip
JOB = machine(cpus=16, gpus=1, memory_bytes=64 * 2**30)  # what `auto` is resolved for


def table() -> dict[str, dict[str, str]]:
    """The table's cells, by profile and heading."""
    head, *rows = ([cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines())
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


PROFILES = table()
GRIDS = [name for name in PROFILES if "socnav" in name]
each_profile = pytest.mark.parametrize("profile", PROFILES)


@pytest.fixture(autouse=True)
def without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "folder", lambda: None)


def preset(profile: str, *words: str) -> Experiment:
    return loaded(f"experiment={profile}", *words, on=JOB)


def test_there_is_a_preset_for_each_of_the_eight_profiles() -> None:
    assert len(PROFILES) == 8
    assert set(PROFILES) <= set(PRESETS)


@each_profile
def test_length(profile: str) -> None:
    run = preset(profile).run

    assert f"{run.train_iterations}/{run.checkpoint_every}" == PROFILES[profile]["iterations/checkpoint"]
    assert run.seed == 123


@each_profile
def test_model_and_batch(profile: str) -> None:
    algo, cells = preset(profile).algo, PROFILES[profile]

    assert f"{algo.model_size}/{algo.training_ratio:g}" == cells["size/ratio"]
    assert f"{algo.batch_size_B}/{algo.batch_length_T}/{algo.horizon_H}" == cells["B/T/H"]


@each_profile
def test_learning_rates(profile: str) -> None:
    algo = preset(profile).algo
    world_model, actor = (PROFILES[profile]["lr"] or "1e-4/3e-5").split("/")

    assert (algo.world_model_lr, algo.actor_lr, algo.critic_lr) == (float(world_model), float(actor), float(actor))


@each_profile
def test_the_stock_algorithm_takes_the_same_numbers(profile: str) -> None:
    ours, original = preset(profile).algo, preset(profile, "algo=dreamerv3_rllib").algo

    assert (ours.name, original.name) == ("dreamerv3", "dreamerv3_rllib")
    shared = [declared.name for declared in fields(BaseDreamerV3Config) if declared.name != "name"]
    assert [name for name in shared if getattr(ours, name) != getattr(original, name)] == []


@each_profile
def test_hardware(profile: str) -> None:
    hardware, cells = preset(profile).hardware, PROFILES[profile]
    fixed = f"{hardware.num_env_runners}x{hardware.rollout_fragment_length}"
    auto = f"auto x{hardware.rollout_fragment_length}" if hardware.num_env_runners == JOB.cpus - 4 else "not auto"

    assert cells["runners x fragment"] in (fixed, auto)
    wanted = (16, 1) if cells["CPUs/GPUs"] == "auto" else tuple(map(int, cells["CPUs/GPUs"].split("/")))
    assert (hardware.num_cpus, hardware.num_gpus_per_learner) == wanted
    assert (hardware.num_learners, hardware.num_envs_per_env_runner) == (0, 1)


@each_profile
def test_reward_and_observation(profile: str) -> None:
    experiment = preset(profile)
    reward, size = PROFILES[profile]["reward, observation"].split(", ")

    assert isinstance(experiment.env, RobotSFConfig)
    asked = (experiment.env.reward_name, experiment.env.reward_weights)
    assert asked == (("route_completion_v2", {}) if reward == "v2" else ("route_completion_v3", BR08))
    assert contract_of(experiment.env, experiment.obs_contract).size == int(size)


@each_profile
def test_evaluation(profile: str) -> None:
    experiment = preset(profile)
    cell = PROFILES[profile]["evaluation"]
    if cell == "none":
        assert experiment.evaluation.episodes == 0
    else:
        iterations, episodes = cell.split(" it, ")
        steps = int(iterations) * experiment.hardware.env_steps_per_iteration
        assert (experiment.evaluation.every_env_steps, experiment.evaluation.episodes) == (steps, int(episodes))


@each_profile
def test_tracking(profile: str) -> None:
    tracking = preset(profile).tracking

    assert (tracking.name, tracking.mode) == ("wandb", PROFILES[profile]["W&B"])


@pytest.mark.parametrize("profile", GRIDS)
def test_the_grid_profiles_drive_the_benchmarks_scenarios(profile: str) -> None:
    env = preset(profile).env

    assert isinstance(env, RobotSFConfig)
    assert env.scenario_matrix.path == "configs/scenarios/classic_interactions_francis2023.yaml"
    assert (env.scenario_matrix.strategy, env.scenario_matrix.switch_per_reset) == ("random", True)


@each_profile
def test_a_header_says_what_the_profile_was_for(profile: str) -> None:
    lines = (CONF / "experiment" / f"{profile}.yaml").read_text(encoding="utf-8").splitlines()

    assert lines[0] == "# @package _global_"
    assert all(line.startswith("# ") for line in lines[1:4])


@each_profile
def test_no_profile_writes_keys_of_an_environment_so_that_another_can_take_its_place(profile: str) -> None:
    assert "\nenv:" not in (CONF / "experiment" / f"{profile}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("profile", [name for name in PROFILES if name not in GRIDS])
def test_the_same_profile_runs_on_the_stand_in(profile: str) -> None:
    real, stand_in = preset(profile), preset(profile, "env=crowd_nav")

    assert stand_in == replace(real, env=stand_in.env)
    assert stand_in.env.name == "crowd_nav"
    hashes = {contract_of(each.env, each.obs_contract).hash for each in (real, stand_in)}
    assert len(hashes) == 1


@pytest.mark.parametrize("profile", GRIDS)
def test_a_grid_profile_on_the_stand_in_is_refused_by_the_entry_that_it_lacks(profile: str) -> None:
    experiment = preset(profile, "env=crowd_nav")

    with pytest.raises(UserError, match=r"obs_contract\.keys: 'goal_current' is not an observation of this env"):
        contract_of(experiment.env, experiment.obs_contract)


@pytest.mark.parametrize("profile", [name for name, cells in PROFILES.items() if cells["CPUs/GPUs"] == "auto"])
@pytest.mark.parametrize("cpus", [1, 2, 4, 6])
def test_an_auto_profile_resolves_on_few_cores(profile: str, cpus: int) -> None:
    hardware = loaded(f"experiment={profile}", on=machine(cpus=cpus)).hardware

    assert (hardware.num_env_runners, hardware.num_gpus_per_learner) == (max(0, cpus - 4), 0)
    assert hardware.rollout_fragment_length == 32


def test_without_a_gpu_the_probe_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"num_gpus_per_learner=1 asks for 1 GPU\(s\), .* use hardware=cpu"):
        loaded("experiment=drive_state_rays_br08_stability_probe", on=machine(cpus=8))


def test_hardware_on_the_command_line_takes_the_profiles_place_whole() -> None:
    hardware = loaded("experiment=drive_state_rays_br08_gate", "hardware=cpu", on=machine(cpus=2)).hardware

    assert (hardware.name, hardware.num_cpus, hardware.num_env_runners) == ("cpu", 2, 0)


# memory


def memory_line(gibibytes: int, *words: str) -> str | None:
    """What is said of the large grid's replay on a machine with this memory free, or None where it fits."""
    experiment = preset("benchmark_socnav_grid_br08_full", *words)
    contract = contract_of(experiment.env, experiment.obs_contract)
    try:
        check_memory(experiment, contract, machine(memory_bytes=gibibytes * 2**30))
    except UserError as error:
        return str(error)
    return None


def test_the_original_replay_is_refused_with_its_size_and_the_number_of_steps_that_fit() -> None:
    line = memory_line(64, "algo.replay_capacity=1_000_000")

    assert line is not None
    assert line.startswith(
        "algo.replay_capacity=1000000: with 77,088 floats a step, the replay needs 312 GB (291.0 GiB) for the 1,000,000"
    )
    fits = int(line.split("at most ")[1].split(" steps")[0].replace(",", ""))
    assert memory_line(64, f"algo.replay_capacity={fits}") is None
    assert memory_line(64, f"algo.replay_capacity={fits + 1}") is not None


def test_the_presets_own_replay_fits_a_machine_of_24_gibibytes_next_to_its_env_runners() -> None:
    assert memory_line(24) is None
    assert memory_line(16) is not None


def test_a_run_too_short_to_fill_the_replay_is_evaluated_by_its_own_steps() -> None:
    assert memory_line(24, "algo.replay_capacity=1_000_000", "run.train_iterations=100") is None


def test_the_small_grid_holds_a_million_steps_in_18_gigabytes() -> None:
    experiment = preset("benchmark_socnav_grid_br08_full_32x32")
    expected: Any = forecast(experiment, contract_of(experiment.env, experiment.obs_contract))

    assert expected.replay_steps == 1_000_000
    assert expected.replay_bytes == pytest.approx(17.6e9, rel=0.02)


@each_profile
def test_composing_a_profile_needs_nothing_of_the_package(profile: str) -> None:
    assert composed(f"experiment={profile}").run.id == profile
