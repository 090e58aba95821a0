"""The presets for Robot SF: each resolves to the values of the table, and can run on crowd_nav."""

from dataclasses import fields, replace
from typing import Any

import pytest

from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from dreamer_exp.algorithms.rllib.base_config import BaseDreamerV3Config
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.plugins import find_specs
from dreamer_exp.envs.make import contract_of
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.planning import dry_run
from dreamer_exp.planning.forecast import check_memory, forecast
from dreamer_exp.planning.resolve import resolve
from tests.composition import composed
from tests.config.composing import CONF, OF_ONE_ALGORITHM, PRESETS, loaded
from tests.experiments import machine

# The profiles of Robot SF's experiments. Each has seed 123, num_learners 0 and one environment in each env runner. An
# empty cell of lr means 1e-4 for the world model and 3e-5 for actor and critic.
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
JOB = machine(cpus=16, gpus=1, memory_bytes=64 * 2**30)  # on which `auto` is resolved


def table() -> dict[str, dict[str, str]]:
    """Return the table's cells by profile and heading."""
    head, *rows = ([cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines())
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


PROFILES = table()
GRIDS = [name for name in PROFILES if "socnav" in name]
DMC = [name for name in PRESETS if name.startswith("dmc_")]
each_profile = pytest.mark.parametrize("profile", PROFILES)


@pytest.fixture(autouse=True)
def without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "folder", lambda: None)


def preset(profile: str, *words: str) -> Experiment:
    return loaded(f"experiment={profile}", *words, on=JOB)


def test_every_profile_has_a_preset() -> None:
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
def test_both_algorithms_get_the_same_values(profile: str) -> None:
    published, stock = preset(profile).algo, preset(profile, "algo=dreamerv3_rllib").algo

    assert (published.name, stock.name) == ("dreamerv3", "dreamerv3_rllib")
    shared = [declared.name for declared in fields(BaseDreamerV3Config) if declared.name != "name"]
    assert [name for name in shared if getattr(published, name) != getattr(stock, name)] == []


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
    name_and_weights = (experiment.env.reward_name, experiment.env.reward_weights)
    assert name_and_weights == (("route_completion_v2", {}) if reward == "v2" else ("route_completion_v3", BR08))
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
def test_grid_profiles_use_the_scenarios_of_the_benchmark(profile: str) -> None:
    env = preset(profile).env

    assert isinstance(env, RobotSFConfig)
    assert env.scenario_matrix.path == "configs/scenarios/classic_interactions_francis2023.yaml"
    assert (env.scenario_matrix.strategy, env.scenario_matrix.switch_per_reset) == ("random", True)


@each_profile
def test_file_begins_with_a_description(profile: str) -> None:
    lines = (CONF / "experiment" / f"{profile}.yaml").read_text(encoding="utf-8").splitlines()

    assert lines[0] == "# @package _global_"
    assert all(line.startswith("# ") for line in lines[1:4])


