"""The Ray that all jobs of a sweep share, on loopback: several local instances on one machine are not supported."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STARTED = "ray at "


class RayDidNotStart(Exception):
    """The shared Ray could not be started."""


@contextmanager
def shared_ray(num_cpus: int, num_gpus: int) -> Iterator[str]:
    """Ray in a process of its own, for as long as this lasts; yields its address.

    That process ends when its standard input does: with this block, and with this process, however it dies.

    Raises:
        RayDidNotStart: with what it said.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "dreamer_exp.sweeps.shared_ray", str(num_cpus), str(num_gpus)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the jobs, which end in their own time
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if line.startswith(STARTED)), "")
        if not line:
            raise RayDidNotStart(f"Ray did not start: {process.communicate()[1][-500:]}")
        yield line.removeprefix(STARTED).strip()
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def hold(num_cpus: int, num_gpus: int) -> None:
    """Starts Ray, says where, and stops it when standard input ends."""
    from dreamer_exp.algorithms.rllib import ray_session

    print(f"{STARTED}{ray_session.start_local(num_cpus, num_gpus)}", flush=True)
    sys.stdin.read()
    ray_session.stop_local()


if __name__ == "__main__":
    hold(int(sys.argv[1]), int(sys.argv[2]))
