"""The Ray that all jobs of a sweep share, on loopback, because Ray supports one local instance per machine."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STARTED = "ray at "


class RayDidNotStart(Exception):
    """A shared Ray that could not be started."""


@contextmanager
def shared_ray(num_cpus: int, num_gpus: int) -> Iterator[str]:
    """Run Ray in a separate process within the block; yield its address.

    The process ends when its standard input closes: at the end of the block, or when this process dies.

    Raises:
        RayDidNotStart: Ray did not start; the message ends with its output.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "dreamer_exp.sweeps.shared_ray", str(num_cpus), str(num_gpus)],
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
    """Start Ray, print its address, and stop it when standard input closes."""
    from dreamer_exp.algorithms.rllib import ray_session

    print(f"{STARTED}{ray_session.start_local(num_cpus, num_gpus)}", flush=True)
    sys.stdin.read()
    ray_session.stop_local()


if __name__ == "__main__":
    hold(int(sys.argv[1]), int(sys.argv[2]))
