"""The plan of a sweep."""

from pathlib import Path

import pytest

from dreamer_exp.config import multirun
from dreamer_exp.config.compose import compose_words, config_dir
from dreamer_exp.config.errors import UserError
from dreamer_exp.hardware import Machine
from dreamer_exp.sweeps.plan import Plan, make_plan, refuse_unknown
from tests.experiments import NANO, machine

BIG = machine(cpus=8, memory_bytes=64 * 2**30)


SWEPT = ("algo.training_ratio", "algo.batch", "algo.horizon", "hardware.num_cpus")
COMMON = [word for word in NANO if not word.startswith(SWEPT)]


def plan(*words: str, on: Machine = BIG) -> Plan:
    return make_plan(["-m", *COMMON, *words], on)


def test_every_combination_is_a_job() -> None:
    made = plan("algo.training_ratio=32,64", "run.seed=1,2,3")
    assert [job.name for job in made.jobs][:2] == [
        "algo.training_ratio=32 run.seed=1",
        "algo.training_ratio=32 run.seed=2",
    ]
    assert [job.experiment.run.seed for job in made.jobs] == [1, 2, 3, 1, 2, 3]


def test_a_named_sweep_has_its_own_values() -> None:
    made = plan("sweep=training_ratio")
    assert len(made.jobs) == 15
    assert {job.experiment.algo.training_ratio for job in made.jobs} == {16, 32, 64, 128, 256}


def test_the_command_line_overrides_a_named_sweep() -> None:
    assert {job.experiment.run.seed for job in plan("sweep=training_ratio", "run.seed=7").jobs} == {7}


NAMED = sorted(path.stem for path in (config_dir() / "sweep").glob("*.yaml") if path.stem != "none")
MANY_JOBS = ("batch", "env_runners")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in MANY_JOBS else name for name in NAMED]
)
def test_every_named_sweep_can_be_planned(name: str) -> None:
    assert len(make_plan(["-m", f"sweep={name}", "env.scenario=open"], BIG).jobs) >= 5


@pytest.mark.parametrize("preset", ["cartpole", "pendulum", "quickstart"])
def test_a_preset_can_be_swept_over_the_algorithms(preset: str) -> None:
    made = make_plan(["-m", f"experiment={preset}", "sweep=learners", "run.seed=1"], BIG)
    assert [getattr(job.experiment.algo, "lr_warmup", None) for job in made.jobs] == [100, None]


def test_the_machine_limits_the_parallel_jobs() -> None:
    made = plan("run.seed=1,2,3,4,5,6,7,8,9,10")
    assert made.slots == 8
    assert "hydra.launcher.n_jobs=8" in made.words


def test_jobs_with_env_runners_need_more_cpus() -> None:
    assert plan("run.seed=1,2,3,4", "hardware.num_env_runners=0,3").slots == 2


def test_auto_resolves_to_the_share_of_a_slot() -> None:
    jobs = plan("run.seed=1,2,3,4", "hardware=auto", on=machine(cpus=8, memory_bytes=64 * 2**30)).jobs
    assert {job.experiment.hardware.num_cpus for job in jobs} == {2}


def test_the_number_of_parallel_jobs_can_be_set() -> None:
    assert plan("run.seed=1,2,3", "hydra.launcher.n_jobs=2").slots == 2


def test_the_basic_launcher_runs_one_job_at_a_time() -> None:
    assert plan("run.seed=1,2,3", "hydra/launcher=basic").slots == 1


def test_an_unsupported_launcher_is_refused() -> None:
    with pytest.raises(UserError, match=r"hydra/launcher=job_lib: .* Did you mean 'joblib'"):
        refuse_unknown("job_lib")


def test_an_invalid_job_is_named_before_any_starts() -> None:
    with pytest.raises(UserError, match=r"algo\.horizon_H=0 is out of range.*\(the job algo\.horizon_H=0\)"):
        plan("algo.horizon_H=3,0")


def test_a_jobs_directory_is_named_by_the_swept_keys() -> None:
    made = plan("run.seed=1,2", "algo.gamma=0.99")
    (word,) = [word for word in made.words if "exclude_keys" in word]
    assert "algo.gamma" in word
    assert "run.seed" not in word


def test_a_key_that_is_set_and_then_swept_stays_in_the_names() -> None:
    made = plan("algo.training_ratio=4", "algo.training_ratio=32,64")
    (word,) = [word for word in made.words if "exclude_keys" in word]
    assert "training_ratio" not in word


def test_two_sweeps_in_the_same_second_have_different_directories() -> None:
    assert plan("run.seed=1,2").root != plan("run.seed=1,2").root


def test_a_directory_with_special_characters_reaches_hydra(tmp_path: Path) -> None:
    odd = tmp_path / "it's, a=b (1)"
    made = plan("run.seed=1,2", f"hydra.sweep.dir={multirun.quoted(odd)}")
    assert made.root == odd
    assert multirun.parse(made.words).root == odd


def test_a_users_folder_of_groups_is_found(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nalgo: {gamma: 0.9}\n", encoding="utf-8")
    made = make_plan(["-m", "--config-dir", str(tmp_path), "experiment=mine", *COMMON, "run.seed=1,2"], BIG)
    assert {job.experiment.algo.gamma for job in made.jobs} == {0.9}


def test_a_named_sweep_without_m_is_refused() -> None:
    with pytest.raises(UserError, match="sweep=seeds runs many jobs: add -m"):
        multirun.refuse_without_flag(compose_words(["sweep=seeds"]))


@pytest.mark.parametrize(
    ("words", "is_sweep"),
    [
        (["-m", "run.seed=1,2"], True),
        (["--multirun", "--config-dir=x", "run.seed=1,2"], True),
        (["-m", "--cfg", "job"], False),  # a question to Hydra
        (["run.seed=1"], False),
    ],
)
def test_the_multirun_flag_starts_a_sweep(words: list[str], is_sweep: bool) -> None:
    assert multirun.is_sweep(words) is is_sweep


def test_an_interpolation_is_resolved_in_each_job() -> None:
    jobs = plan("algo.batch_size_B=8,16", "algo.batch_length_T=${algo.batch_size_B}").jobs
    assert [job.experiment.algo.batch_length_T for job in jobs] == [8, 16]


def test_another_naming_of_job_directories_is_refused() -> None:
    with pytest.raises(UserError, match=r"hydra\.sweep\.subdir: jobs' directories are named by their numbers"):
        plan("run.seed=1,2", "hydra.sweep.subdir=runs/a")


@pytest.mark.parametrize("word", ["hardware.num_env_runners=-1,2", "hardware.num_cpus=0,1"])
def test_a_number_out_of_range_is_refused_in_one_line(word: str) -> None:
    with pytest.raises(UserError, match="out of range"):
        plan(word)
