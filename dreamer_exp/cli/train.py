"""`python -m dreamer_exp`: compose, load, then print what would happen (dry run) or train."""

import itertools
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from dreamer_exp.checkpoints.resume import prepare
from dreamer_exp.config import compose, composition_errors, help_text, load, multirun
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.make import contract_of, require
from dreamer_exp.hardware import probe
from dreamer_exp.planning import dry_run
from dreamer_exp.planning.forecast import check_memory, place_replay
from dreamer_exp.rundir import metric_names, new_run
from dreamer_exp.sweeps import resume as again
from dreamer_exp.sweeps.job import JobFailed, run_job
from dreamer_exp.sweeps.plan import make_plan, show_plan
from dreamer_exp.sweeps.session import run_sweep

FULL_ERROR = "HYDRA_FULL_ERROR"
TRACEBACKS = os.environ.get(FULL_ERROR) == "1"  # asked for by the user, before main() sets it for its own end


@hydra.main(version_base="1.3", config_path=str(compose.config_dir()), config_name="config")  # type: ignore[untyped-decorator]
def compose_and_run(config: DictConfig) -> float | None:
    """One run: returns its objective, which a sweeper can optimise. Under -m a job, in a process of its own."""
    hydra_config = HydraConfig.get()
    output = Path(hydra_config.runtime.output_dir)
    if hydra_config.mode == RunMode.MULTIRUN:
        return job(config, hydra_config)
    try:
        multirun.refuse_without_flag(config)
        machine = probe()
        experiment = load.load_experiment(config, machine)
        contract = contract_of(experiment.env, experiment.obs_contract)
        experiment = place_replay(experiment, contract, machine)
        metric_names.check_objective(experiment.run.objective, experiment.algo.learner)
        check_memory(experiment, contract, machine)
        if config.dry_run:
            dry_run.show(experiment, contract, machine)
            forget(output)
            return None
        require(experiment.env)
        new_run.refuse_second_run(output)
    except (
        UserError,
        *composition_errors.MISTAKES,
    ) as mistake:  # also from ${no.key}
        forget(output)
        return fail(mistake)
    with warnings.catch_warnings():
        # here, as it imports ray and torch, which a dry run must not; RLlib makes a CartPole when it is imported, and
        # Gymnasium warns of its dtypes
        warnings.simplefilter("ignore")
        from dreamer_exp.monitoring.record import RunFailed
        from dreamer_exp.training.run import train

    try:
        return train(experiment, contract, machine, output)
    except (UserError, RunFailed) as error:
        return fail(error)


def job(config: DictConfig, hydra_config: HydraConf) -> float | None:
    """A sweep's job, watched in its own process; its objective."""
    output = Path(hydra_config.runtime.output_dir)
    try:
        return run_job(config, hydra_config.job.num, hydra_config.job.override_dirname, output)
    except JobFailed:
        if hydra_config.sweeper.get("max_failure_rate", 1.0) < 1:
            raise  # a search that gives up after so many failed trials
        return None  # no objective: a failed trial. job.json has the error, which Hydra would print amid the table


def go_on(words: list[str]) -> None:
    """`resume=...`: composes nothing new, and makes no directory."""
    run, is_dry = prepare.prepare(words)
    if is_dry:
        dry_run.show(run.experiment, run.contract, run.machine)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        from dreamer_exp.monitoring.record import RunFailed
        from dreamer_exp.training.run import train
    try:
        train(run.experiment, run.contract, run.machine, run.root, resumed=run.changed)
    except RunFailed as failed:
        print(f"dreamer_exp: {failed}", file=sys.stderr)
        sys.exit(1)


def forget(output: Path) -> None:
    """Removes what Hydra wrote for a job that doesn't run, from a directory that this process made and no other."""
    if compose.is_ours(output):
        new_run.remove_traces(output)
        if output.parent.name == "outputs":  # conf/config.yaml's, which Hydra makes on the way
            new_run.remove_if_empty(output.parent)


def sweep(words: list[str], resumed: bool) -> int:
    """`-m ...`: many runs, one process for each; returns the exit code."""
    machine = probe()
    plan = make_plan(words, machine)
    if resumed:
        again.refuse_other_jobs(plan.root, [each.name for each in plan.jobs])
    else:
        again.refuse_second_sweep(plan.root)
    if plan.dry_run:
        show_plan(plan)
        return 0

    def launch(decided: list[str]) -> None:
        sys.argv[1:] = decided
        compose_and_run()

    return run_sweep(plan, machine, launch)


def fail(error: Exception) -> NoReturn:
    """Ends a run with its exit code."""
    sys.exit(report(error))


def report(error: Exception) -> int:
    """Prints an error in one line (under HYDRA_FULL_ERROR=1 also its traceback); returns the exit code: a user's
    mistake 2, else 1."""
    if TRACEBACKS:
        traceback.print_exception(error)
    if isinstance(error, OSError) and not isinstance(error, composition_errors.MISTAKES):
        print(
            f"dreamer_exp: the run's directory cannot be written ({error}); choose hydra.run.dir=...", file=sys.stderr
        )
        return 1
    composing = not HydraConfig.initialized()  # Hydra raises bare ValueErrors too: algo=3, env=null
    mistake = composing or isinstance(error, (UserError, *composition_errors.MISTAKES))
    print(f"dreamer_exp: {composition_errors.retell(error) if mistake else error}", file=sys.stderr)
    return 2 if mistake else 1


def main() -> None:
    """The entry point: every error of composition passes here and nowhere else."""
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text.help_text(_config_dirs(sys.argv)))
        return
    compose.prepare()
    HydraConfig.instance().cfg = None  # of an earlier call in this process
    os.environ[FULL_ERROR] = "1"  # so that Hydra raises its errors to us, and doesn't print and exit
    try:
        if prepare.asked_for(sys.argv[1:]):
            go_on(sys.argv[1:])
        elif multirun.asked_for(words := again.words(sys.argv[1:])):
            sys.exit(sweep(words, resumed=words != sys.argv[1:]))
        else:
            compose_and_run()
    except KeyboardInterrupt:  # before the run listens to signals, or after
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  # the last frame of the program: told in one line, never swallowed
        sys.exit(report(error))


def _config_dirs(argv: list[str]) -> tuple[Path, ...]:
    joined = [word.removeprefix("--config-dir=") for word in argv if word.startswith("--config-dir=")]
    apart = [after for flag, after in itertools.pairwise(argv) if flag in ("--config-dir", "-cd")]
    return tuple(map(Path, joined + apart))


if __name__ == "__main__":
    main()
