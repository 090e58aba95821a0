"""Composition of conf/ and the command line into an Experiment: options, defaults, precedence, hardware, names."""

import re
from pathlib import Path

import pytest
import yaml
from hydra.errors import ConfigCompositionException
from hypothesis import given
from hypothesis import strategies as st

from dreamer_exp.config.compose import override_summary, run_stamp
from dreamer_exp.config.composition_errors import user_error
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.load import load_experiment
from dreamer_exp.envs.make import contract_of
from dreamer_exp.planning.work import work_to_come
from tests.composition import composed, composed_by_hydra
from tests.config.composing import CONF, GROUPS, OPTIONS, PRESETS, loaded, option_file, value_at
from tests.experiments import NANO, machine

DEFAULTS = {
    "algo.training_ratio": 64,
    "algo.batch_size_B": 16,
    "algo.batch_length_T": 32,
    "algo.horizon_H": 10,
    "algo.model_size": "XS",
    "algo.name": "dreamerv3",
    "hardware.rollout_fragment_length": 16,
    "run.seed": 123,
    "run.train_iterations": 2000,
    "run.checkpoint_every": 50,
    "tracking.name": "wandb",
    "tracking.mode": "offline",
    "env.name": "crowd_nav",
    "obs_contract.name": "drive_state_rays",
    "obs_contract.keys": ["drive_state", "rays"],
}
EMBEDDED_PRESETS = [  # the others need an extra
    preset
    for preset in PRESETS
    if "robot_sf" not in option_file("experiment", preset).read_text(encoding="utf-8") and not preset.startswith("dmc_")
]


# How these tests compose


@pytest.mark.parametrize(
    "words",
    [
        NANO,
        ("experiment=quickstart", "run.seed=7", "algo.network={deter: 64}", "++env.reward.progress=3"),
        ("env.max_steps=30", "env=gym", "+env.kwargs.g=9.8", "env.id=CartPole-v1", "obs_contract=vector"),
        ("algo.horizon_H=3", "hardware=cpu", "algo.horizon_H=5", "tracking.tags=[a,b]", "dry_run=true"),
    ],
)
def test_values_set_on_a_copy_are_those_of_hydra(words: tuple[str, ...]) -> None:
    assert composed(*words) == composed_by_hydra(*words)


@pytest.mark.parametrize("word", ["algo.horzon_H=5", "algo.horizon_H=x", "+algo.horizon_H=5", "algo.batch_size_B=8,16"])
def test_a_value_that_cannot_be_set_on_a_copy_is_refused_as_by_hydra(word: str) -> None:
    with pytest.raises(ConfigCompositionException) as of_hydra:
        composed_by_hydra("env=gym", word)
    with pytest.raises(ConfigCompositionException) as of_copy:
        composed("env=gym", word)
    assert str(user_error(of_copy.value)) == str(user_error(of_hydra.value))


# Options in conf/


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_loads(group: str, option: str) -> None:
    experiment = loaded(f"{group}={option}")

    unresolved = {path for path, value in _leaves(experiment.to_dict()) if value == "auto"}
    # ray_address=auto is Ray's own value; planning/forecast.py resolves replay_device with the observation's size
    assert unresolved <= {".hardware.ray_address", ".algo.replay_device"}


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_file_begins_with_a_comment(group: str, option: str) -> None:
    first, second, *_ = option_file(group, option).read_text(encoding="utf-8").splitlines()

    assert (second if first.startswith("# @package") else first).startswith("# ")


@pytest.mark.parametrize(("group", "option"), [(g, o) for g, o in OPTIONS if g not in ("experiment", "tracking")])
def test_option_has_the_name_of_its_file(group: str, option: str) -> None:
    name = composed(f"{group}={option}")[group].name

    # an environment with other rewards or observations keeps its name: that of robot_sf_br08 is robot_sf
    assert option == name or (group == "env" and option.startswith(f"{name}_"))


@pytest.mark.parametrize("group", GROUPS)
def test_every_folder_of_conf_is_a_group_in_the_defaults_list(group: str) -> None:
    defaults = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]

    assert group in {name for entry in defaults if isinstance(entry, dict) for name in entry}


