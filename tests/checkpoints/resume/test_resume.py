"""Resumed runs: equal to uninterrupted ones, with further overrides, from the newest valid checkpoint."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from dreamer_exp.checkpoints.manifest import named_checkpoint
from dreamer_exp.checkpoints.store import CheckpointStore
from dreamer_exp.config.command_words import path_word
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_rows
from tests import programs
from tests.experiments import NANO, SMALL
from tests.paths import CHECKOUT

pytestmark = pytest.mark.end_to_end

RUN = ("hardware.num_env_runners=0", "run.checkpoint_every=2", "tracking=none", "evaluation.episodes=0")
WORDS = (*NANO, *RUN)
EVALUATED = "evaluation.episodes=2"
TIMES = ("time/", "rate/", "memory/")
KILLS = int(os.environ.get("DREAMER_EXP_KILLS", "3"))


def start(*words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen(
        [sys.executable, "-m", "dreamer_exp", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*words: str) -> tuple[int, str, str]:
    done = programs.run(*words, trains=True)
    return done.returncode, done.stdout, done.stderr


def train(root: Path, iterations: int, *words: str) -> RunDirectory:
    return begin(root, iterations, *WORDS, *words)


def begin(root: Path, iterations: int, *words: str) -> RunDirectory:
    code, out, err = run(*words, f"run.train_iterations={iterations}", f"hydra.run.dir={root}")
    assert code == 0, out + err
    return RunDirectory(root)


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if not name.startswith(TIMES)} for row in rows]


def weights(directory: RunDirectory) -> dict[str, Any]:
    latest = named_checkpoint(directory.checkpoints, "latest")
    assert latest is not None
    return {name: tensor.tobytes() for name, tensor in load_file(latest / "policy.safetensors").items()}


def replay(directory: RunDirectory) -> dict[str, bytes]:
    latest = named_checkpoint(directory.checkpoints, "latest")
    assert latest is not None
    return {path.name: path.read_bytes() for path in (latest / "replay").iterdir() if path.suffix == ".npy"}


Halves = tuple[RunDirectory, Path, str]


@pytest.fixture(scope="module")
def published_halves(tmp_path_factory: pytest.TempPathFactory) -> Halves:
    return make_halves(tmp_path_factory.mktemp("dreamerv3"), *WORDS, "algo=dreamerv3")


@pytest.fixture(scope="module")
def stock_halves(tmp_path_factory: pytest.TempPathFactory) -> Halves:
    return make_halves(tmp_path_factory.mktemp("dreamerv3_rllib"), *WORDS, "algo=dreamerv3_rllib", EVALUATED)


@pytest.fixture(scope="module")
def ppo_halves(tmp_path_factory: pytest.TempPathFactory) -> Halves:
    return make_halves(tmp_path_factory.mktemp("ppo"), *SMALL["ppo"], *RUN, EVALUATED)


@pytest.fixture(scope="module")
def sac_halves(tmp_path_factory: pytest.TempPathFactory) -> Halves:
    return make_halves(tmp_path_factory.mktemp("sac"), *SMALL["sac"], *RUN)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("stock_halves", "ppo_halves", "sac_halves")]


@pytest.fixture(params=["published_halves", *SLOW])
def halves(request: pytest.FixtureRequest) -> Halves:
    found: Halves = request.getfixturevalue(request.param)
    return found


def make_halves(folder: Path, *words: str) -> Halves:
    """Return an uninterrupted run, the folder of one resumed after half its iterations, and the resume's output."""
    uninterrupted = begin(folder / "uninterrupted", 4, *words)
    begin(folder / "parts", 2, *words)
    shutil.copytree(folder / "parts", folder / "first_half")
    code, out, err = run(f"resume={folder / 'parts'}", "run.train_iterations=4")
    assert code == 0, out + err
    return uninterrupted, folder, out


def test_a_resumed_run_has_the_rows_of_an_uninterrupted_one(halves: Halves) -> None:
    uninterrupted, folder, _ = halves
    resumed = RunDirectory(folder / "parts")
    assert without_times(read_rows(resumed.result)) == without_times(read_rows(uninterrupted.result))


