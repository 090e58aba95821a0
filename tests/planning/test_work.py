"""What a run has still to do, and how long that takes at the pace of an earlier run."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.planning.work import Pace, Work, describe_time, describe_work, last_pace, work_to_come
from tests.experiments import nano

# an iteration: 16 env steps and 2 updates; a batch: 32 steps
WORDS = ("run.train_iterations=10", "hardware.num_env_runners=0", "hardware.rollout_fragment_length=16")


def earlier(folder: Path, experiment: Experiment, **status: Any) -> Path:
    """Write a run of this experiment whose env steps take 10 ms and whose updates take 0.5 s."""
    root = folder / "outputs" / "earlier"
    root.mkdir(parents=True)
    (root / "experiment.yaml").write_text(experiment.to_yaml())
    (root / "status.json").write_text(json.dumps({"state": "finished", "host": socket.gethostname(), **status}))
    rows = [
        {"env_steps": 32 + 16 * i, "updates": 2 + 2 * i, "time/sample_s": 0.16, "time/update_s": 1} for i in range(4)
    ]
    rows[0]["time/sample_s"] = 9.0  # of the prefill
    (root / "result.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def test_a_new_run_fills_the_replay_before_its_first_update() -> None:
    assert work_to_come(nano(*WORDS)) == Work(10, 176, 16, 20)


def test_a_batch_that_one_fragment_holds_needs_no_prefill() -> None:
    assert work_to_come(nano(*WORDS, "hardware.num_envs_per_env_runner=2")).prefill_env_steps == 0


def test_long_sequences_of_many_environments_wait_for_windows_of_different_steps() -> None:
    words = ("hardware.num_envs_per_env_runner=8", "algo.batch_length_T=24")  # 128 env steps hold 4 x 24, but no window
    assert work_to_come(nano(*WORDS, *words)).prefill_env_steps == 128
    assert work_to_come(nano(*WORDS, *words, "algo=dreamerv3_rllib")).prefill_env_steps == 0


def test_a_resumed_run_has_the_rest_to_do() -> None:
    assert work_to_come(nano(*WORDS), {"iteration": 7, "updates_owed": 0.5}) == Work(3, 48, 0, 6)


def test_the_work_is_described_with_the_prefill() -> None:
    experiment = nano(*WORDS)
    assert describe_work(experiment, Work(10, 176, 16, 20)) == (
        "10 iterations, 176 env steps (16 before the first update), about 20 updates of 4 x 8 steps"
    )
    assert describe_work(experiment, Work(3, 48, 0, 6)).startswith("3 of 10 iterations, 48 env steps, about 6 updates")


def test_the_time_is_that_of_the_last_run_with_these_sizes(tmp_path: Path) -> None:
    earlier(tmp_path, nano(*WORDS))
    pace = last_pace(nano(*WORDS, "run.seed=7", "run.train_iterations=99", "algo.gamma=0.9"), tmp_path)

    assert pace is not None
    assert pace == Pace(Path("outputs/earlier"), pytest.approx(0.01), pytest.approx(0.5))
    assert pace.seconds(Work(10, 176, 16, 20)) == pytest.approx(11.76)
    assert describe_time(Work(10, 176, 16, 20), pace) == (
        "about 12 s without evaluations, at the pace of outputs/earlier"
    )


@pytest.mark.parametrize(
    "words", [("algo.model_size=XS",), ("algo=dreamerv3_rllib",), ("algo.batch_size_B=8",), ("env.scenario=dense",)]
)
def test_a_run_of_other_sizes_is_no_measure(tmp_path: Path, words: tuple[str, ...]) -> None:
    earlier(tmp_path, nano(*WORDS, *words))
    assert last_pace(nano(*WORDS), tmp_path) is None


def test_a_run_of_another_machine_is_no_measure(tmp_path: Path) -> None:
    earlier(tmp_path, nano(*WORDS), host="elsewhere")
    assert last_pace(nano(*WORDS), tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", '{"env_steps": 1}\n{"env_steps": 2}\n', "[1]\n[2]\n"])
def test_damaged_rows_are_no_measure(tmp_path: Path, text: str) -> None:
    (earlier(tmp_path, nano(*WORDS)) / "result.jsonl").write_text(text)
    assert last_pace(nano(*WORDS), tmp_path) is None


def test_without_an_earlier_run_the_time_is_unknown(tmp_path: Path) -> None:
    assert last_pace(nano(*WORDS), tmp_path) is None
    assert describe_time(Work(1, 1, 0, 1), None).startswith("unknown: no run below outputs/ or multirun/")
