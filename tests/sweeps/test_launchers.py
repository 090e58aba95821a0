"""The launchers of submitit and the sweeper of Optuna. test_ray_cluster.py tests the launcher of Ray."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from dreamer_exp.config.errors import UserError
from dreamer_exp.hardware import Machine
from dreamer_exp.rundir.reader import read_rows
from dreamer_exp.sweeps import launchers
from dreamer_exp.sweeps.launchers import require_plugins
from dreamer_exp.sweeps.plan import Plan, headline, make_plan
from dreamer_exp.sweeps.search import best_trial
from tests.experiments import NANO, machine
from tests.sweeps.sweeping import WORDS, begin, only_sweep, read, run, states
from tests.sweeps.watching import process_of, wait_for

BIG = machine(cpus=8, memory_bytes=64 * 2**30)

COMMON = [word for word in NANO if not word.startswith(("algo.training_ratio", "hardware.num_cpus"))]
LOCAL, SLURM, OPTUNA = "hydra/launcher=submitit_local", "hydra/launcher=submitit_slurm", "hydra/sweeper=optuna"
ALLOCATION = "hydra.launcher.cpus_per_task=16"
CHOICE = "algo.training_ratio=choice(2,4)"


def plan(*words: str, on: Machine = BIG) -> Plan:
    return make_plan(["-m", *COMMON, *words], on)


@pytest.mark.parametrize("word", [LOCAL, SLURM, OPTUNA])
def test_a_missing_plugin_is_refused_with_its_extra(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, extra = launchers.PLUGINS[word]
    monkeypatch.setitem(launchers.PLUGINS, word, ("hydra_plugins.not_there", extra))
    with pytest.raises(UserError, match=rf"{word} is not installed: pip install 'dreamer-exp\[{extra}\]'"):
        require_plugins(["-m", word])


# submitit


def test_the_default_time_limit_of_submitit_is_raised() -> None:
    assert f"hydra.launcher.timeout_min={365 * 24 * 60}" in plan(LOCAL, "run.seed=1,2").words


def test_a_time_limit_set_by_the_user_is_kept() -> None:
    words = plan(LOCAL, "hydra.launcher.timeout_min=5", "run.seed=1,2").words
    assert [word for word in words if "timeout_min" in word] == ["hydra.launcher.timeout_min=5"]


def test_gpus_that_submitit_would_hide_stay_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    words = plan(LOCAL, "run.seed=1,2", on=machine(cpus=8, gpus=2, memory_bytes=64 * 2**30)).words
    assert "++hydra.job.env_set.CUDA_VISIBLE_DEVICES='2,3'" in words


def test_under_slurm_auto_resolves_to_the_allocation() -> None:
    made = make_plan(["-m", "hardware=slurm", SLURM, ALLOCATION, "hydra.launcher.gpus_per_node=1", "run.seed=1,2"], BIG)
    hardware = {job.experiment.hardware for job in made.jobs}
    assert {(each.num_cpus, each.num_env_runners, each.num_gpus_per_learner) for each in hardware} == {(16, 12, 1)}


def test_under_slurm_each_job_has_a_separate_machine_and_ray() -> None:
    made = plan(SLURM, ALLOCATION, "run.seed=1,2")
    assert (made.slots, made.needs_ray) == (None, False)


def test_under_slurm_a_job_may_need_more_memory_than_this_machine() -> None:
    small = machine(cpus=1, memory_bytes=2**30)
    assert len(plan(SLURM, ALLOCATION, "hydra.launcher.mem_gb=64", "run.seed=1,2", on=small).jobs) == 2


def test_under_slurm_the_cpus_of_a_job_are_required() -> None:
    with pytest.raises(UserError, match=r"set what a job gets: hydra\.launcher\.cpus_per_task=8"):
        plan(SLURM, "run.seed=1,2")


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, str, str]]:
    """Run three jobs with submitit on this machine, two at a time. The second crashes. The first gets the signal that
    SLURM sends before a time limit or a preemption, and submitit submits it again."""
    folder = tmp_path_factory.mktemp("submitted")
    words = ("-m", *WORDS, LOCAL, "run.seed=1,2,3", "run.train_iterations=40", "run.checkpoint_every=1000")
    process = begin(folder, *words, TROUBLE=json.dumps({"1": "exception"}))
    process_of(wait_for(folder, "0_*/result.jsonl", process)).parent().send_signal(signal.SIGUSR2)
    out, err = process.communicate(timeout=300)
    return only_sweep(folder), (process.returncode, out, err)


@pytest.mark.slow
@pytest.mark.end_to_end
def test_submitit_runs_a_sweep_and_a_crash_fails_one_job(submitted: Any) -> None:
    sweep, (code, out, err) = submitted
    assert states(sweep) == {0: "finished", 1: "failed", 2: "finished"}, out + err
    assert (code, err) == (1, "")
    assert "3 jobs, 2 at a time" in out


@pytest.mark.slow
@pytest.mark.end_to_end
def test_a_job_preempted_by_slurm_resumes_from_a_checkpoint(submitted: Any) -> None:
    (job,) = submitted[0].glob("0_*")
    assert "resumed from checkpoint" in (job / "console.log").read_text()
    assert [row["iteration"] for row in read_rows(job / "result.jsonl")] == list(range(1, 41))


# Optuna


@pytest.mark.parametrize(
    ("objective", "direction"),
    [("success_rate", "maximize"), ("return_mean", "maximize"), ("loss/world_model", "minimize")],
)
def test_the_objective_decides_the_direction_of_a_search(objective: str, direction: str) -> None:
    made = plan(OPTUNA, CHOICE, f"run.objective={objective}")
    assert f"hydra.sweeper.direction={direction}" in made.words
    assert headline(made).startswith(f"20 trials, chosen by Optuna to {direction} {objective}")


def test_a_direction_set_by_the_user_is_kept() -> None:
    words = plan(OPTUNA, CHOICE, "hydra.sweeper.direction=minimize").words
    assert {word for word in words if "direction" in word} == {"hydra.sweeper.direction=minimize"}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("run.objective=episode_length_mean", r"run\.objective=episode_length_mean: is more of it better\?"),
        ("hydra.sweeper.direction=[maximize,minimize]", "a run has one objective"),
    ],
)
def test_a_search_without_a_direction_is_refused(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan(OPTUNA, CHOICE, word)


def test_a_failed_trial_ends_a_search_only_if_the_user_sets_it() -> None:
    assert "hydra.sweeper.max_failure_rate=1.0" in plan(OPTUNA, CHOICE).words
    words = plan(OPTUNA, CHOICE, "hydra.sweeper.max_failure_rate=0.0").words
    assert [word for word in words if "failure" in word] == ["hydra.sweeper.max_failure_rate=0.0"]


def test_a_search_is_seeded_with_the_seed_of_the_run() -> None:
    assert "hydra.sweeper.sampler.seed=5" in plan(OPTUNA, CHOICE, "run.seed=5").words


def test_a_stored_search_is_not_seeded_because_it_would_repeat_trials() -> None:
    assert not any(
        "sampler.seed" in word for word in plan(OPTUNA, CHOICE, "hydra.sweeper.storage=sqlite:///s.db").words
    )


def test_parallel_trials_are_limited_by_the_sweeper_and_the_machine() -> None:
    assert plan(OPTUNA, CHOICE, "hydra.sweeper.n_jobs=4").slots == 4
    assert plan(OPTUNA, CHOICE, "hydra.sweeper.n_jobs=4", "hardware.num_env_runners=choice(0,3)").slots == 2


def test_the_shared_ray_fits_the_largest_trial() -> None:
    assert plan(OPTUNA, CHOICE, "hardware.num_env_runners=range(0,4)").actors == 3


def test_an_invalid_value_is_refused_before_any_trial_starts() -> None:
    with pytest.raises(UserError, match=r"algo\.horizon_H=0 is out of range.*\(the job algo\.horizon_H=0\)"):
        plan(OPTUNA, "algo.horizon_H=int(interval(0,15))")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, str, str]]:
    """Run three trials, of which the second fails."""
    folder = tmp_path_factory.mktemp("searched")
    trials = ("hydra.sweeper.n_trials=3", "run.objective=return_mean", "algo.actor_lr=interval(1e-5,1e-2)")
    ended = run(folder, "-m", *WORDS, OPTUNA, *trials, CHOICE, TROUBLE=json.dumps({"1": "exception"}))
    return only_sweep(folder), ended


@pytest.mark.slow
@pytest.mark.end_to_end
def test_a_search_continues_after_a_failed_trial(searched: Any) -> None:
    sweep, (code, out, err) = searched
    assert states(sweep) == {0: "finished", 1: "failed", 2: "finished"}, out + err
    assert code == 1


@pytest.mark.slow
@pytest.mark.end_to_end
def test_the_best_trial_has_the_highest_objective(searched: Any) -> None:
    sweep, _ = searched
    returns = [read(path)["final"]["return_mean"] for num in (0, 2) for path in sweep.glob(f"{num}_*/run_summary.json")]
    best = yaml.safe_load((sweep / "optimization_results.yaml").read_text())
    assert best["best_value"] == max(returns)
    assert best_trial(sweep).startswith(f"Best trial: {max(returns):.4g} with algo.")


@pytest.mark.slow
@pytest.mark.end_to_end
def test_trials_are_named_by_their_chosen_values(searched: Any) -> None:
    for row in read(searched[0] / "sweep_summary.json")["jobs"]:
        assert {word.partition("=")[0] for word in row["name"].split()} == {"algo.actor_lr", "algo.training_ratio"}