def test_resume_restores_weights_and_replay_bit_for_bit(halves: Halves) -> None:
    uninterrupted, folder, _ = halves
    resumed = RunDirectory(folder / "parts")
    assert weights(resumed) == weights(uninterrupted)
    assert replay(resumed) == replay(uninterrupted)


def test_changed_keys_are_printed_and_recorded(published_halves: Halves) -> None:
    _, folder, out = published_halves
    assert "run.train_iterations: 2 -> 4" in out
    (entry,) = json.loads(RunDirectory(folder / "parts").provenance.read_text())["resumes"]
    assert entry["changed"] == {"run.train_iterations": {"before": 2, "after": 4}}


def test_devices_and_backend_are_recorded_at_the_start_and_at_each_resume(published_halves: Halves) -> None:
    tree = json.loads(RunDirectory(published_halves[1] / "parts").provenance.read_text())
    for entry in (tree, tree["resumes"][0]):
        assert (entry["learner_devices"], entry["backend"], entry["why_not_fused"]) == (["cpu"], "eager", "")


def test_the_total_time_continues_after_a_resume(published_halves: Halves) -> None:
    rows = read_rows(RunDirectory(published_halves[1] / "parts").result)
    seconds = [row["time/total_s"] for row in rows]
    assert seconds == sorted(seconds)


@pytest.fixture
def half_run(published_halves: Halves, tmp_path: Path) -> RunDirectory:
    """Return a copy of a run of two iterations."""
    root = tmp_path / "run"
    shutil.copytree(published_halves[1] / "first_half", root)
    return RunDirectory(root)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["algo.model_size=XS"], "algo.model_size='XS' changes the network of the run, which has 'nano'"),
        (["obs_contract=drive_state_rays_latest"], "the policy was trained on"),
        (["run.train_iterations=2"], "the run has done 2 of run.train_iterations=2"),
        (["experiment=quickstart"], "experiment=quickstart composes a new run"),
        (["algo.gama=0.9"], "algo.gama"),
        (["-m"], "resume: takes one run, without -m"),
    ],
)
def test_overrides_that_a_resume_cannot_apply_are_refused_in_one_line(
    half_run: RunDirectory, words: list[str], message: str
) -> None:
    code, out, err = run(f"resume={half_run.root}", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_dry_run_of_a_resume_counts_what_is_left_and_changes_nothing(half_run: RunDirectory) -> None:
    before = {path: path.stat().st_mtime_ns for path in half_run.root.rglob("*")}
    code, out, err = run(f"resume={half_run.root}", "run.train_iterations=5", "dry_run=true")
    assert (code, err) == (0, "")
    assert "3 of 5 iterations, 48 env steps" in " ".join(out.replace("│", " ").split())
    assert {path: path.stat().st_mtime_ns for path in half_run.root.rglob("*")} == before


def test_a_dry_run_of_a_resume_refuses_what_the_resume_would(half_run: RunDirectory) -> None:
    words = (f"resume={half_run.root}", "run.train_iterations=1")
    refusals = {run(*words), run(*words, "dry_run=true")}
    assert refusals == {
        (2, "", "dreamer_exp: resume: the run has done 2 of run.train_iterations=1; increase it to continue.\n")
    }


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    code, _, err = run(f"resume={tmp_path}")
    assert (code, err.count("\n")) == (2, 1)
    assert "no experiment.yaml there" in err


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "missing"),
        (b'{"git": {"comm', "cannot be read as JSON"),
        (b'{"format": 9}', "format=9 is unknown, allowed: 1, 2; update"),
    ],
    ids=["missing", "cut off", "newer"],
)
def test_a_run_without_its_provenance_is_refused_and_left_unchanged(
    half_run: RunDirectory, content: bytes | None, fault: str
) -> None:
    half_run.provenance.unlink() if content is None else half_run.provenance.write_bytes(content)
    before = half_run.result.read_bytes()
    code, out, err = run(f"resume={half_run.root}", "run.train_iterations=3")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"resume: {half_run.provenance}: {fault}" in err
    assert half_run.result.read_bytes() == before


