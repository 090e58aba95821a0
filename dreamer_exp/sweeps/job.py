"""One job, in the process that a launcher gave it: found finished, or run in a process of its own (watch.py).

Imports neither ray nor torch. A crash, an OOM kill or a hang of the job's process costs this one job.
"""

import os
import re
import signal
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from dreamer_exp.config import saved_experiment
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import AUTO
from dreamer_exp.hardware import Machine, probe
from dreamer_exp.rundir.atomic import write_text
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_tree
from dreamer_exp.sweeps.plan import load_job
from dreamer_exp.sweeps.records import (
    FAILED,
    FINISHED,
    REQUEST,
    SLOTS,
    STOP,
    WAITING,
    JobRecord,
    SweepRecord,
)
from dreamer_exp.sweeps.slots import POLL_S, share, slot_environment, take_slot
from dreamer_exp.sweeps.watch import Limits, run_process


class JobFailed(Exception):
    """A job of a sweep failed; job.json says how, and the sweep's summary tells it."""


def run_job(config: DictConfig, num: int, name: str, root: Path) -> float | None:
    """Runs one job to its end, or finds it finished already; returns its objective.

    Args:
        config: the job's, as composed.
        num: its number.
        name: what sets it apart, if the sweep's record doesn't say: words between commas.
        root: its directory.

    Raises:
        JobFailed: it failed, was stopped, or has no objective to search by; job.json is written.
    """
    belong_to_the_sweep()
    record = SweepRecord.read(root.parent)
    job = JobRecord(num, record.names[num] if record.names else re.sub(r",(?=[\w.]+=)", " ", name), WAITING)
    job.write(root)
    stop = root.parent / STOP
    at_once = nullcontext(None if stop.exists() else 0)
    with take_slot(root.parent / SLOTS, record.slots, stop.exists) if record.slots else at_once as slot:
        if slot is None:
            raise JobFailed("stopped before it began")
        machine = probe()
        try:
            experiment = load_job(config, part_of(machine, record))
        except UserError as error:
            raise _end(root, job.ended(FAILED, str(error), 2)) from error
        if not is_finished(root, experiment, config):
            write_text(root / REQUEST, experiment.to_yaml())
            environment = {**_slot(machine, record.slots, slot), **_of_shared_ray(record.ray_address)}
            ended = run_process(root, job, environment, record.ray_address, Limits.of(config.sweep))
            if ended.state != FINISHED:
                raise _end(root, ended)
            job = ended
        job.ended(FINISHED, None, 0).write(root)
    objective = experiment.run.objective
    value = read_tree(RunDirectory(root).summary).get("final", {}).get(objective)
    if value is None and not record.names:  # a sweeper that searches is at a loss
        raise _end(
            root, job.ended(FAILED, f"run.objective={objective} is null at its end: search by another figure", 0)
        )
    return float(value) if value is not None else None


def belong_to_the_sweep() -> None:
    """In a launcher's worker: signals are for the sweep's own process and for the jobs, which it asks to end; and a
    worker whose parent is gone ends, whereupon its job writes a checkpoint and ends too."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return  # the sweep's own process, or a worker that has been here before
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, lambda *_: None)  # not SIG_IGN, which the job's process would be born with
    parent = os.getppid()

    def watch_parent() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
        os._exit(1)

    threading.Thread(target=watch_parent, daemon=True).start()


def is_finished(root: Path, experiment: Experiment, config: DictConfig) -> bool:
    """Whether this directory holds this very experiment, done; what "auto" became on other hardware doesn't count.

    Args:
        root: the job's directory.
        experiment: what it is to be.
        config: the same as composed, "auto" still in it.
    """
    summary = read_tree(RunDirectory(root).summary)
    if summary.get("state") != FINISHED:
        return False
    hardware, algo = saved_experiment.resolved_in(RunDirectory(root).experiment)
    kept = {name: algo[name] for name in config.algo if config.algo[name] == AUTO}
    as_it_was = replace(experiment, hardware=hardware, algo=replace(experiment.algo, **kept))
    return summary.get("fingerprint") in (experiment.fingerprint(), as_it_was.fingerprint())


def part_of(machine: Machine, record: SweepRecord) -> Machine:
    """A job's part of this machine; of the memory, of what was free at the sweep's start: others have theirs by now."""
    if not record.slots:
        return machine
    part = share(machine, record.slots)
    return replace(part, memory_available_bytes=record.memory_available_bytes // record.slots)


def _slot(machine: Machine, slots: int | None, slot: int) -> dict[str, str]:
    """Threads and GPUs of a job that shares its machine with others."""
    return slot_environment(machine, slots, slot, os.environ.get("CUDA_VISIBLE_DEVICES")) if slots else {}


def _of_shared_ray(address: str | None) -> dict[str, str]:
    """A local Ray (2.60) asks for a token, and one that is joined by address looks for it under this mode alone."""
    return {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "token")} if address else {}


def _end(root: Path, job: JobRecord) -> JobFailed:
    """Writes a job's bad end; what to raise for it."""
    job.write(root)
    return JobFailed(f"job {job.num} ({job.name}): {job.error}")
