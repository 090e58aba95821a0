"""The sweep of `dreamer-exp -m ...`: many runs, each in a separate process."""

from collections.abc import Callable
from pathlib import Path

from hydra.conf import HydraConf
from omegaconf import DictConfig

from dreamer_exp.cli.errors import CommandFailed, composing
from dreamer_exp.config.command_words import is_dry_run
from dreamer_exp.hardware import probe
from dreamer_exp.rundir import lock
from dreamer_exp.sweeps import resume
from dreamer_exp.sweeps.job import JobFailed, run_job
from dreamer_exp.sweeps.plan import make_plan, show_plan
from dreamer_exp.sweeps.session import run_sweep


def sweep(words: list[str], resumed: bool, launch: Callable[[list[str]], None]) -> int:
    """Run a sweep, or print its jobs under `dry_run=true`; return the exit code.

    Args:
        words: the command line, flags included.
        resumed: whether the words are those of an earlier sweep (`sweep.resume`).
        launch: starts Hydra's multirun with these words.

    Raises:
        UserError: a job cannot work, or the directory holds another sweep.
        CommandFailed: the sweep's directory cannot be written.
    """
    machine = probe()
    if not is_dry_run(words):
        print("Composing and checking the jobs", flush=True)  # a tenth of a second each
    with composing():
        plan = make_plan(words, machine)
    try:
        if not plan.dry_run:
            plan.root.mkdir(parents=True, exist_ok=True)
        lock.take(plan.root, lock.SWEEPS, f"hydra.sweep.dir={plan.root}", dry_run=plan.dry_run)
        if resumed:
            resume.refuse_other_jobs(plan.root, [each.name for each in plan.jobs])
        else:
            resume.refuse_second_sweep(plan.root)
        if plan.dry_run:
            show_plan(plan)
            return 0
        with composing():
            return run_sweep(plan, machine, launch)
    except OSError as error:
        raise CommandFailed(f"the sweep's directory cannot be written ({error}); choose hydra.sweep.dir=...") from error


def sweep_job(config: DictConfig, hydra_config: HydraConf) -> float | None:
    """Run a job of a sweep in a separate process; return its objective, or None if it failed.

    Raises:
        JobFailed, OSError: the job failed, or could not be recorded, and the sweeper counts failed trials
            (`max_failure_rate` below 1).
    """
    output = Path(hydra_config.runtime.output_dir)
    try:
        return run_job(config, hydra_config.job.num, hydra_config.job.override_dirname, output)
    except (JobFailed, OSError):  # a full disk costs this job alone
        if hydra_config.sweeper.get("max_failure_rate", 1.0) < 1:
            raise
        return None  # job.json has the error; raised, Hydra would print it in the middle of the table