@each_profile
def test_profile_sets_no_keys_of_the_environment_so_that_it_can_be_replaced(profile: str) -> None:
    assert "\nenv:" not in (CONF / "experiment" / f"{profile}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("profile", [name for name in PROFILES if name not in GRIDS])
def test_profile_can_run_on_crowd_nav_with_the_same_contract(profile: str) -> None:
    robot_sf, crowd_nav = preset(profile), preset(profile, "env=crowd_nav")

    assert crowd_nav == replace(robot_sf, env=crowd_nav.env)
    assert crowd_nav.env.name == "crowd_nav"
    hashes = {contract_of(each.env, each.obs_contract).hash for each in (robot_sf, crowd_nav)}
    assert len(hashes) == 1


@pytest.mark.parametrize("profile", GRIDS)
def test_grid_profile_on_crowd_nav_is_refused_with_the_missing_entry(profile: str) -> None:
    experiment = preset(profile, "env=crowd_nav")

    with pytest.raises(UserError, match=r"obs_contract\.keys: 'goal_current' is not an observation of this env"):
        contract_of(experiment.env, experiment.obs_contract)


@pytest.mark.parametrize("profile", GRIDS)
def test_grid_profile_can_run_on_crowd_nav_with_its_grid(profile: str) -> None:
    robot_sf = preset(profile)
    width = robot_sf.env.config["grid_config"]["width"]
    crowd_nav = preset(profile, f"env=crowd_nav_socnav_grid{'_32x32' if width == 6.4 else ''}")

    assert crowd_nav == replace(robot_sf, env=crowd_nav.env)
    cells = next(
        entry for entry in contract_of(crowd_nav.env, crowd_nav.obs_contract).entries if entry.key == "occupancy_grid"
    )
    assert cells.shape == (3, round(width / 0.2), round(width / 0.2))


@pytest.mark.parametrize("profile", [name for name, cells in PROFILES.items() if cells["CPUs/GPUs"] == "auto"])
@pytest.mark.parametrize("cpus", [1, 2, 4, 6])
def test_profile_with_auto_resolves_on_few_cpus(profile: str, cpus: int) -> None:
    hardware = loaded(f"experiment={profile}", on=machine(cpus=cpus)).hardware

    assert (hardware.num_env_runners, hardware.num_gpus_per_learner) == (max(0, cpus - 4), 0)
    assert hardware.rollout_fragment_length == 32


def test_profile_for_a_gpu_is_refused_without_one_with_what_to_do() -> None:
    with pytest.raises(UserError, match=r"num_gpus_per_learner=1 asks for 1 GPU\(s\), .* use hardware=cpu"):
        loaded("experiment=drive_state_rays_br08_stability_probe", on=machine(cpus=8))


def test_hardware_option_on_the_command_line_replaces_all_hardware_keys_of_the_profile() -> None:
    hardware = loaded("experiment=drive_state_rays_br08_gate", "hardware=cpu", on=machine(cpus=2)).hardware

    assert (hardware.name, hardware.num_cpus, hardware.num_env_runners) == ("cpu", 2, 0)


# Every preset with every algorithm that has a world model


@pytest.mark.parametrize("algorithm", [name for name, spec in find_specs("algorithms").items() if spec.imagination])
@pytest.mark.parametrize("name", sorted({*PRESETS} - OF_ONE_ALGORITHM))
def test_a_preset_can_be_dry_run_with_each_algorithm(
    name: str, algorithm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in DMC:
        pytest.importorskip("dm_control", reason="needs the extra dmc")
    experiment, contract = resolve(loaded(f"experiment={name}", f"algo={algorithm}", on=JOB), JOB)

    dry_run.show(experiment, contract, JOB)

    assert f"  name: {algorithm}\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(OF_ONE_ALGORITHM))
def test_a_preset_of_one_algorithm_can_be_dry_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    experiment, contract = resolve(loaded(f"experiment={name}", on=JOB), JOB)

    dry_run.show(experiment, contract, JOB)

    assert f"  name: {name.rpartition('_')[2]}\n" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "of"), [("ppo", "crowd_nav"), ("sac", "crowd_nav"), ("ppo", "robot_sf")])
def test_presets_of_the_algorithms_share_environment_and_the_observed_keys(name: str, of: str) -> None:
    own, other = loaded(f"experiment={of}_{name}", on=JOB), loaded(f"experiment={of}_gpu", on=JOB)

    assert own.env == other.env
    assert (own.obs_contract.frames, other.obs_contract.frames) == ("all", "latest")  # a memory in place of older rows
    assert replace(own.obs_contract, frames="latest") == replace(other.obs_contract, encoders={})
    assert own.hardware.env_steps_per_iteration == other.hardware.env_steps_per_iteration


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("cartpole", "lr_warmup", 100),
        ("pendulum", "lr_warmup", 100),
        ("quickstart", "lr_warmup", 100),
        ("crowd_nav_cpu", "lr_decay_start", 25_000),
        ("crowd_nav_gpu", "precision", "bfloat16"),
        ("robot_sf_gpu", "precision", "bfloat16"),
        ("robot_sf_classic_only", "precision", "bfloat16"),
    ],
)
def test_a_preset_sets_a_key_that_only_one_algorithm_has(name: str, key: str, value: Any) -> None:
    assert getattr(preset(name).algo, key) == value


