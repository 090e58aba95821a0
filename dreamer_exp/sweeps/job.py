"""A job of a sweep, in a launcher's worker: skipped if finished, else run in a separate process (watch.py).

Imports neither ray nor torch. A crash, an out-of-memory kill or a hang of the job's process ends only this job.
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
from dreamer_exp.rundir import lock
from dreamer_exp.rundir.atomic import write_text
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_tree
from dreamer_exp.sweeps.losers import LoserWatch, StopRule
from dreamer_exp.sweeps.plan import load_job
from dreamer_exp.sweeps.records import (
    FAILED,
    FINISHED,
    REQUEST,
    SLOTS,
    STOP,
    STOPPED,
    WAITING,
    JobRecord,
    SweepRecord,
)
from dreamer_exp.sweeps.slots import POLL_S, share, slot_environment, take_slot
from dreamer_exp.sweeps.watch import Limits, run_process

_busy = threading.Lock()  # held by a worker while it watches a job


class JobFailed(Exception):
    """A failed job of a sweep; job.json and the sweep's summary hold the error."""


def run_job(config: DictConfig, num: int, name: str, root: Path) -> float | None:
    """Run a job to its end unless it has ended already; return its objective, of a stopped one the last.

    Args:
        config: the composed config of the job.
        num: its number.
        name: its overrides, separated by commas; used if the sweep's record has no names.
        root: its directory.

    Raises:
        JobFailed: it failed, was stopped, or has no objective for a search; job.json is written.
    """
    record = SweepRecord.read(root.parent)
    leave_signals_to_the_sweep(root.parent, is_here=bool(record.slots))
    job = JobRecord(num, record.names[num] if record.names else re.sub(r",(?=[\w.]+=)", " ", name), WAITING)
    job.write(root)
    stop = root.parent / STOP
    at_once = nullcontext(None if stop.exists() else 0)
    with take_slot(root.parent / SLOTS, record.slots, stop.exists) if record.slots else at_once as slot:
        if slot is None:
            raise JobFailed("stopped before it started")
        machine = probe()
        try:
            experiment = load_job(config, machine_share(machine, record))
        except UserError as error:
            raise _end(root, job.ended(FAILED, str(error), 2)) from error
        rule = StopRule.of(config.sweep, experiment)
        if rule is not None and is_finished(root, experiment, config, STOPPED):
            job = job.ended(STOPPED, read_tree(RunDirectory(root).status).get("end_reason"))
            job.write(root)
        elif not is_finished(root, experiment, config):
            write_text(root / REQUEST, experiment.to_yaml())
            environment = {**_slot_variables(machine, record.slots, slot), **_ray_variables(record.ray_address)}
            with _busy:
                ended = run_process(
                    root, job, environment, record.ray_address, Limits.of(config.sweep), experiment.env.label,
                    losers=None if rule is None else LoserWatch(rule, root, experiment),
                )  # fmt: skip
                ended.write(root)
            if ended.state not in (FINISHED, STOPPED):
                raise _failed(ended)
        else:
            job.ended(FINISHED, None, 0).write(root)
    objective = experiment.run.objective
    value = read_tree(RunDirectory(root).summary).get("final", {}).get(objective)
    if value is None and not record.names:  # a search needs a value
        raise _end(
            root, job.ended(FAILED, f"run.objective={objective} is null at its end: search by another metric", 0)
        )
    return float(value) if value is not None else None


def leave_signals_to_the_sweep(sweep: Path, is_here: bool) -> None:
    """Make a launcher's worker ignore signals, and end soon after the sweep's process.

    The sweep's process handles signals and asks the jobs to end. If it dies, which frees the lock of its directory, a
    worker on its machine asks them: its job writes a checkpoint, the worker records the end, and ends too.

    Args:
        sweep: the sweep's directory.
        is_here: whether the sweep's process is on this machine.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return  # the sweep's process, or a worker that was set up before
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, lambda *_: None)  # not SIG_IGN, which the job's process would inherit

    def watch_sweep() -> None:
        while lock.is_held(sweep):
            time.sleep(POLL_S)
        (sweep / STOP).touch()
        with _busy:
            os._exit(1)

    if is_here:
        threading.Thread(target=watch_sweep, daemon=True).start()


def is_finished(root: Path, experiment: Experiment, config: DictConfig, state: str = FINISHED) -> bool:
    """Return whether a directory holds the finished run of an experiment, however `auto` was resolved there.

    Args:
        root: the job's directory.
        experiment: the experiment of the job.
        config: its composed config, with `auto` unresolved.
        state: that counts as finished.
    """
    summary = read_tree(RunDirectory(root).summary)
    if summary.get("state") != state:
        return False
    hardware, algo, saved = saved_experiment.resolved_in(RunDirectory(root).experiment)
    kept = {name: algo[name] for name in config.algo if config.algo[name] == AUTO and name in algo}
    as_resolved_there = replace(experiment, hardware=hardware, algo=replace(experiment.algo, **kept))
    return saved in (experiment.fingerprint(), as_resolved_there.fingerprint())


def machine_share(machine: Machine, record: SweepRecord) -> Machine:
    """Return a job's share of this machine; its memory is a share of what was free when the sweep started."""
    if not record.slots:
        return machine
    slot = share(machine, record.slots)
    return replace(slot, memory_available_bytes=record.memory_available_bytes // record.slots)


def _slot_variables(machine: Machine, slots: int | None, slot: int) -> dict[str, str]:
    """Return the variables that give a job on a shared machine its threads and GPUs."""
    return slot_environment(machine, slots, slot, os.environ.get("CUDA_VISIBLE_DEVICES")) if slots else {}


def _ray_variables(address: str | None) -> dict[str, str]:
    """Return the variables to join a shared Ray by its address: Ray 2.60 sends its token only in this mode."""
    return {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "token")} if address else {}


def _end(root: Path, job: JobRecord) -> JobFailed:
    """Write the job.json of a failed job; return the exception to raise."""
    job.write(root)
    return _failed(job)


def _failed(job: JobRecord) -> JobFailed:
    return JobFailed(f"job {job.num} ({job.name}): {job.error}")
