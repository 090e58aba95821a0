"""A sweep around Hydra's multirun: shared Ray, live table, summary and exit code.

This is not a Hydra callback: Hydra 1.3 turns exceptions of callbacks into warnings and calls none at the end of a sweep
with a failed job, but Ray must be stopped in every case.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from dreamer_exp.hardware import Machine
from dreamer_exp.planning.work import planned_iterations
from dreamer_exp.rundir.atomic import write_text
from dreamer_exp.sweeps.gpu_sharing import mps
from dreamer_exp.sweeps.job import JobFailed
from dreamer_exp.sweeps.plan import Plan, headline, sharing_text
from dreamer_exp.sweeps.records import (
    AT_ONCE,
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    SLOTS,
    STOP,
    STOPPED,
    job_directories,
    read_job,
)
from dreamer_exp.sweeps.shared_ray import shared_ray
from dreamer_exp.sweeps.summary import show_summary, write_summary
from dreamer_exp.sweeps.table import JobTable
from dreamer_exp.sweeps.view import JobView, read_views
from dreamer_exp.training.signals import StopRequest, stop_on_signals

UNWATCHED = "its end was not recorded: its watching process died, or the disk is full"
STOPPING = "Stopping: each job finishes its update and writes a checkpoint; send the signal again to stop at once."


def run_sweep(plan: Plan, machine: Machine, launch: Callable[[list[str]], None]) -> int:
    """Run every job, and print and write the summary; return the exit code.

    Args:
        plan: the plan of the sweep; its directory exists, and this process has its lock.
        machine: this machine.
        launch: starts Hydra's multirun with these words; its exceptions are raised after the summary.
    """
    console = Console()
    (plan.root / STOP).unlink(missing_ok=True)  # of an earlier attempt
    names = [job.name for job in plan.jobs]
    iterations = [planned_iterations(job.experiment) for job in plan.jobs]
    views = partial(read_views, plan.root, names, iterations)
    print_line = partial(console.print, soft_wrap=True, markup=False, highlight=False)
    record = plan.record()
    print_line(f"{plan.root.name}: {headline(plan)}")
    if plan.stop_rule:
        print_line(plan.stop_rule.describe())
    with stop_on_signals(partial(_stop, plan, print_line), partial(_stop_at_once, plan, console)) as stop:
        try:
            with ExitStack() as stack:
                if plan.needs_ray:
                    address = stack.enter_context(shared_ray(*_resources(plan, machine), plan.root))
                    record = replace(record, ray_address=address)
                if shared := stack.enter_context(mps(plan.gpu_sharing)):
                    print_line(f"{sharing_text(plan)}, {shared}")
                record.write(plan.root)
                stack.enter_context(JobTable(console, views, plan.slots))
                with _failures_in_summary(stop, views):
                    launch(plan.words)
        finally:
            shutil.rmtree(plan.root / SLOTS, ignore_errors=True)
            end = INTERRUPTED if stop() else FAILED
            end_unwatched(plan.root, end)
            last_views = ended_views(views(), end)
            try:
                write_summary(plan.root, record, last_views, plan.env_steps)
            except OSError as error:
                print_line(f"sweep_summary.json and .csv could not be written: {error}")
            show_summary(console, plan.root, record, last_views, plan.env_steps)
    return exit_code(stop, last_views)


def end_unwatched(sweep: Path, state: str) -> None:
    """Write job.json for jobs whose watching process could not."""
    for _, root in job_directories(sweep):
        job = read_job(root)
        if job is not None and job.state == RUNNING:
            with suppress(OSError):
                job.ended(state, UNWATCHED).write(root)


def ended_views(views: list[JobView], state: str) -> list[JobView]:
    """Return the views with this state for jobs that are recorded as running; a full disk keeps job.json as it was."""
    return [
        replace(view, state=state, activity=None, error=UNWATCHED) if view.state == RUNNING else view for view in views
    ]


def exit_code(stop: StopRequest, views: list[JobView]) -> int:
    """Return the exit code of a signal if one came, else 1 if a job is neither finished nor stopped, else 0."""
    if stop():
        return stop.exit_code
    return 0 if views and all(view.state in (FINISHED, STOPPED) for view in views) else 1


@contextmanager
def _failures_in_summary(stop: StopRequest, read: Callable[[], list[JobView]]) -> Iterator[None]:
    """Suppress the exceptions of Hydra or a sweeper if every job failed or was stopped: the summary shows that."""
    try:
        yield
    except JobFailed:
        pass
    except Exception:
        views = read()
        if not (stop() or (views and all(view.state == FAILED for view in views))):
            raise


def _stop(plan: Plan, print_line: Callable[[str], None]) -> None:
    """Ask every job to end: their watching processes look for this file."""
    (plan.root / STOP).touch()
    print_line(STOPPING)


def _stop_at_once(plan: Plan, console: Console) -> None:
    """Have the jobs' processes killed, and show the cursor again."""
    write_text(plan.root / STOP, AT_ONCE)
    console.show_cursor(True)


def _resources(plan: Plan, machine: Machine) -> tuple[int, int]:
    """Return CPUs and GPUs of the shared Ray: enough for the env runners of all slots, which would block otherwise."""
    return max(machine.cpus, (plan.slots or 1) * (plan.actors + 1)), machine.gpus
