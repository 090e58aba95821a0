"""A warning when other programs compete with a CPU learner for the machine's CPUs."""

from collections.abc import Mapping
from typing import Any

import psutil

from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.config.experiment import Experiment

LOAD_PER_CPU = 1.5  # runnable programs per CPU that count as contention; one run alone stays near 1
MIN_LOAD = 3.0
LOAD_WINDOW_S = 60.0  # psutil.getloadavg()[0] averages over the last minute


class ContentionWatch:
    """Warning, issued once, that a CPU learner shares its CPUs with too many other programs.

    The learner's threads synchronise after every operation and spin until the last one arrives. If another program
    occupies a thread's CPU, all threads wait for that program's time slice. Two runs of two threads on two CPUs slowed
    an update of 60 ms to between 420 and 4,900 ms; two runs of one thread each took 66 to 70 ms
    (benchmarks/update_time.py --size nano --length 16 --horizon 5).
    """

    def __init__(self, experiment: Experiment) -> None:
        hardware = experiment.hardware
        threaded = spec_of(experiment.algo).uses_learner_threads and not hardware.num_gpus_per_learner
        self._disabled = hardware.learner_threads == 1 or not threaded
        self._start_s: float | None = None

    def check(self, row: Mapping[str, Any], load: float | None = None, cpus: int | None = None) -> str | None:
        """Return the warning if it is due, otherwise None.

        Args:
            row: the newest metrics row.
            load: runnable programs, averaged over the last minute; None reads the machine's.
            cpus: CPUs of the complete machine, which the load refers to; None reads the machine's.
        """
        self._start_s = row["time/total_s"] if self._start_s is None else self._start_s
        if self._disabled or row["time/total_s"] - self._start_s < LOAD_WINDOW_S:
            return None
        load = psutil.getloadavg()[0] if load is None else load
        cpus = (psutil.cpu_count() or 1) if cpus is None else cpus
        if load < max(MIN_LOAD, LOAD_PER_CPU * cpus):
            return None
        self._disabled = True
        return (
            f"CPU contention: load {load:.1f} on {cpus} CPUs; updates may be several times slower. "
            "Use hardware.num_cpus=1 for a single thread."
        )