@pytest.mark.parametrize("words", [(), ("dry_run=true",)])
def test_an_edit_of_the_network_is_refused_with_its_key(half_run: RunDirectory, words: tuple[str, ...]) -> None:
    text = half_run.experiment.read_text()
    half_run.experiment.write_text(text.replace("deter: 64", "deter: 128").replace("horizon_H: 3", "horizon_H: 2"))
    code, out, err = run(f"resume={half_run.root}", "run.train_iterations=3", *words)
    assert (code, out) == (2, "")
    assert "experiment.yaml was edited by hand: algo.horizon_H, algo.network.deter" in err
    assert "algo.network.deter=128 changes the network of the run, which has 64" in err


@pytest.mark.parametrize("name", ["result.jsonl", "checkpoints", "report"])
def test_a_link_in_a_run_is_refused(half_run: RunDirectory, tmp_path: Path, name: str) -> None:
    (half_run.root / name).rename(tmp_path / "moved")
    (half_run.root / name).symlink_to(tmp_path / "moved")
    code, out, err = run(f"resume={half_run.root}", "run.train_iterations=3")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{half_run.root / name} is a symbolic link, which is not followed" in err


def test_a_pipe_in_the_place_of_a_file_is_refused(half_run: RunDirectory) -> None:
    half_run.result.unlink()
    os.mkfifo(half_run.result)
    code, out, err = run(f"resume={half_run.root}", "run.train_iterations=3")
    assert (code, out) == (2, "")
    assert err.endswith(f"{half_run.result} is not a file; move it away.\n")


@pytest.mark.slow
def test_a_damaged_row_costs_that_row_and_an_edit_is_recorded(half_run: RunDirectory) -> None:
    first, *others = half_run.result.read_text().splitlines(keepends=True)
    half_run.result.write_text("".join([first[:50] + "\0" + first[51:], *others]))
    half_run.experiment.write_text(half_run.experiment.read_text().replace("horizon_H: 3", "horizon_H: 2"))
    code, out, err = run(f"resume={half_run.root}", "run.train_iterations=3")
    assert code == 0, out + err
    assert [row["iteration"] for row in read_rows(half_run.result)] == [2, 3]
    assert "damaged lines of result.jsonl and evaluation.jsonl, dropped: 1" in out
    assert "iterations before the checkpoint without a row in result.jsonl: 1" in out
    (entry,) = json.loads(half_run.provenance.read_text())["resumes"]
    assert (entry["rows_dropped"], entry["lines_damaged"]) == (0, 1)
    assert entry["changed"]["algo.horizon_H"] == {"before": 3, "after": 2}


@pytest.mark.slow
def test_resume_finishes_a_run_that_was_stopped_in_its_last_evaluation(half_run: RunDirectory) -> None:
    status = json.loads(half_run.status.read_text())
    half_run.status.write_text(json.dumps({**status, "state": "interrupted"}))
    code, out, err = run(f"resume={half_run.root}", EVALUATED)
    assert code == 0, out + err
    assert len(read_rows(half_run.evaluation)) == 1
    assert json.loads(half_run.summary.read_text())["state"] == "finished"
    assert len(read_rows(half_run.result)) == 2


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
def test_another_users_directory_is_refused_unless_trusted(half_run: RunDirectory) -> None:
    latest = named_checkpoint(half_run.checkpoints, "latest")
    assert latest is not None
    os.chown(latest / "policy.json", 1, 1)
    words = (f"resume={half_run.root}", "run.train_iterations=3")
    code, _, err = run(*words)
    assert code == 2
    assert "belongs to another user" in err
    assert run(*words, "trust=true")[0] == 0


@pytest.mark.slow
def test_of_two_resumes_at_once_one_is_refused_and_names_the_other(half_run: RunDirectory) -> None:
    words = (f"resume={half_run.root}", "run.train_iterations=4")
    both = [start(*words), start(*words)]
    ends = [(process.communicate(timeout=300)[1], process.returncode) for process in both]
    assert sorted(code for _, code in ends) == [0, 2]
    (refused,) = [err for err, code in ends if code == 2]
    (winner,) = [process.pid for process in both if process.returncode == 0]
    assert f"resume={half_run.root}: in use by process {winner} on" in refused
    assert refused.count("\n") == 1
    assert [row["iteration"] for row in read_rows(half_run.result)] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["0_training_ratio=32,seed=1", "it's a 'Läuf' (2)"])