@pytest.mark.parametrize("preset", EMBEDDED_PRESETS)
def test_every_preset_has_a_contract_that_fits_its_environment(preset: str) -> None:
    experiment = loaded(f"experiment={preset}")

    assert contract_of(experiment.env, experiment.obs_contract).size > 0


# Mappings


@pytest.mark.parametrize(
    "word",
    [
        "algo.decoder_scales={drive_state: 20}",
        "algo.decoder_scales.drive_state=20",
        "+algo.decoder_scales.drive_state=20",
    ],
)
def test_a_mapping_takes_a_new_key_in_each_spelling(word: str) -> None:
    assert loaded(word).algo.decoder_scales == {"drive_state": 20.0}


def test_a_complete_mapping_keeps_the_defaults_of_other_keys() -> None:
    scales = loaded("algo.loss_scales={reward: 2}").algo.loss_scales

    assert (scales["reward"], scales["critic_replay"]) == (2.0, 0.3)


def test_keyword_arguments_of_a_gymnasium_environment_may_be_nested() -> None:
    env = loaded("env=gym", "obs_contract=vector", "env.kwargs={g: 9.8, map: {size: 3}}").env

    assert env.kwargs == {"g": 9.8, "map": {"size": 3}}  # type: ignore[attr-defined]


# Defaults


@pytest.mark.parametrize("path", DEFAULTS)
def test_experiment_without_overrides_has_the_default_values(path: str) -> None:
    assert value_at(loaded(), path) == DEFAULTS[path]


def test_default_observation_has_831_elements() -> None:
    experiment = loaded()

    assert contract_of(experiment.env, experiment.obs_contract).size == 831


def test_planned_updates_are_the_training_ratio_times_env_steps_over_the_batch() -> None:
    experiment = loaded("run.train_iterations=20", "hardware.num_env_runners=8")

    assert experiment.hardware.env_steps_per_iteration == 8 * 16
    assert work_to_come(experiment).updates == 20 * 8 * 16 * 64 // (16 * 32)


def test_without_env_runners_an_iteration_samples_the_environments_of_the_main_process() -> None:
    hardware = loaded("hardware.num_env_runners=0", "hardware.num_envs_per_env_runner=3").hardware

    assert hardware.env_steps_per_iteration == 3 * 16


# Precedence


@pytest.mark.parametrize(
    "words",
    [
        ("hardware=apple_silicon", "hardware.num_env_runners=4"),
        ("hardware.num_env_runners=4", "hardware=apple_silicon"),
    ],
)
def test_key_on_the_command_line_overrides_the_hardware_profile_in_any_order(words: tuple[str, str]) -> None:
    assert loaded(*words).hardware.num_env_runners == 4


@pytest.mark.parametrize("preset", PRESETS)
def test_keys_on_the_command_line_override_every_preset(preset: str) -> None:
    experiment = loaded(f"experiment={preset}", "algo.gamma=0.5", "run.id=mine", "evaluation=none")

    assert (experiment.algo.gamma, experiment.run.id, experiment.evaluation.name) == (0.5, "mine", "none")


def test_preset_overrides_the_defaults() -> None:
    quickstart, defaults = loaded("experiment=quickstart"), loaded()

    assert quickstart.env.scenario == "open" != defaults.env.scenario
    assert quickstart.algo.model_size == "nano" != defaults.algo.model_size


def test_preset_leaves_other_keys_at_their_defaults() -> None:
    assert loaded("experiment=quickstart").algo.gae_lambda == loaded().algo.gae_lambda


def test_folder_of_the_user_adds_an_option_and_a_preset(tmp_path: Path) -> None:
    for folder in ("hardware", "experiment"):
        (tmp_path / folder).mkdir()
    (tmp_path / "hardware" / "lab.yaml").write_text("defaults: [cpu, _self_]\nname: lab\nnum_env_runners: 3\n")
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [override /hardware: lab]\nalgo: {horizon_H: 7}\n"
    )

    experiment = loaded("experiment=mine", f"hydra.searchpath=[file://{tmp_path}]")  # as --config-dir sets it

    assert (experiment.hardware.name, experiment.hardware.num_env_runners, experiment.algo.horizon_H) == ("lab", 3, 7)


# Hardware


