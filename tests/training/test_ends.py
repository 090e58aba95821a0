"""Ends of real runs: signals, failures, and environments that end the process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import programs
from tests.experiments import NANO
from tests.paths import CHECKOUT
from tests.training.processes import command, environment, only_run, read_json, run

pytestmark = pytest.mark.end_to_end

BROKEN_ENV = '''
import gymnasium
import numpy as np


class Broken(gymnasium.Env):
    """Rewards NaN after some steps, as an unstable simulator does."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(3, np.float32), float("nan") if self.steps > 9 else 0.0, False, False, {}


gymnasium.register("Broken-v0", Broken)
'''


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_ends_the_run_with_a_checkpoint_and_a_summary(tmp_path: Path, number: int, code: int) -> None:
    words = ("run.train_iterations=100000", "evaluation.episodes=0", "tracking=none")
    process = subprocess.Popen(command(*words), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    wait_for_rows(tmp_path, process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == code
    assert "Interrupted: checkpoint at" in output
    directory = only_run(tmp_path)
    assert read_json(directory.status)["state"] == "interrupted"
    steps = read_json(directory.summary)["final"]["env_steps"]
    assert (directory.checkpoints / "latest").read_text().strip() == f"{steps:09d}"


def run_in(folder: Path, env_id: str, module: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run in an environment that a module defines, without evaluations."""
    (folder / f"{env_id.partition(':')[0]}.py").write_text(module)
    nano = [word for word in NANO if not word.startswith("env.")]
    task = ("env=gym", f"env.id={env_id}", "obs_contract=vector", "tracking=none", "evaluation.episodes=0")
    path = os.pathsep.join([str(folder), str(CHECKOUT)])
    return programs.run(*nano, *task, *words, cwd=folder, env=environment(PYTHONPATH=path), trains=True)


def wait_for_rows(folder: Path, process: subprocess.Popen[str]) -> None:
    wait_for(lambda: bool(list(folder.glob("outputs/*/result.jsonl"))), process)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("algo", "num_env_runners"),
    [
        ("dreamerv3", 0),
        pytest.param("dreamerv3", 2, marks=pytest.mark.slow),
        pytest.param("dreamerv3_rllib", 0, marks=pytest.mark.slow),
        pytest.param("dreamerv3_rllib", 2, marks=pytest.mark.slow),
    ],
)
def test_a_failure_is_printed_in_one_line_and_recorded(tmp_path: Path, algo: str, num_env_runners: int) -> None:
    # without a limit of 0 faults are only logged
    words = (f"algo={algo}", f"hardware.num_env_runners={num_env_runners}", "hardware.num_cpus=2", "env.max_faults=0")
    done = run_in(tmp_path, "broken_env:Broken-v0", BROKEN_ENV, *words)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    directory = only_run(tmp_path)
    assert read_json(directory.status)["state"] == "failed"
    assert "reward is nan" in read_json(directory.summary)["error"]["message"]
    assert "Traceback" in directory.error.read_text()


LEAVING_ENV = '''
import ctypes
import os
import sys
import gymnasium
import numpy as np


