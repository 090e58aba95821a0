"""A sweep from beginning to end, round Hydra's own multirun: plan, shared Ray, live table, summary, exit code.

Not a Hydra callback: Hydra (1.3) turns what a callback raises into a warning, and calls none at the end of a sweep in
which a job failed; and Ray has to be stopped whatever happened.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from dreamer_exp.hardware import Machine
from dreamer_exp.rundir.atomic import write_text
from dreamer_exp.sweeps.job import JobFailed
from dreamer_exp.sweeps.plan import Plan, headline
from dreamer_exp.sweeps.records import (
    AT_ONCE,
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    SLOTS,
    STOP,
    job_directories,
    read_job,
)
from dreamer_exp.sweeps.shared_ray import shared_ray
from dreamer_exp.sweeps.summary import show_summary, write_summary
from dreamer_exp.sweeps.table import JobTable
from dreamer_exp.sweeps.view import JobView, look
from dreamer_exp.training.signals import StopRequest, stop_on_signals

STOPPING = "Stopping: each job finishes its update and writes a checkpoint; once more stops at once."


def run_sweep(plan: Plan, machine: Machine, launch: Callable[[list[str]], None]) -> int:
    """Runs every job, and says what became of them; returns the exit code.

    Args:
        plan: what to do.
        machine: this one.
        launch: has Hydra run the sweep of these words; what it raises is raised, after the summary.
    """
    console = Console()
    (plan.root / STOP).unlink(missing_ok=True)  # of an earlier try
    plan.root.mkdir(parents=True, exist_ok=True)
    names = [job.name for job in plan.jobs]
    iterations = [job.experiment.run.train_iterations for job in plan.jobs]
    see = partial(look, plan.root, names, iterations)
    say = partial(console.print, soft_wrap=True, markup=False, highlight=False)
    record = plan.record()
    say(f"{plan.root.name}: {headline(plan)}")
    with stop_on_signals(partial(_stop, plan, say), partial(_stop_at_once, plan, console)) as stop:
        try:
            with ExitStack() as stack:
                if plan.needs_ray:
                    address = stack.enter_context(shared_ray(*_resources(plan, machine)))
                    record = replace(record, ray_address=address)
                record.write(plan.root)
                stack.enter_context(JobTable(console, see, plan.slots))
                with _told_by_the_summary(stop, see):
                    launch(plan.words)
        finally:
            shutil.rmtree(plan.root / SLOTS, ignore_errors=True)
            end_unwatched(plan.root, INTERRUPTED if stop() else FAILED)
            views = see()
            write_summary(plan.root, record, views)
            show_summary(console, plan.root, record, views)
    return exit_code(stop, views)


def end_unwatched(sweep: Path, state: str) -> None:
    """job.json of jobs whose watching process died before it could write it."""
    for _, root in job_directories(sweep):
        job = read_job(root)
        if job is not None and job.state == RUNNING:
            job.ended(state, "the process that watched over it died").write(root)


def exit_code(stop: StopRequest, views: list[JobView]) -> int:
    """As a signal's where one came; 1 where a job isn't finished."""
    if stop():
        return stop.exit_code
    return 0 if views and all(view.state == FINISHED for view in views) else 1


@contextmanager
def _told_by_the_summary(stop: StopRequest, see: Callable[[], list[JobView]]) -> Iterator[None]:
    """Where every job failed or was stopped, what Hydra or a sweeper makes of that is no news."""
    try:
        yield
    except JobFailed:
        pass
    except Exception:
        views = see()
        if not (stop() or (views and all(view.state == FAILED for view in views))):
            raise


def _stop(plan: Plan, say: Callable[[str], None]) -> None:
    """Asks every job to end; those that watch over them look for this file."""
    (plan.root / STOP).touch()
    say(STOPPING)


def _stop_at_once(plan: Plan, console: Console) -> None:
    """Has the jobs' processes killed, and gives the terminal back."""
    write_text(plan.root / STOP, AT_ONCE)
    console.show_cursor(True)


def _resources(plan: Plan, machine: Machine) -> tuple[int, int]:
    """CPUs and GPUs of the shared Ray: enough for all slots' env runners, so that none waits for ever for another's."""
    return max(machine.cpus, (plan.slots or 1) * (plan.actors + 1)), machine.gpus