def test_apple_silicon_has_8_env_runners_with_fragments_of_16_steps_on_the_cpu() -> None:
    hardware = loaded("hardware=apple_silicon", on=machine(cpus=12)).hardware

    assert (hardware.num_env_runners, hardware.rollout_fragment_length) == (8, 16)
    assert (hardware.num_envs_per_env_runner, hardware.num_gpus_per_learner) == (1, 0)


def test_apple_silicon_does_not_depend_on_the_machine() -> None:
    hardware = loaded("hardware=apple_silicon", on=machine(cpus=2, gpus=1)).hardware

    assert (hardware.num_env_runners, hardware.num_gpus_per_learner) == (8, 0)


@pytest.mark.parametrize(
    ("profile", "cpus", "runners"),
    [
        ("auto", 1, 0),
        ("auto", 2, 0),
        ("auto", 5, 1),
        ("auto", 12, 8),
        ("auto", 64, 8),
        ("cpu", 2, 0),
        ("cpu", 64, 8),
        ("slurm", 2, 0),
        ("slurm", 64, 60),
    ],
)
def test_auto_env_runners_follow_the_cpus_of_the_machine(profile: str, cpus: int, runners: int) -> None:
    hardware = loaded(f"hardware={profile}", on=machine(cpus=cpus)).hardware

    assert (hardware.num_cpus, hardware.num_env_runners) == (cpus, runners)


def test_auto_env_runners_follow_num_cpus_if_it_is_given() -> None:
    assert loaded("hardware.num_cpus=6", on=machine(cpus=64)).hardware.num_env_runners == 2


@pytest.mark.parametrize(
    ("profile", "gpus", "taken"),
    [("auto", 0, 0), ("auto", 1, 1), ("auto", 8, 1), ("slurm", 0, 0), ("slurm", 4, 1), ("cpu", 8, 0), ("cuda", 1, 1)],
)
def test_learner_uses_at_most_one_gpu(profile: str, gpus: int, taken: int) -> None:
    assert loaded(f"hardware={profile}", on=machine(gpus=gpus)).hardware.num_gpus_per_learner == taken


AUTO_PROFILES = {profile: composed(f"hardware={profile}") for profile in ("auto", "cpu", "slurm", "apple_silicon")}


@given(st.sampled_from(sorted(AUTO_PROFILES)), st.integers(1, 512), st.integers(0, 16))
def test_profile_with_auto_fits_every_machine(profile: str, cpus: int, gpus: int) -> None:
    hardware = load_experiment(AUTO_PROFILES[profile], machine(cpus, gpus)).hardware

    assert 0 <= hardware.num_env_runners <= hardware.num_cpus
    assert hardware.num_gpus_per_learner <= gpus


# Names of directories


def test_run_directory_is_named_by_id_time_and_four_digits() -> None:
    assert re.fullmatch(r"smoke_\d{8}T\d{6}Z_[0-9a-f]{4}", run_stamp("smoke"))


@pytest.mark.parametrize("run_id", ["", "../up", "a/b", "/tmp/x", ".hidden", "-x", "two words", "x" * 81])
def test_run_id_that_cannot_start_a_directory_name_is_refused(run_id: str) -> None:
    with pytest.raises(UserError, match=r"^run\.id=.*letters, digits"):
        run_stamp(run_id)


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ("algo.training_ratio=32,algo.batch_size_B=8", "training_ratio=32,batch_size_B=8"),
        ("env=gym,env.id=CartPole-v1", "env=gym,id=CartPole-v1"),
        ("run.log_level=a/b c", "log_level=a-b-c"),
        ("", "defaults"),
    ],
)
def test_job_directory_is_named_by_the_overrides(overrides: str, name: str) -> None:
    assert override_summary(overrides) == name


@given(st.text(max_size=300))
def test_job_directory_name_is_short_and_safe_for_any_overrides(overrides: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9=,._+-]{1,80}", override_summary(overrides))


def _leaves(tree: object, path: str = "") -> list[tuple[str, object]]:
    if isinstance(tree, dict):
        return [leaf for name, child in tree.items() for leaf in _leaves(child, f"{path}.{name}")]
    return [(path, tree)] if not path.endswith(".name") else []