@pytest.mark.parametrize("word", [lambda path: f"resume={path}", lambda path: path_word("resume", path)])
def test_a_run_is_resumed_whatever_its_directory_is_called(
    half_run: RunDirectory, name: str, word: Callable[[Path], str]
) -> None:
    root = half_run.root.rename(half_run.root.with_name(name))
    code, out, err = run(word(root), "run.train_iterations=3", "dry_run=true")
    assert (code, err) == (0, "")
    assert "train_iterations: 3" in out


def test_a_run_of_release_0_1_is_refused_in_one_line(half_run: RunDirectory) -> None:
    for checkpoint in CheckpointStore(half_run.checkpoints, 1).all():
        tree = json.loads((checkpoint / "manifest.json").read_text())
        (checkpoint / "manifest.json").write_text(json.dumps({**tree, "format": 2}))
    code, out, err = run(f"resume={half_run.root}", "run.train_iterations=3")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"resume: {checkpoint} has format 2, and its training state can only be loaded by the release that" in err


@pytest.mark.slow
def test_a_broken_checkpoint_is_skipped_for_the_one_before(published_halves: Halves, tmp_path: Path) -> None:
    root = tmp_path / "run"
    shutil.copytree(published_halves[1] / "parts", root)  # with checkpoints after two and four iterations
    newest = CheckpointStore(root / "checkpoints", 1).all()[-1]
    (newest / "policy.safetensors").write_bytes(b"half")
    code, out, err = run(f"resume={root}", "run.train_iterations=5")
    assert code == 0, err
    assert f"checkpoint {newest.name} skipped" in err
    assert "later rows dropped" in out
    assert [row["iteration"] for row in read_rows(root / "result.jsonl")] == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_a_run_killed_at_random_moments_resumes_without_lost_or_repeated_rows(tmp_path: Path) -> None:
    root = tmp_path / "run"
    words = [*WORDS, "run.train_iterations=1000000", "run.checkpoint_every=1", f"hydra.run.dir={root}",
             EVALUATED, "evaluation.every_env_steps=64", "evaluation.baselines=[]"]  # fmt: skip
    moments = random.Random(0)
    for kill in range(KILLS):
        process = start(*words) if kill == 0 else start(f"resume={root}")
        before = len(CheckpointStore(root / "checkpoints", 1).all())
        newest = (root / "checkpoints" / "latest").read_text() if before else ""
        wait_for_another_checkpoint(process, root, newest)
        time.sleep(moments.random())  # several iterations
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert CheckpointStore(root / "checkpoints", 1).newest_valid() is not None
    done = len(complete_lines(root / "result.jsonl"))
    code, out, err = run(f"resume={root}", f"run.train_iterations={done + 2}")
    assert code == 0, out + err
    rows = read_rows(root / "result.jsonl")
    assert [row["iteration"] for row in rows] == list(range(1, done + 3))
    assert [row["env_steps"] for row in rows] == sorted({row["env_steps"] for row in rows})
    assert len({tuple(row) for row in rows}) == 1
    evaluated = [row["env_steps"] for row in read_rows(root / "evaluation.jsonl")]
    assert evaluated == sorted(set(evaluated))
    assert json.loads((root / "run_summary.json").read_text())["state"] == "finished"
    assert not list((root / "checkpoints").glob(".*"))


def complete_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def wait_for_another_checkpoint(process: subprocess.Popen[str], root: Path, before: str) -> None:
    for _ in range(600):
        assert process.poll() is None, process.communicate()
        latest = root / "checkpoints" / "latest"
        if latest.exists() and latest.read_text() != before:
            return
        time.sleep(0.1)
    raise AssertionError(f"no checkpoint after {before!r}")
