"""What a run leaves when its processes are killed at random moments.

    python benchmarks/kills.py [--times 10] [--victims parent runner raylet gcs] [--seed 0]

Each kill is `kill -9` of one process of a new run of the nano model with one or two env runners, in turn within
training (sampling and updates), a checkpoint and an evaluation. It takes half a minute. The table counts kills after
which there was:

- line: stderr had one line, which names the victim. The parent, which the user started, can print none.
- checkpoint: the newest one is of the last env step that was counted. The end of the parent kills the run at once.
- failed: status.json has the state failed. After the kill of the parent it names a process that is dead.
- seconds: from the kill to the end of the process that the user started, mean and most.
- processes, folders: processes and temporary folders of the run that exist AFTER_S later, in all.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_rows
from dreamer_exp.rundir.status import EVALUATING, TRAINING, read_status, state_of
from dreamer_exp.scratch import PREFIX

WORDS = (
    "algo.model_size=nano", "algo.batch_size_B=4", "algo.batch_length_T=8", "algo.horizon_H=3",
    "algo.training_ratio=16",
    "env.scenario=open", "env.max_steps=20", "evaluation.episodes=8", "evaluation.every_env_steps=100",
    "run.train_iterations=1000000", "run.checkpoint_every=5", "hardware=cpu", "tracking=none",
)  # fmt: skip
PROCESSES = {"runner": "ray::AgentEnvRunner", "raylet": "raylet", "gcs": "gcs_server"}
NAMES = {"runner": "env runner", "raylet": "Ray's raylet", "gcs": "Ray's GCS server"}
PARENT = "parent"
MOMENTS = ("training", "checkpoint", "evaluation")
START_S = 600.0  # also on a busy machine
END_S = 60.0
AFTER_S = 5.0
COMM = 15  # characters of a process's name that the kernel keeps


@dataclass
class Result:
    """What one kill left."""

    line: bool
    checkpoint: bool
    failed: bool
    seconds: float
    processes: list[str]
    folder: bool

    def __str__(self) -> str:
        kept = [name for name in ("line", "checkpoint", "failed") if getattr(self, name)]
        left = [*self.processes, *(["the temporary folder"] if self.folder else [])]
        return f"{self.seconds:.1f} s, {', '.join(kept) or 'no end'}; left: {', '.join(left) or 'nothing'}"


class Run:
    """A run that has trained, with a folder for its files."""

    def __init__(self, folder: Path, runners: int, seed: int) -> None:
        self.directory, self.err = RunDirectory(folder / "run"), folder / "err"
        hardware = (f"hardware.num_env_runners={runners}", f"hardware.num_cpus={runners + 1}", f"run.seed={seed}")
        with self.err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dreamer_exp", *WORDS, *hardware, f"hydra.run.dir={self.directory.root}"],
                stdout=subprocess.DEVNULL, stderr=err, start_new_session=True,
            )  # fmt: skip
        self.wait_until(lambda: len(read_rows(self.directory.result)) > 6)
        self.family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        words = " ".join(word for each in self.family for word in _command(each))
        found = re.search(rf"/[^ =,]*{PREFIX}[0-9a-f]{{8}}", words)
        assert found is not None
        self.ray_folder = Path(found[0])

    def wait_until(self, is_reached: Callable[[], bool]) -> None:
        """Wait for a moment of the run; raise SystemExit if it does not come."""
        deadline = time.monotonic() + START_S
        while not is_reached():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise SystemExit(f"the run did not get there: {self.err.read_text()}")
            time.sleep(0.002)

    def wait_for(self, moment: str, generator: random.Random) -> None:
        """Wait for a random time within training, a checkpoint or an evaluation."""
        if moment == "checkpoint":
            self.wait_until(lambda: bool(list(self.directory.checkpoints.glob(".*.tmp"))))
            time.sleep(generator.uniform(0.0, 0.1))
        else:
            activity = TRAINING if moment == "training" else EVALUATING
            other = EVALUATING if moment == "training" else TRAINING
            self.wait_until(lambda: read_status(self.directory.root).get("activity") == other)
            self.wait_until(lambda: read_status(self.directory.root).get("activity") == activity)
            time.sleep(generator.uniform(0.0, 0.5))

    def victim(self, name: str, generator: random.Random) -> psutil.Process:
        """Return the process to kill."""
        if name == PARENT:
            return self.family[0]
        return generator.choice([each for each in self.family if _name(each)[:COMM] == PROCESSES[name][:COMM]])

    def end(self, name: str, victim: psutil.Process) -> Result:
        """Kill the victim, wait for the end, and return what is left."""
        start = time.monotonic()
        victim.send_signal(signal.SIGKILL)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        seconds = time.monotonic() - start
        time.sleep(AFTER_S)
        left = [_name(each) for each in self.family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
        lines = [line for line in self.err.read_text().splitlines() if line.startswith("dreamer_exp:")]
        status, rows = read_status(self.directory.root), read_rows(self.directory.result)
        latest = self.directory.checkpoints / "latest"
        saved = int(latest.read_text()) if latest.exists() else 0
        return Result(
            line=len(lines) == 1 and f"{NAMES.get(name)}" in lines[0] and str(victim.pid) in lines[0],
            checkpoint=saved == status.get("env_steps") == rows[-1]["env_steps"],
            failed=status.get("state") == "failed" if name != PARENT else state_of(status) == "dead",
            seconds=seconds,
            processes=left,
            folder=self.ray_folder.exists(),
        )

    def show(self) -> str:
        """Return the end of a run that was not as it should be: its lines on stderr, and its last state."""
        status = read_status(self.directory.root)
        return json.dumps({"stderr": self.err.read_text()[-600:], "state": status.get("state")}, indent=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--victims", nargs="+", choices=(PARENT, *PROCESSES), default=(PARENT, *PROCESSES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    results: dict[str, list[Result]] = {name: [] for name in options.victims}
    for name in options.victims:
        for number in range(options.times):
            generator = random.Random(f"{options.seed} {name} {number}")
            result = kill(name, MOMENTS[number % len(MOMENTS)], generator, f"{name} {number + 1}/{options.times}")
            results[name].append(result)
    print()
    columns = ("victim", "times", "line", "checkpoint", "failed", "seconds", "processes", "folders")
    print(("{:>12}" * len(columns)).format(*columns))
    for name, kills in results.items():
        print(("{:>12}" * len(columns)).format(*row(name, kills)))


def kill(name: str, moment: str, generator: random.Random, title: str) -> Result:
    """Start a run, kill one of its processes, and print and return what is left."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        run = Run(Path(folder), generator.choice((1, 2)), generator.randrange(1000))
        run.wait_for(moment, generator)
        result = run.end(name, run.victim(name, generator))
        print(f"{title}, within {moment}: {result}", flush=True)
        if name != PARENT and not (result.line and result.checkpoint and result.failed):
            print(run.show(), flush=True)
        for each in run.family:
            if each.is_running():
                each.kill()
    return result


def row(name: str, kills: list[Result]) -> list[str]:
    """Return the cells of a victim."""
    seconds = [each.seconds for each in kills]
    counts = [
        "-" if name == PARENT and key != "failed" else str(sum(getattr(each, key) for each in kills))
        for key in ("line", "checkpoint", "failed")
    ]
    left = str(sum(len(each.processes) for each in kills)), str(sum(each.folder for each in kills))
    return [name, str(len(kills)), *counts, f"{sum(seconds) / len(seconds):.1f}/{max(seconds):.1f}", *left]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


if __name__ == "__main__":
    os.environ["PYTHONUNBUFFERED"] = "1"
    main()
