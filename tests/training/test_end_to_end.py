"""Real runs: their files, what they print, and what reads them. tests/training/test_ends.py has their ends."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dreamer_exp.checkpoints.manifest import sha256
from dreamer_exp.evaluation.video.write import film_suffix
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_rows
from tests import programs
from tests.experiments import NANO
from tests.monitoring.test_metrics_row import PROMISED
from tests.tracking.events import read_scalars
from tests.tracking.wandb.offline_file import history, records
from tests.training.processes import command, environment, only_run, read_json, run, run_with_its_imports

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def three_iterations(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], RunDirectory]:
    """Run three iterations with offline W&B and TensorBoard, without env runners."""
    folder = tmp_path_factory.mktemp("three")
    secret = {"WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567"}
    words = ("run.id=three", "run.train_iterations=3", "run.checkpoint_every=1", "run.keep_checkpoints=2",
             "tracking=wandb_tensorboard", "tracking.tags=[a,b]", "tracking.group=g", "env.max_steps=30")  # fmt: skip
    done = run_with_its_imports(folder, *words, **secret)
    assert done.returncode == 0, done.stderr
    return done, only_run(folder)


def test_the_last_iteration_is_the_reason_of_the_end(three_iterations: Any) -> None:
    assert read_json(three_iterations[1].status)["end_reason"] == "run.train_iterations=3"


def test_tensorboard_has_the_numbers_of_the_rows(three_iterations: Any) -> None:
    directory = three_iterations[1]
    scalars = read_scalars(directory.root / "tensorboard")
    for row in read_rows(directory.result):
        for name, value in row.items():
            if isinstance(value, (int, float)):
                assert (row["env_steps"], pytest.approx(value)) in scalars[name]
    assert scalars["evaluation/dreamerv3/return_mean"]


def test_a_run_writes_every_promised_file(three_iterations: Any) -> None:
    root = three_iterations[1].root
    assert root.name.startswith("three_")
    promised = [
        ".hydra/config.yaml",
        ".hydra/overrides.yaml",
        "experiment.yaml",
        "provenance.json",
        "status.json",
        "result.jsonl",
        "evaluation.jsonl",
        "run_summary.json",
        "checkpoints/latest",
        "checkpoints/best",
        "report/index.html",
        "report/learning_curve.png",
    ]
    assert [name for name in promised if not (root / name).is_file()] == []
    assert list((root / "wandb").glob("offline-run-*/*.wandb"))


@pytest.mark.slow
def test_of_two_runs_started_in_one_directory_one_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "same"
    words = ("run.train_iterations=1", "tracking=none", "evaluation.episodes=0", f"hydra.run.dir={root}")
    both = [
        subprocess.Popen(command(*words, f"run.seed={seed}"), env=environment(), stderr=subprocess.PIPE, text=True)
        for seed in (1, 2)
    ]
    ends = {process.communicate(timeout=300)[1]: process.returncode for process in both}
    assert sorted(ends.values()) == [0, 2]
    (refused,) = [err for err, code in ends.items() if code == 2]
    (seed,) = [seed for seed, process in enumerate(both, 1) if process.returncode == 0]
    assert f"hydra.run.dir={root}: in use by process {both[seed - 1].pid} on" in refused
    for name in ("experiment.yaml", ".hydra/config.yaml"):
        assert yaml.safe_load((root / name).read_text())["run"]["seed"] == seed


def test_a_run_has_one_row_per_iteration_with_every_name(three_iterations: Any) -> None:
    rows = read_rows(three_iterations[1].result)
    assert [row["iteration"] for row in rows] == [1, 2, 3]
    assert all(set(PROMISED) <= set(row) for row in rows)
    assert all(isinstance(rows[-1][name], float) for name in PROMISED if name.startswith(("loss/", "grad_norm/")))


def test_an_iteration_without_ended_episodes_has_a_null_return(three_iterations: Any) -> None:
    without = [row for row in read_rows(three_iterations[1].result) if row["episodes"] == 0]
    assert without
    assert all(row["episode_return_mean"] is None for row in without)


def test_policy_and_baselines_are_evaluated_before_and_after_training(three_iterations: Any) -> None:
    rows = read_rows(three_iterations[1].evaluation)
    assert [(row["policy"], row["env_steps"]) for row in rows] == [
        ("random", 0),
        ("straight_to_goal", 0),
        ("orca", 0),
        ("dreamerv3", 0),
        ("dreamerv3", 64),
    ]
    assert all([outcome["seed"] for outcome in row["outcomes"]] == [1_000_000, 1_000_001] for row in rows)


def test_status_and_summary_report_a_finished_run(three_iterations: Any) -> None:
    directory = three_iterations[1]
    assert read_json(directory.status)["state"] == "finished"
    summary = read_json(directory.summary)
    assert (summary["state"], summary["final"]["env_steps"], summary["error"]) == ("finished", 64, None)


def test_the_experiment_file_has_auto_resolved(three_iterations: Any) -> None:
    tree = yaml.safe_load(three_iterations[1].experiment.read_text())
    assert tree["algo"]["horizon_H"] == 3
    assert isinstance(tree["hardware"]["num_cpus"], int)
    assert "auto" not in three_iterations[1].experiment.read_text()


def test_provenance_holds_versions_devices_and_contract(three_iterations: Any) -> None:
    tree = read_json(three_iterations[1].provenance)
    assert tree["packages"]["ray"].startswith("2.60")
    assert tree["learner_devices"] == ["cpu"]
    assert (tree["backend"], tree["why_not_fused"]) == ("eager", "")
    assert len(tree["contract"]["hash"]) == 16


def test_the_manifest_lists_every_file_of_a_checkpoint_with_its_hash(three_iterations: Any) -> None:
    folder = three_iterations[1].checkpoints
    newest = folder / (folder / "latest").read_text().strip()
    listed = read_json(newest / "manifest.json")["files"]
    present = {path.relative_to(newest).as_posix() for path in newest.rglob("*") if path.is_file()}
    assert present == {*listed, "manifest.json"}
    assert all(sha256(newest / name) == entry["sha256"] for name, entry in listed.items())


def test_old_checkpoints_are_deleted(three_iterations: Any) -> None:
    folders = [path.name for path in three_iterations[1].checkpoints.iterdir() if path.is_dir()]
    assert sorted(folders) == ["000000048", "000000064"]


def test_the_wandb_file_holds_every_row_and_the_labels_of_the_run(three_iterations: Any) -> None:
    (file,) = three_iterations[1].root.glob("wandb/offline-run-*/*.wandb")
    found = list(records(file))
    (labels,) = [record.run for record in found if record.WhichOneof("record_type") == "run"]
    assert (list(labels.tags), labels.run_group, labels.job_type) == (["a", "b"], "g", "train")
    logged = [int(row["env_steps"]) for row in history(file) if "loss/world_model" in row]
    assert logged == [row["env_steps"] for row in read_rows(three_iterations[1].result)]
    assert [record.WhichOneof("record_type") for record in found].count("exit") == 1


def test_wandb_sync_finds_the_offline_run(three_iterations: Any) -> None:
    (folder,) = three_iterations[1].root.glob("wandb/offline-run-*")
    sync = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--dry-run", str(folder)],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "Would sync 1 run" in sync.stdout + sync.stderr


def test_no_file_holds_a_secret_of_the_environment(three_iterations: Any) -> None:
    files = [path for path in three_iterations[1].root.rglob("*") if path.is_file()]
    assert [path.name for path in files if b"0123456789abcdef0123456789abcdef01234567" in path.read_bytes()] == []


def test_a_run_prints_no_warnings(three_iterations: Any) -> None:
    done = three_iterations[0]
    assert done.stderr == ""
    assert "WARN" not in done.stdout
    assert len(done.stdout.splitlines()) < 30
    assert "dreamerv3 on cpu (backend eager, precision float32), size nano" in done.stdout


def test_the_end_prints_results_paths_and_the_next_command(three_iterations: Any) -> None:
    done, directory = three_iterations
    assert "before training" in done.stdout
    assert "straight_to_goal" in done.stdout
    assert f"Run: {directory.root}" in done.stdout
    assert f"Report: {directory.page}" in done.stdout
    assert f" -m dreamer_exp evaluate {directory.root} episodes=100 video=3\n" in done.stdout
    assert f" -m dreamer_exp resume={directory.root} run.train_iterations=6\n" in done.stdout


def evaluate(*words: str) -> subprocess.CompletedProcess[str]:
    return programs.run(*words, module="dreamer_exp.evaluate", trains=True)


def test_a_moved_run_evaluates_to_its_last_results(three_iterations: Any, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(three_iterations[1].root, moved)
    done = evaluate(str(moved))
    assert (done.returncode, done.stderr) == (0, "")
    (written,) = moved.glob("report/evaluation_crowd_nav_*.json")
    last = read_rows(RunDirectory(moved).evaluation)[-1]
    assert read_json(written)["evaluations"][0]["outcomes"] == last["outcomes"]


def test_an_evaluation_can_write_elsewhere_without_changing_the_run(three_iterations: Any, tmp_path: Path) -> None:
    root = three_iterations[1].root
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    done = evaluate(str(root), "episodes=3", "video=1", f"out={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    written = sorted(path.name.partition("+0000_")[2][4:] for path in tmp_path.iterdir())  # after four hex digits
    assert written[:2] == [".json", "_paths.png"]
    assert [name.startswith("_seed100000") and name.endswith(film_suffix()) for name in written[2:]] == [True]
    assert max(len(line) for line in done.stdout.splitlines() if str(tmp_path) not in line) <= 80


def test_an_environment_with_another_contract_is_refused(three_iterations: Any) -> None:
    done = evaluate(str(three_iterations[1].root), "obs_contract=drive_state_rays_latest")
    assert done.returncode == 2
    assert "was trained on" in done.stderr


def test_a_changed_checkpoint_is_refused(three_iterations: Any, tmp_path: Path) -> None:
    shutil.copytree(three_iterations[1].root, tmp_path / "run")
    for state in (tmp_path / "run" / "checkpoints").glob("*/policy.safetensors"):
        state.write_bytes(b"changed")
    done = evaluate(str(tmp_path / "run"))
    assert done.returncode == 2
    assert "missing, or different from manifest.json" in done.stderr


class Bomb:
    """Creates a folder when it is unpickled."""

    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.crater),)


def test_evaluate_compare_and_runs_execute_nothing_in_a_run_directory(three_iterations: Any, tmp_path: Path) -> None:
    archive, crater = tmp_path / "run", tmp_path / "crater"
    shutil.copytree(three_iterations[1].root, archive)
    pickled = [path for path in archive.rglob("*") if path.suffix in (".pkl", ".pickle", ".pt")]
    assert pickled
    for path in pickled:
        path.write_bytes(pickle.dumps(Bomb(crater)))
    assert evaluate(str(archive)).returncode == 0
    compared = programs.run(str(archive), "--out", str(tmp_path / "compared"), module="dreamer_exp.compare")
    assert compared.returncode == programs.run(str(archive), module="dreamer_exp.runs").returncode == 0
    assert not crater.exists()
    pickle.loads(pickled[0].read_bytes())  # as a resume would
    assert crater.exists()


@pytest.mark.slow
def test_two_env_runners_train_a_policy_that_changes(tmp_path: Path) -> None:
    words = ("hardware.num_env_runners=2", "hardware.num_cpus=2", "run.train_iterations=2", "tracking=none")
    done = run(tmp_path, *words)
    assert (done.returncode, done.stderr) == (0, "")
    directory = only_run(tmp_path)
    rows = read_rows(directory.result)
    assert [row["env_steps"] for row in rows] == [32, 64]
    first, last = (row["outcomes"] for row in read_rows(directory.evaluation) if row["policy"] == "dreamerv3")
    assert [e["episode_return"] for e in first] != [e["episode_return"] for e in last]
    assert not (directory.root / "wandb").exists()


@pytest.mark.slow
def test_rllibs_algorithm_writes_the_same_files_and_its_policy_can_be_evaluated(tmp_path: Path) -> None:
    done = run(tmp_path, "algo=dreamerv3_rllib", "run.train_iterations=3", "tracking=none")
    assert (done.returncode, done.stderr) == (0, "")
    assert "dreamerv3_rllib on cpu, size nano" in done.stdout
    directory = only_run(tmp_path)
    assert "auto" not in directory.experiment.read_text()
    rows = read_rows(directory.result)
    assert all(set(PROMISED) <= set(row) for row in rows)
    assert all(isinstance(rows[-1][name], float) for name in PROMISED if name.startswith(("loss/", "grad_norm/")))
    evaluated = [row for row in read_rows(directory.evaluation) if row["policy"] == "dreamerv3_rllib"]
    assert [row["env_steps"] for row in evaluated] == [0, rows[-1]["env_steps"]]
    assert evaluate(str(directory.root)).returncode == 0
    (written,) = directory.root.glob("report/evaluation_crowd_nav_*.json")
    assert read_json(written)["evaluations"][0]["outcomes"] == evaluated[-1]["outcomes"]


def test_a_sweep_runs_each_combination_in_a_separate_directory(tmp_path: Path) -> None:
    words = ("algo.training_ratio=2,4", "run.train_iterations=1", "evaluation.episodes=0", "tracking=none")
    done = programs.run("-m", *NANO, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "multirun").iterdir()
    jobs = sorted(path.name for path in sweep.iterdir() if path.is_dir())
    assert [name.split("_", 1)[0] for name in jobs] == ["0", "1"]
    assert all("training_ratio=" in name for name in jobs)
    ratios = [yaml.safe_load((sweep / name / "experiment.yaml").read_text())["algo"]["training_ratio"] for name in jobs]
    assert ratios == [2.0, 4.0]
