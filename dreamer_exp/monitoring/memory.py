"""The memory of a run's processes in its rows, and the warning before it is used up."""

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

EVERY_S = 5.0  # between two looks at other processes, and at least between two rows of a history
LEAST_ROWS, MOST_ROWS = 20, 100  # of a history
NO_WORKERS = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
OF_THE_REPLAY = 1.1  # what its growth may look like more than it is counted

Row = Mapping[str, Any]


def rss() -> int:
    """Bytes of this process in memory."""
    return psutil.Process().memory_info().rss


def workers_rss() -> int | None:
    """Bytes in memory of the env runners, and of a learner in a process of its own, those of this machine; None
    without any. Read once in some seconds."""
    return _workers_rss(int(time.monotonic() // EVERY_S))


@lru_cache(maxsize=1)
def _workers_rss(period: int) -> int | None:
    """Ray's workers name themselves after the actor that they are; `period` is which EVERY_S it is."""
    found = [size for child in psutil.Process().children(recursive=True) if (size := _rss_of_worker(child)) is not None]
    return sum(found) if found else None


def _rss_of_worker(process: psutil.Process) -> int | None:
    try:
        name = (process.cmdline() or [""])[0]
        is_worker = name.startswith("ray::") and not name.startswith(NO_WORKERS)
        return process.memory_info().rss if is_worker else None
    except psutil.Error:  # it has just ended
        return None


class MemoryWatch:
    """Looks at each row of a run, and says once if its memory will not last to the end."""

    def __init__(self, experiment: Experiment, contract: ObservationContract) -> None:
        self._expected = forecast(experiment, contract)
        self._on_host = experiment.algo.replay_device != "cuda"
        self._env_steps = experiment.run.train_iterations * experiment.hardware.env_steps_per_iteration
        self._history: deque[Row] = deque(maxlen=MOST_ROWS)
        self._said = False

    def look(self, row: Row, available_bytes: int | None = None) -> str | None:
        """The warning, or None.

        Args:
            row: the run's newest.
            available_bytes: what this machine has free; None: asked.
        """
        if self._said or (self._history and row["time/total_s"] - self._history[-1]["time/total_s"] < EVERY_S):
            return None
        self._history.append(row)
        replay_left = max(0, self._expected.replay_bytes - row["replay/bytes"]) if self._on_host else 0
        warning = exhaustion_warning(
            list(self._history),
            memory_available() if available_bytes is None else available_bytes,
            self._env_steps - row["env_steps"],
            replay_left if self._on_host else None,
        )
        self._said = warning is not None
        return warning


def exhaustion_warning(
    history: Sequence[Row], available_bytes: int, steps_left: int, replay_left_bytes: int | None
) -> str | None:
    """Says what will be lacking, if the processes go on growing as in these rows; None without at least LEAST_ROWS.

    What the replay still takes is known, and its part in the growth left out. The growth is the lesser of that of the
    rows' two halves, so that a beginning, in which all caches fill, and a single jump make no warning.

    Args:
        history: rows, oldest first.
        available_bytes: free on this machine.
        steps_left: env steps to the end of the run.
        replay_left_bytes: what a replay on the host will still take; None for one on a GPU.
    """
    if len(history) < LEAST_ROWS:
        return None
    middle = len(history) // 2
    on_host = replay_left_bytes is not None
    growth = max(0.0, min(_growth(half, on_host) for half in (history[:middle], history[middle:])))
    at_this_pace, replay_left = int(growth * steps_left), replay_left_bytes or 0
    if at_this_pace + replay_left <= available_bytes:
        return None
    return (
        f"memory: until its end the run will take {gibibytes(at_this_pace)} more, as its processes now grow, and "
        f"{gibibytes(replay_left)} for its replay; {gibibytes(available_bytes)} are free. Take a lower "
        "algo.replay_capacity or fewer hardware.num_env_runners; resume=... goes on from its checkpoints."
    )


def _growth(rows: Sequence[Row], replay_on_host: bool) -> float:
    """Bytes an env step, by least squares, that all processes grow beside the replay."""
    steps = np.array([row["env_steps"] for row in rows], float)
    taken = np.array([row["memory/rss_bytes"] + (row["memory/env_runners_rss_bytes"] or 0) for row in rows], float)
    replay = np.array([row["replay/bytes"] for row in rows], float)
    if np.ptp(steps) == 0:
        return 0.0
    slope = float(np.polyfit(steps, taken, 1)[0])
    return slope - OF_THE_REPLAY * float(np.polyfit(steps, replay, 1)[0]) if replay_on_host else slope