def test_the_command_line_replaces_a_key_that_only_one_algorithm_has() -> None:
    assert preset("quickstart", "algo.lr_warmup=7").algo.lr_warmup == 7


def test_crowd_nav_on_a_cpu_is_the_task_of_the_gpu_with_a_small_network() -> None:
    own, other = preset("crowd_nav_cpu"), preset("crowd_nav_gpu")

    assert (own.env, own.obs_contract) == (other.env, replace(other.obs_contract, encoders={}))
    assert own.algo.network == replace(SIZES["XS"], deter=256, hidden=128, units=128, stoch=16, classes=16)
    assert own.hardware.num_gpus_per_learner == 0


def test_the_gpu_preset_of_robot_sf_has_the_published_size_of_12_million() -> None:
    assert preset("robot_sf_gpu").algo.network == SIZES["12M"]


def test_the_gpu_preset_of_crowd_nav_has_an_encoder_of_lidar_rays() -> None:
    assert dict(preset("crowd_nav_gpu").obs_contract.encoders) == {"rays": "lidar", "drive_state": "vector"}


def test_the_classic_scenarios_alone_are_trained_with_the_settings_of_all() -> None:
    own, other = preset("robot_sf_classic_only"), preset("robot_sf_gpu")

    assert own.env.scenario_matrix.path == "configs/scenarios/classic_interactions.yaml"
    assert replace(own.env, scenario_matrix=other.env.scenario_matrix) == other.env
    assert replace(own.algo, lr_decay_start=0, lr_decay_end=0) == other.algo


# Memory


def memory_line(gibibytes: int, *words: str) -> str | None:
    """Return the refusal of the large grid's replay on a machine with this much free memory, or None if it fits."""
    experiment = preset("benchmark_socnav_grid_br08_full", *words)
    contract = contract_of(experiment.env, experiment.obs_contract)
    try:
        check_memory(experiment, contract, machine(memory_bytes=gibibytes * 2**30))
    except UserError as error:
        return str(error)
    return None


def test_replay_of_a_million_steps_is_refused_with_its_size_and_the_number_of_steps_that_fit() -> None:
    line = memory_line(64, "algo.replay_capacity=1_000_000")

    assert line is not None
    assert line.startswith(
        "algo.replay_capacity=1000000: with 77,088 floats a step, the replay needs 82 GB (76.5 GiB) for the 1,000,000"
    )
    fits = int(line.split("at most ")[1].split(" steps")[0].replace(",", ""))
    assert memory_line(64, f"algo.replay_capacity={fits}") is None
    assert memory_line(64, f"algo.replay_capacity={fits + 1}") is not None


def test_replay_of_the_preset_and_its_env_runners_need_at_most_16_gibibytes() -> None:
    assert memory_line(16) is None
    assert memory_line(8) is not None


def test_replay_that_the_run_cannot_fill_counts_only_the_steps_of_the_run() -> None:
    assert memory_line(24, "algo.replay_capacity=1_000_000", "run.train_iterations=100") is None


def test_replay_of_the_small_grid_needs_8_gigabytes_for_a_million_steps() -> None:
    experiment = preset("benchmark_socnav_grid_br08_full_32x32")
    expected: Any = forecast(experiment, contract_of(experiment.env, experiment.obs_contract))

    assert expected.replay_steps == 1_000_000
    assert expected.replay_bytes == pytest.approx(8.4e9, rel=0.02)


@each_profile
def test_profile_composes_without_robot_sf(profile: str) -> None:
    assert composed(f"experiment={profile}").run.id == profile
