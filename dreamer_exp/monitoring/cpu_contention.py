"""The warning where a CPU learner's threads wait for other programs."""

from collections.abc import Mapping
from typing import Any

import psutil

from dreamer_exp.config.experiment import Experiment

CROWDED = 1.5  # programs that want to run, of which there is one a CPU; a run by itself keeps them at 1
AT_LEAST = 3.0
LOOKED_BACK_S = 60.0  # by the load that the system tells


class ContentionWatch:
    """Says once that this machine has too few CPUs for all that runs on it, if that can slow the learner down.

    Its threads meet after every operation, and each spins until the last is there: where another program holds that
    one's CPU, for that program's whole turn. Two runs of two threads on two CPUs made an update of 60 ms take 420 to
    4,900 ms, two of one thread each 66 to 70 (benchmarks/update_time.py --size nano --length 16 --horizon 5).
    """

    def __init__(self, experiment: Experiment) -> None:
        hardware = experiment.hardware
        self._threads = hardware.learner_threads
        on_cpu = experiment.algo.learner == "fast" and not hardware.num_gpus_per_learner
        self._said = self._threads == 1 or not on_cpu
        self._begun_s: float | None = None

    def look(self, row: Mapping[str, Any], load: float | None = None, cpus: int | None = None) -> str | None:
        """The warning, or None.

        Args:
            row: the run's newest.
            load: programs that want to run, over the last minute; None: asked.
            cpus: of the whole machine, as the load is; None: asked.
        """
        self._begun_s = row["time/total_s"] if self._begun_s is None else self._begun_s
        if self._said or row["time/total_s"] - self._begun_s < LOOKED_BACK_S:
            return None
        load = psutil.getloadavg()[0] if load is None else load
        cpus = (psutil.cpu_count() or 1) if cpus is None else cpus
        self._said = load >= max(AT_LEAST, CROWDED * cpus)
        if not self._said:
            return None
        return (
            f"{load:.1f} programs want this machine's {cpus} CPUs: the learner's {self._threads} threads wait for one "
            "another at every operation then, which makes updates many times as long; hardware.num_cpus=1 "
            "learns with one thread, which waits for none."
        )
