"""The Ray that all jobs of a sweep share, on loopback, because Ray supports one local instance per machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dreamer_exp.environment_variables import environment_variables
from dreamer_exp.rundir import lock
from dreamer_exp.scratch import TOKEN_PATH
from dreamer_exp.sweeps.records import job_directories
from dreamer_exp.sweeps.slots import POLL_S

STARTED = "ray at "
JOBS_END_S = 90.0  # longer than a job may take to end (watch.GRACE_S)
STOP_S = JOBS_END_S + 30.0


class RayDidNotStart(Exception):
    """A shared Ray that could not be started."""


@contextmanager
def shared_ray(num_cpus: int, num_gpus: int, sweep: Path) -> Iterator[str]:
    """Run Ray in a separate process within the block; yield its address.

    The process ends when its standard input closes, at the end of the block or when this process dies, and no job of
    the sweep is running any more.

    Raises:
        RayDidNotStart: Ray did not start; the message ends with its output.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "dreamer_exp.sweeps.shared_ray", str(num_cpus), str(num_gpus), str(sweep)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C must not stop Ray before the jobs
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if line.startswith(STARTED)), "")
        if not line:
            raise RayDidNotStart(f"Ray did not start: {process.communicate()[1][-500:]}")
        address, _, token = line.removeprefix(STARTED).strip().partition(" ")
        with environment_variables({TOKEN_PATH: token} if token else {}):  # for the launcher's workers and their jobs
            yield address
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def hold(num_cpus: int, num_gpus: int, sweep: Path) -> None:
    """Start Ray, print its address and its token's path, and stop it when the sweep and its jobs have ended.

    Standard input closes at the end of the sweep, and when its process is killed. Then its jobs write their
    checkpoints, for which they need Ray.
    """
    from dreamer_exp.algorithms.rllib.ray_session import local_ray

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with local_ray(num_cpus, num_gpus) as address:
        print(f"{STARTED}{address} {os.environ.get(TOKEN_PATH, '')}", flush=True)
        sys.stdin.read()
        deadline = time.monotonic() + JOBS_END_S
        while _has_running_job(sweep) and time.monotonic() < deadline:
            time.sleep(POLL_S)


def _has_running_job(sweep: Path) -> bool:
    return any(lock.is_held(root) for _, root in job_directories(sweep))


if __name__ == "__main__":
    hold(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
