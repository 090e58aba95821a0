"""The command `dreamer-exp train`, and `dreamer-exp` without a command: one run, a resumed run, or a sweep.

What only a sweep or a dry run needs is imported there, so that a run's first line comes within a second.
"""

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser  # the flags are declared only here
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.checkpoints.initial import find_initial_weights
from dreamer_exp.checkpoints.resume import prepare
from dreamer_exp.cli.errors import FULL_ERROR, CommandFailed, composing, run_command
from dreamer_exp.cli.supervisor import supervise
from dreamer_exp.config import compose, load, multirun
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.option_files import check_option_files, extra_dirs
from dreamer_exp.config.schema import AlgoConfig
from dreamer_exp.config.text_values import as_typed
from dreamer_exp.envs.make import require
from dreamer_exp.hardware import probe
from dreamer_exp.planning.resolve import resolve
from dreamer_exp.rundir import lock, new_run
from dreamer_exp.rundir.atomic import write_text
from dreamer_exp.rundir.processes import notify
from dreamer_exp.sweeps import resume as resumed_sweep
from dreamer_exp.training.signals import SIGNALS, is_forked, raise_on_signals


def main() -> NoReturn:
    """Run the command."""
    run_command(run, needs_output=False)


def run(words: list[str]) -> int | None:
    """Train, resume or sweep, as the words ask; return the exit code."""
    words = as_typed(words)
    refuse_unknown_flags(words)
    compose.refuse_option_lists(words)
    compose.prepare()
    check_option_files(words, (*compose.config_dirs(), *extra_dirs(words)))
    HydraConfig.instance().cfg = None  # of an earlier call in this process
    os.environ[FULL_ERROR] = "1"  # Hydra then raises its errors instead of printing them and exiting
    if prepare.is_requested(words):
        supervise()
        raise_on_signals()
        return resume(words)
    sweep_words = resumed_sweep.command_line(words)
    if multirun.is_sweep(sweep_words):
        from dreamer_exp.cli.sweep import sweep

        return sweep(sweep_words, sweep_words != words, start_hydra)
    train(words)
    return 0


def refuse_unknown_flags(words: list[str]) -> None:
    """Refuse flags that Hydra would refuse in eight lines."""
    if not any(word.startswith("-") for word in words):
        return
    try:
        with redirect_stderr(StringIO()) as usage:
            get_args_parser().parse_args(words)
    except SystemExit as refused:
        reason = usage.getvalue().strip().rpartition("error: ")[2]
        raise UserError(f"{reason}; see dreamer-exp --help.") from refused


def train(words: list[str]) -> None:
    """Compose the experiment of these words and run it.

    Raises:
        UserError: the words do not compose, or the experiment cannot work.
        CommandFailed: the run's directory cannot be written.
        RunFailed: the run failed.
    """
    try:
        with composing():
            start_hydra(words)
    except OSError as error:
        raise CommandFailed(f"the run's directory cannot be written ({error}); choose hydra.run.dir=...") from error
    except PassHydra as passed:
        raise passed.error from None


def start_hydra(words: list[str]) -> None:
    """Have Hydra compose the config of these words and call `compose_and_run`, under -m once for each job."""
    sys.argv[1:] = words
    compose_and_run()


