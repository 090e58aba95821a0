"""`sweep.stop`: which jobs are stopped, and a real sweep with the same winner as without it."""

import signal
from pathlib import Path
from typing import Any

import pytest

from dreamer_exp.config.compose import compose_words
from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_tree
from dreamer_exp.rundir.status import read_status
from dreamer_exp.sweeps.losers import Scores, StopRule
from dreamer_exp.sweeps.records import JobRecord
from dreamer_exp.sweeps.watch import end_of
from tests.experiments import NANO, nano
from tests.sweeps.sweeping import only_sweep, read, run, states

ASHA, MEDIAN = StopRule("asha", (100, 300), 3), StopRule("median", (100, 200, 300), 3)


def job(*returns: float, every: int = 100) -> Scores:
    """Return evaluations that pass a multiple of `every` by 4 steps, as fragments do."""
    return [(every * num + 4, (0.0, 0.0, value)) for num, value in enumerate(returns, 1)]


def test_no_job_is_stopped_before_its_first_rung() -> None:
    assert ASHA.reason([], [job(9)]) is None
    assert ASHA.reason([(50, (0.0, 0.0, 1.0))], [job(9)]) is None


@pytest.mark.parametrize(("own", "place"), [(9, None), (5, None), (4, 3), (0, 6)])
def test_asha_keeps_the_best_third_at_a_rung(own: float, place: int | None) -> None:
    others = [job(value) for value in (8, 7, 3, 2, 1)] if own != 5 else [job(value) for value in (8, 3, 2, 1, 0)]
    expected = None if place is None else f"sweep.stop=asha: number {place} of 6 at 100 env steps, where 2 continue"
    assert ASHA.reason(job(own), others) == expected


def test_asha_compares_at_the_same_env_steps() -> None:
    assert ASHA.reason(job(5), [job(4, 9, 9, 9)]) is None
    assert ASHA.reason(job(5, 5, 5), [job(4, 9, 9, 9), job(9, 9)]) is not None


def test_asha_compares_again_when_others_reach_the_rung() -> None:
    assert ASHA.reason(job(5), []) is None
    assert ASHA.reason(job(5, 5), [job(6)]) is not None


def test_the_first_rung_has_the_result_of_the_first_evaluation_after_it() -> None:
    assert StopRule("asha", (150,), 3).reason(job(9, 1), [job(1, 5)]) is not None


def test_median_stops_a_job_whose_best_is_below_the_median_of_the_means() -> None:
    others = [job(1, 9), job(6, 6), job(7, 9)]  # means at 200: 5, 6, 8
    assert MEDIAN.reason(job(1, 7), others) is None
    assert MEDIAN.reason(job(1, 5), others) == "sweep.stop=median: below the median of 3 other jobs at 200 env steps"
    assert MEDIAN.reason(job(1, 5), others[1:2]) is None  # too few


@pytest.mark.parametrize(
    ("words", "rungs"),
    [
        (("sweep.stop=asha",), (32, 96, 288)),
        (("sweep.stop=asha", "sweep.stop_grace=64", "sweep.stop_reduction=2"), (64, 128, 256)),
        (("sweep.stop=median", "sweep.stop_grace=300"), (300, 332)),
        (("sweep.stop=asha", "sweep.stop_rungs=[200,50]"), (50, 200)),
    ],
)
def test_rungs_follow_the_keys_up_to_the_end_of_the_job(words: tuple[str, ...], rungs: tuple[int, ...]) -> None:
    experiment = nano("evaluation.every_env_steps=32", "run.train_iterations=20")
    rule = StopRule.of(compose_words([*NANO, *words]).sweep, experiment)
    assert rule is not None
    assert rule.rungs == rungs


