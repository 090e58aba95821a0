"""The memory of a run's processes, and a warning before it is exhausted."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import psutil

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.formatting import gibibytes
from dreamer_exp.hardware import memory_available
from dreamer_exp.planning.forecast import forecast
from dreamer_exp.planning.work import planned_iterations

EVERY_S = 5.0  # shortest time between two reads of other processes, and between two rows of a history
MIN_ROWS, MAX_ROWS = 20, 100  # of a history
NO_WORKERS = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
REPLAY_OVERHEAD = 1.1  # resident memory that a byte of replay may take

Row = Mapping[str, Any]


def rss() -> int:
    """Return the resident memory of this process in bytes."""
    return psutil.Process().memory_info().rss


def workers_rss() -> int | None:
    """Return the resident memory of this machine's env runners and remote learners in bytes; None without any.

    The value is read at most once every EVERY_S seconds.
    """
    return _workers_rss(int(time.monotonic() // EVERY_S))


@lru_cache(maxsize=1)
def _workers_rss(period: int) -> int | None:
    """Return `workers_rss` of a period of EVERY_S seconds. Ray names its worker processes after their actors."""
    found = [size for child in psutil.Process().children(recursive=True) if (size := _rss_of_worker(child)) is not None]
    return sum(found) if found else None


def _rss_of_worker(process: psutil.Process) -> int | None:
    try:
        name = (process.cmdline() or [""])[0]
        is_worker = name.startswith("ray::") and not name.startswith(NO_WORKERS)
        return process.memory_info().rss if is_worker else None
    except psutil.Error:  # the process has just ended
        return None


class MemoryWatch:
    """Warning, issued once, that the memory will not last to the end of the run."""

    def __init__(self, experiment: Experiment, contract: ObservationContract) -> None:
        self._expected = forecast(experiment, contract)
        self._on_host = not self._expected.memory.replay_on_gpu
        self._env_steps = planned_iterations(experiment) * experiment.hardware.env_steps_per_iteration
        self._history: deque[Row] = deque(maxlen=MAX_ROWS)
        self._warned = False

    def check(self, row: Row, available_bytes: int | None = None) -> str | None:
        """Return the warning if it is due, otherwise None.

        Args:
            row: the newest metrics row.
            available_bytes: free memory of this machine; None reads it.
        """
        if self._warned or (self._history and row["time/total_s"] - self._history[-1]["time/total_s"] < EVERY_S):
            return None
        self._history.append(row)
        replay_left = max(0, self._expected.replay_bytes - row.get("replay/bytes", 0)) if self._on_host else None
        warning = exhaustion_warning(
            list(self._history),
            memory_available() if available_bytes is None else available_bytes,
            self._env_steps - row["env_steps"],
            replay_left,
        )
        self._warned = warning is not None
        return warning


def exhaustion_warning(
    history: Sequence[Row], available_bytes: int, steps_left: int, replay_left_bytes: int | None
) -> str | None:
    """Return a warning if memory runs out at the present rate of growth; None if it lasts, or below MIN_ROWS rows.

    The growth of the replay is known and excluded. The growth is the smaller one of the history's two halves, so that
    neither the beginning of a run, in which all caches fill, nor a single jump causes a warning.

    Args:
        history: metrics rows, oldest first.
        available_bytes: free memory of this machine.
        steps_left: env steps to the end of the run.
        replay_left_bytes: bytes that a replay on the host will still take; None for a replay on a GPU.
    """
    if len(history) < MIN_ROWS:
        return None
    middle = len(history) // 2
    on_host = replay_left_bytes is not None
    growth = max(0.0, min(_growth(half, on_host) for half in (history[:middle], history[middle:])))
    process_growth, replay_left = int(growth * steps_left), replay_left_bytes or 0
    if process_growth + replay_left <= available_bytes:
        return None
    return (
        f"memory: to its end the run will need {gibibytes(process_growth)} more at the present growth of its "
        f"processes, and {gibibytes(replay_left)} for its replay; {gibibytes(available_bytes)} are free. Reduce "
        "algo.replay_capacity or hardware.num_env_runners; resume=RUN continues from the last checkpoint."
    )


def _growth(rows: Sequence[Row], replay_on_host: bool) -> float:
    """Return the growth of all processes without the replay, in bytes an env step, by least squares."""
    steps = np.array([row["env_steps"] for row in rows], float)
    taken = np.array([row["memory/rss_bytes"] + (row["memory/env_runners_rss_bytes"] or 0) for row in rows], float)
    replay = np.array([row.get("replay/bytes", 0) for row in rows], float)
    if np.ptp(steps) == 0:
        return 0.0
    slope = float(np.polyfit(steps, taken, 1)[0])
    return slope - REPLAY_OVERHEAD * float(np.polyfit(steps, replay, 1)[0]) if replay_on_host else slope