class PassHydra(BaseException):
    """Carrier of a run's exception through Hydra, which prints an additional line for each Exception of a job."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@hydra.main(version_base="1.3", config_path=str(compose.config_dir()), config_name="config")  # type: ignore[untyped-decorator]
def compose_and_run(config: DictConfig) -> float | None:
    """Run one experiment; return its objective, which a sweeper can optimise. Under -m, run a job of the sweep."""
    hydra_config = HydraConfig.get()
    output = Path(hydra_config.runtime.output_dir)
    if hydra_config.mode == RunMode.MULTIRUN:
        save_composition(config, hydra_config, output)
        from dreamer_exp.cli.sweep import sweep_job

        return sweep_job(config, hydra_config)
    try:
        return run_once(config, hydra_config, output)
    except Exception as error:
        raise PassHydra(error) from error


def run_once(config: DictConfig, hydra_config: HydraConf, output: Path) -> float | None:
    """Check the composed experiment, then print what would happen (dry run) or train; return the objective."""
    if not hydra_config.run.dir:  # of an unset variable: the run would fill the working directory
        raise UserError("hydra.run.dir is empty; name a directory, as hydra.run.dir=outputs/mine.")
    key = f"hydra.run.dir={output}"
    if not config.dry_run:
        supervise()
    raise_on_signals()
    lock.take(output, lock.TRAINS, key, dry_run=config.dry_run)
    try:
        multirun.refuse_without_flag(config)
        machine = probe()
        experiment = load.load_experiment(config, machine)
        notify(env=experiment.env.label)
        if not config.dry_run:
            announce(experiment, output)
        experiment, contract = resolve(experiment, machine)
        initial = find_initial_weights(experiment, contract)
        new_run.refuse_second_run(output)
        if config.dry_run:
            from dreamer_exp.planning import dry_run

            dry_run.show(
                experiment,
                contract,
                machine,
                weights=None if initial is None else str(initial),
                further_warnings=[] if initial is None else initial.warnings(),
            )
            remove_traces(output)
            return None
        require(experiment.env)
        save_composition(config, hydra_config, output)
        with ended_by_signals(lambda: remove_traces(output)):
            train_run = import_train(experiment.algo)
            if initial is not None:
                initial.read()  # refuses files that do not fit each other, before the run begins
    except BaseException:  # of any kind: a run that does not start leaves nothing
        remove_traces(output)
        raise
    notify(root=str(output))
    return train_run(experiment, contract, machine, output, initial=initial)


def save_composition(config: DictConfig, hydra_config: HydraConf, output: Path) -> None:
    """Write .hydra/ as Hydra does; Hydra itself would write it before this process has the directory's lock."""
    folder = output / ".hydra"
    trees = {"config": config, "hydra": OmegaConf.create({"hydra": hydra_config}),
             "overrides": hydra_config.overrides.task}  # fmt: skip
    for name, tree in trees.items():
        write_text(folder / f"{name}.yaml", OmegaConf.to_yaml(tree))


def resume(words: list[str]) -> int:
    """Resume the run that `resume=RUN` names, in its directory."""
    with composing():
        request, is_dry_run = prepare.prepare_resume(words)
    if is_dry_run:
        from dreamer_exp.planning import dry_run

        dry_run.show(
            request.experiment,
            request.contract,
            request.machine,
            request.point.progress,
            weights=f"of checkpoint {request.point.checkpoint.name}",
        )
        return 0
    announce(request.experiment, request.root)
    notify(env=request.experiment.env.label, root=str(request.root))
    with ended_by_signals(lambda: None):
        train_run = import_train(request.experiment.algo)
    train_run(
        request.experiment,
        request.contract,
        request.machine,
        request.root,
        resumed=request.changed,
        resume_point=request.point,
    )
    return 0


def announce(experiment: Experiment, root: Path) -> None:
    """Print what begins, before the seconds that an environment and the imports of ray and torch take."""
    if logging.getLevelName(experiment.run.log_level) <= logging.INFO:
        print(f"{root.name}: importing ray and torch", flush=True)


def import_train(algo: AlgoConfig) -> Callable[..., float | None]:
    """Return `training.run.train`, with the algorithm imported: ray and torch, which a dry run does not need."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RLlib makes a CartPole when it is imported, and Gymnasium warns of its dtypes
        from dreamer_exp.training.run import train

        spec_of(algo).load()
    return train


@contextmanager
def ended_by_signals(clean_up: Callable[[], None]) -> Iterator[None]:
    """End this process at a signal within the block, without an exception, which a callback of an import can catch."""

    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if is_forked(owner, number):
            return
        clean_up()
        notify(ended=True)
        os._exit(128 + number)

    handled = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def remove_traces(output: Path) -> None:
    """Remove what Hydra wrote for a run that does not start, if this process made the directory."""
    if compose.is_ours(output):
        new_run.remove_traces(output)
        if output.parent.name == "outputs":  # created by Hydra for conf/config.yaml's hydra.run.dir
            new_run.remove_if_empty(output.parent)