@pytest.mark.parametrize(
    ("word", "every", "message"),
    [
        ("sweep.stop_grace=100000", 32, r"sweep\.stop_grace: the first rung is at 100,000 env steps, after the end"),
        ("sweep.stop_rungs=[0]", 32, r"sweep\.stop_rungs=\[0\]: each is a number"),
        ("sweep.stop_grace=32", 0, r"set evaluation\.every_env_steps"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(word: str, every: int, message: str) -> None:
    sweep = compose_words([*NANO, "sweep.stop=asha", word]).sweep
    with pytest.raises(UserError, match=message):
        StopRule.of(sweep, nano(f"evaluation.every_env_steps={every}", "run.train_iterations=20"))


@pytest.mark.parametrize("code", [138, -signal.SIGKILL])
def test_a_stopped_job_is_recorded_with_its_reason(tmp_path: Path, code: int) -> None:
    directory = RunDirectory(tmp_path / "0_seed=1")
    for path in (directory.status, directory.summary):
        write_json(path, {"state": "interrupted", "iteration": 3})
    ended = end_of(directory.root, JobRecord(0, "run.seed=1", "running"), code, None, stopped="why")
    assert (ended.state, ended.error) == ("stopped", "why")
    status = read_status(directory.root)
    assert (status["state"], status["end_reason"], status["iteration"]) == ("stopped", "why", 3)
    assert read_tree(directory.summary)["state"] == "stopped"


def test_a_stopped_job_that_was_killed_has_a_summary(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "0_seed=1")
    write_json(directory.status, {"state": "running"})
    directory.result.write_text('{"env_steps": 64, "iteration": 2}\n')
    end_of(directory.root, JobRecord(0, "run.seed=1", "running"), -signal.SIGKILL, None, stopped="why")
    summary = read_tree(directory.summary)
    assert (summary["state"], summary["end_reason"], summary["final"]["env_steps"]) == ("stopped", "why", 64)


PPO = (
    "algo=ppo", "env=gym", "env.id=CartPole-v1", "env.max_steps=200", "obs_contract=vector", "tracking=none",
    "algo.fcnet_hiddens=[32,32]", "algo.train_batch_size_per_learner=512", "algo.minibatch_size=128",
    "algo.num_epochs=12", "hardware=cpu", "hardware.num_env_runners=0", "hardware.num_envs_per_env_runner=8",
    "hardware.rollout_fragment_length=64", "evaluation.episodes=5", "evaluation.every_env_steps=1024",
    "evaluation.baselines=[]", "run.train_iterations=18", "run.checkpoint_every=100", "run.objective=return_mean",
    "algo.lr=3e-3,1e-5,1e-6",  # the last, worse than both at every rung, is always stopped
)  # fmt: skip


def best(sweep: Path) -> int:
    """Return the number of the job with the highest return of its last evaluation."""
    jobs = read(sweep / "sweep_summary.json")["jobs"]
    return int(max(jobs, key=lambda job: job["evaluated_return"])["num"])


@pytest.fixture(scope="module")
def asha(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, str, str]]:
    """Run three jobs under `sweep.stop=asha`."""
    folder = tmp_path_factory.mktemp("asha")
    ended = run(folder, "-m", *PPO, "sweep.stop=asha")
    return only_sweep(folder), ended


@pytest.mark.end_to_end
@pytest.mark.slow
def test_asha_finds_the_winner_of_the_full_sweep_in_fewer_env_steps(asha: Any, tmp_path: Path) -> None:
    code, out, err = run(tmp_path, "-m", *PPO)
    assert code == 0, out + err
    full = only_sweep(tmp_path)
    assert best(asha[0]) == best(full)
    steps = [read(sweep / "sweep_summary.json")["env_steps"] for sweep in (asha[0], full)]
    assert steps[0] < 0.9 * steps[1]


@pytest.mark.end_to_end
@pytest.mark.slow
def test_stopped_jobs_are_shown_compared_and_resumable(asha: Any, tmp_path: Path) -> None:
    sweep, (code, out, err) = asha
    assert code == 0, out + err
    stopped = [num for num, state in states(sweep).items() if state == "stopped"]
    assert stopped
    assert set(states(sweep).values()) == {"stopped", "finished"}
    (line,) = [line for line in out.splitlines() if line.startswith(f"job {stopped[0]} ") and "stopped: " in line]
    assert "sweep.stop=asha: number " in line
    assert "sweep.stop=none" in out  # how to train them to their end
    code, out, err = run(tmp_path, "compare", str(sweep), f"--out={tmp_path / 'compared'}")
    assert f"{len(stopped)} stopped" in out, out + err

    code, out, err = run(tmp_path, f"sweep.resume={sweep}")
    assert code == 0, out + err
    assert [num for num, state in states(sweep).items() if state == "stopped"] == stopped  # not started again
    (root,) = sweep.glob(f"{stopped[0]}_*")
    before = read_status(root)["iteration"]
    code, out, err = run(tmp_path, f"resume={root}", f"run.train_iterations={before + 1}")
    assert code == 0, out + err
    assert (read_status(root)["state"], read_status(root)["iteration"]) == ("finished", before + 1)
