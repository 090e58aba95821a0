"""Runs whose Ray, env runner or terminal dies."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_rows
from dreamer_exp.rundir.status import EVALUATING, TRAINING, read_status
from dreamer_exp.scratch import PREFIX
from tests.experiments import NANO
from tests.paths import CHECKOUT

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

ENDLESS = ("run.train_iterations=100000", "run.checkpoint_every=100000", "evaluation.episodes=0", "tracking=none")
RUNNER = "ray::AgentEnvRunner"
BY_RAY = "; the run then ended at once and wrote no more"

ENDED_BY_RAY = """
import sys, time
import numpy, psutil, ray
from dreamer_exp.algorithms.rllib.ray_session import ray_session
from dreamer_exp.cli.supervisor import supervise
from dreamer_exp.rundir.processes import notify
from tests.experiments import nano
supervise()
notify(root=sys.argv[1])
with ray_session(nano()):
    time.sleep(1.5)  # the parent opens the log
    (raylet,) = [each for each in psutil.Process().children() if each.name() == "raylet"]
    raylet.kill()
    ray.put(numpy.zeros(1_000_000))  # a call outside of the watch
    sys.exit(3)
"""


class Running:
    """A run in its first iterations, with a home and a temporary folder of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.directory, self.home = RunDirectory(folder / "run"), folder / "home"
        self.home.mkdir()
        self.err = folder / "err"
        # it makes a token of its own
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
        with open(self.err, "w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dreamer_exp", *NANO, *ENDLESS, *words, f"hydra.run.dir={self.directory.root}"],
                env={**own, "PYTHONPATH": str(CHECKOUT), "HOME": str(self.home)}, cwd=folder,
                stdout=subprocess.DEVNULL, stderr=err,
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while len(read_rows(self.directory.result)) < 3:
            assert self.process.poll() is None, self.err.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def child(self, name: str) -> psutil.Process:
        return next(each for each in self.children if each.name().startswith(name[:15]))

    def ray_folder(self) -> Path:
        found = re.search(rf"/[^ =,]*{PREFIX}[0-9a-f]{{8}}", " ".join(self.child("raylet").cmdline()))
        assert found is not None
        return Path(found[0])

    def end(self, timeout_s: float = 10.0) -> tuple[int, str]:
        """Return the exit code and what was printed on stderr."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        _, alive = psutil.wait_procs(self.children, timeout=45)
        assert alive == []
        return code, self.err.read_text()


@pytest.mark.parametrize(
    ("victim", "runners", "named"),
    [
        ("raylet", 0, "Ray's raylet"),
        ("gcs_server", 0, "Ray's GCS server"),
        ("raylet", 1, "Ray's raylet"),
        ("gcs_server", 1, "Ray's GCS server"),
        (RUNNER, 1, "env runner 1"),
    ],
)
def test_a_killed_process_is_named_after_a_checkpoint(tmp_path: Path, victim: str, runners: int, named: str) -> None:
    run = Running(tmp_path, f"hardware.num_env_runners={runners}", f"hardware.num_cpus={runners + 1}")
    killed = run.child(victim)
    killed.kill()
    code, err = run.end()
    assert code == 1
    lines = [line for line in err.splitlines() if line.startswith("dreamer_exp:")]
    assert len(lines) == 1
    assert lines[0].startswith(f"dreamer_exp: ProcessDied: {named} (process {killed.pid}) has ended")
    status = json.loads(run.directory.status.read_text())
    assert (status["state"], status["error"]["type"]) == ("failed", "ProcessDied")
    if BY_RAY in lines[0]:  # Ray 2.60 ends a process within any call that needs the dead raylet: nothing can be saved
        assert victim == "raylet"
        assert not (run.directory.checkpoints / "latest").exists()
        return
    saved = (run.directory.checkpoints / "latest").read_text().strip()
    assert int(saved) == status["env_steps"] == read_rows(run.directory.result)[-1]["env_steps"]


def test_a_process_that_ray_ends_is_reported_by_its_parent(tmp_path: Path) -> None:
    status = tmp_path / "status.json"
    status.write_text('{"state": "running"}')
    done = subprocess.run(
        [sys.executable, "-c", ENDED_BY_RAY, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("dreamer_exp:")]
    assert done.returncode == 1
    assert re.match(r"dreamer_exp: ProcessDied: Ray's raylet \(process \d+\) has ended: ", line)
    assert BY_RAY in line
    assert json.loads(status.read_text())["error"]["type"] == "ProcessDied"


@pytest.mark.parametrize(("overlap", "activity"), [("never", EVALUATING), ("always", TRAINING)])
def test_an_env_runner_that_is_killed_within_an_evaluation_is_named_after_a_checkpoint(
    tmp_path: Path, overlap: str, activity: str
) -> None:
    words = ("evaluation.episodes=30", "evaluation.every_env_steps=100", "hardware.num_env_runners=1")
    run = Running(tmp_path, *words, "hardware.num_cpus=2", f"hardware.overlap_sampling={overlap}")
    deadline = time.monotonic() + 60
    while read_status(run.directory.root)["activity"] != activity:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed = run.child(RUNNER)
    killed.kill()
    code, err = run.end()
    assert code == 1
    assert f"dreamer_exp: ProcessDied: env runner 1 (process {killed.pid}) has ended" in err
    steps = read_rows(run.directory.result)[-1]["env_steps"]
    assert (run.directory.checkpoints / "latest").read_text() == f"{steps:09d}\n"


@pytest.mark.parametrize("overlap", ["never", "always"])
def test_one_ctrl_c_is_enough_if_an_env_runner_hangs(tmp_path: Path, overlap: str) -> None:
    run = Running(tmp_path, "hardware.num_env_runners=1", "hardware.num_cpus=2", f"hardware.overlap_sampling={overlap}")
    run.child(RUNNER).suspend()
    run.process.send_signal(signal.SIGINT)
    code, err = run.end(60)
    assert code == 130
    assert "no answer of the env runners for 10 s: what was being sampled is dropped" in err
    status = json.loads(run.directory.status.read_text())
    assert (status["state"], status["error"]) == ("interrupted", None)
    assert (run.directory.checkpoints / "latest").read_text() == f"{status['env_steps']:09d}\n"


class HungUp(NamedTuple):
    """A run that ended with its terminal.

    Attributes:
        run: the run.
        code: its exit code.
        ray_folder: where Ray was.
        modes: those of that folder and of its token while the run lasted.
    """

    run: Running
    code: int
    ray_folder: Path
    modes: tuple[int, int]


@pytest.fixture(scope="module")
def hung_up(tmp_path_factory: pytest.TempPathFactory) -> HungUp:
    run = Running(tmp_path_factory.mktemp("hung_up"), "hardware.num_env_runners=0")
    folder = run.ray_folder()
    modes = (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE((folder / "token").stat().st_mode))
    run.process.send_signal(signal.SIGHUP)
    return HungUp(run, run.end(60)[0], folder, modes)


def test_the_end_of_the_terminal_writes_a_checkpoint(hung_up: HungUp) -> None:
    assert hung_up.code == 129
    assert (hung_up.run.directory.checkpoints / "latest").exists()


def test_rays_folder_is_the_users_alone(hung_up: HungUp) -> None:
    assert hung_up.modes == (0o700, 0o600)


def test_a_run_leaves_nothing_outside_of_its_directory(hung_up: HungUp) -> None:
    assert not hung_up.ray_folder.exists()
    assert [path.name for path in hung_up.run.home.iterdir() if path.name not in (".cache", ".config")] == []


def test_nothing_is_left_of_a_killed_run_but_its_directory(tmp_path: Path) -> None:
    run = Running(tmp_path, "hardware.num_env_runners=1", "hardware.num_cpus=2")
    folder = run.ray_folder()
    run.process.kill()
    assert run.process.wait(10) == -signal.SIGKILL
    _, alive = psutil.wait_procs(run.children, timeout=20)
    assert alive == []
    assert not folder.exists()