class Leaving(gymnasium.Env):
    """Ends the process after some steps."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    steps = 0

    def reset(self, *, seed=None, options=None):
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.steps += 1
        if self.steps == 9:
            LEAVE
        return np.zeros(3, np.float32), 0.0, False, False, {}


gymnasium.register("Leaving-v0", Leaving)
'''


def leaving_env(statement: str) -> str:
    """Return the module of an environment that executes a statement in its ninth step."""
    return LEAVING_ENV.replace("LEAVE", statement)


@pytest.mark.slow
def test_an_environment_that_ends_its_env_runner_is_a_death_in_one_line(tmp_path: Path) -> None:
    words = ("hardware.num_env_runners=1", "hardware.num_cpus=2")
    done = run_in(tmp_path, "leaving_env:Leaving-v0", leaving_env("os._exit(0)"), *words)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "env runner 1 (process " in line
    assert "or ended by its environment (os._exit)" in line
    assert read_json(only_run(tmp_path).status)["state"] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize("runners", [0, 1])
def test_a_keyboard_interrupt_of_an_environment_is_its_failure(tmp_path: Path, runners: int) -> None:
    words = (f"hardware.num_env_runners={runners}", f"hardware.num_cpus={runners + 1}")
    done = run_in(tmp_path, "leaving_env:Leaving-v0", leaving_env("raise KeyboardInterrupt"), *words)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "EnvironmentFailed: KeyboardInterrupt (raised by step() of env.id='leaving_env:Leaving-v0')" in line


@pytest.mark.slow
def test_one_ctrl_c_is_enough_if_an_environment_does_not_return(tmp_path: Path) -> None:
    hangs = tmp_path / "hangs"
    (tmp_path / "leaving_env.py").write_text(
        leaving_env(f"open({str(hangs)!r}, 'w').close()\n            while True: pass").replace("== 9", "== 300")
    )
    nano = [word for word in NANO if not word.startswith("env.")]
    task = ("env=gym", "env.id=leaving_env:Leaving-v0", "obs_contract=vector", "hardware.num_env_runners=0")
    path = os.pathsep.join([str(tmp_path), str(CHECKOUT)])
    process = subprocess.Popen(
        [sys.executable, "-m", "dreamer_exp", *nano, *task, "run.train_iterations=9999", "evaluation.episodes=0",
         "tracking=none"],
        cwd=tmp_path, env=environment(PYTHONPATH=path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(hangs.exists, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    hanging = "step() of env.id='leaving_env:Leaving-v0' did not return for 10 s: what was being sampled is dropped"
    assert hanging in err
    directory = only_run(tmp_path)
    status = read_json(directory.status)
    assert (status["state"], status["error"]) == ("interrupted", None)
    assert (directory.checkpoints / "latest").read_text() == f"{status['env_steps']:09d}\n"


@pytest.mark.parametrize(
    ("leave", "line"),
    [("sys.exit(0)", "sys.exit(0) (raised by step() of env.id='leaving_env:Leaving-v0')"),
     ("os._exit(0)", "env.id='leaving_env:Leaving-v0' or a library ended the process"),
     ("os.abort()", "killed by SIGABRT: env.id='leaving_env:Leaving-v0' or a library ended the process"),
     ("ctypes.string_at(0)", "killed by SIGSEGV: env.id='leaving_env:Leaving-v0' or a library ended the process")],
)  # fmt: skip
@pytest.mark.slow
def test_a_run_whose_environment_ends_it_has_failed(tmp_path: Path, leave: str, line: str) -> None:
    done = run_in(tmp_path, "leaving_env:Leaving-v0", leaving_env(leave), "hardware.num_env_runners=0")
    assert done.returncode == 1
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    directory = only_run(tmp_path)
    status = read_json(directory.status)
    assert status["state"] == "failed"
    assert line in status["error"]["message"]
    # of os._exit there is no trace
    assert directory.error.exists() == (leave != "os._exit(0)")
    assert leave == "os._exit(0)" or "in step" in directory.error.read_text()


@pytest.mark.slow
def test_a_run_that_reached_its_goal_is_finished_and_resumable_with_another_limit(tmp_path: Path) -> None:
    words = ("tracking=none", "run.train_iterations=100", "evaluation.every_env_steps=32", "evaluation.baselines=[]")
    done = run(tmp_path, *words, "run.stop_when={return_mean: -1000, for: 2}")
    assert done.returncode == 0, done.stderr
    directory = only_run(tmp_path)
    status, steps = read_json(directory.status), read_json(directory.summary)["evaluations"][-1]["env_steps"]
    assert (status["state"], status["end_reason"]) == ("finished", "run.stop_when={return_mean: -1000, for: 2}")
    assert (directory.checkpoints / "latest").read_text().strip() == f"{steps:09d}"
    assert "run.stop_when.return_mean=null" in done.stdout  # of the next commands

    refused = run(tmp_path, f"resume={directory.root}", nano=())
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "dreamer_exp: resume: the run has ended by run.stop_when={return_mean: -1000, for: 2}; a larger value, or "
        "null, lets it continue."
    ]

    more = ("run.stop_when.return_mean=null", f"run.max_env_steps={steps + 32}")
    assert run(tmp_path, f"resume={directory.root}", *more, nano=()).returncode == 0
    status = read_json(directory.status)
    assert (status["end_reason"], status["env_steps"]) == (f"run.max_env_steps={steps + 32}", steps + 32)
