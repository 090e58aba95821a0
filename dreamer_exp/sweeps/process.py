"""The process of a job: `python -m dreamer_exp.sweeps.process DIRECTORY [RAY_ADDRESS]` runs it like a single run."""

import atexit
import os
import shutil
import signal
import sys
import tempfile
import threading
import warnings
from pathlib import Path

from dreamer_exp.checkpoints.initial import find_initial_weights
from dreamer_exp.config import load, saved_experiment
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of, require
from dreamer_exp.hardware import Machine, probe
from dreamer_exp.rundir import lock
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.processes import leave
from dreamer_exp.scratch import JOB_PREFIX
from dreamer_exp.sweeps.records import REQUEST, STOP, ends_at_once
from dreamer_exp.terminal import keep_running_without_terminal


def main(root: Path, ray_address: str | None = None) -> int:
    """Run or resume the experiment of REQUEST in a directory; return the exit code: 2 for a user's mistake, else 1."""
    keep_running_without_terminal()  # the disk of the log can be full
    end_with_the_watcher(root.parent / STOP)
    atexit.register(remove_temporary_folder)
    machine = probe()
    try:
        lock.hold(root, lock.TRAINS, f"job {root.name}")
        if is_own_temporary_folder():
            lock.hold(Path(tempfile.gettempdir()), "keeps temporary files", f"job {root.name}")
        config, _ = saved_experiment.recompose(root / REQUEST, [])
        experiment = load.load_experiment(config, machine)
        require(experiment.env)
        return run(root, experiment, machine, ray_address)
    except UserError as mistake:
        print(f"dreamer_exp: {mistake}", file=sys.stderr)
        return 2


def run(root: Path, experiment: Experiment, machine: Machine, ray_address: str | None) -> int:
    """Run the experiment, from the newest complete checkpoint if there is one; return the exit code.

    Raises:
        UserError: the run cannot start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RLlib and Gymnasium warn when they are imported
        from dreamer_exp.checkpoints.store import CheckpointStore
        from dreamer_exp.monitoring.record import Interrupted, RunFailed
        from dreamer_exp.training.run import train
    changed = None
    if (root / "experiment.yaml").exists() and CheckpointStore(root / "checkpoints", 1).newest_valid() is not None:
        saved_experiment.refuse_older_resume(root)
        changed = saved_experiment.changes(root / "experiment.yaml", experiment)
        saved_experiment.refuse_other_network(changed, experiment)
    else:
        remove_rows(root)
    contract = contract_of(experiment.env, experiment.obs_contract)
    initial = find_initial_weights(experiment, contract) if changed is None else None
    try:
        train(experiment, contract, machine, root, resumed=changed, initial=initial, shared_ray=ray_address)
    except RunFailed as failed:
        print(f"dreamer_exp: {failed}", file=sys.stderr)
        remove_temporary_folder()
        leave(1, failed)
    except Interrupted as ended:
        remove_temporary_folder()
        leave(int(str(ended.code)), ended)
    return 0


def is_own_temporary_folder() -> bool:
    """Return whether TMPDIR is the folder that the watching process made for this job."""
    return Path(tempfile.gettempdir()).name.startswith(JOB_PREFIX)


def remove_temporary_folder() -> None:
    """Remove this process's temporary folder; its watching process, which made it, may have died."""
    if is_own_temporary_folder():
        shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)


def remove_rows(root: Path) -> None:
    """Remove the rows of an attempt that left no checkpoint, because the run starts again."""
    directory = RunDirectory(root)
    for path in (directory.result, directory.evaluation, directory.summary, directory.error):
        path.unlink(missing_ok=True)


def end_with_the_watcher(stop: Path) -> None:
    """End this run with a checkpoint when the watching process dies, which closes standard input."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        # nothing else sends SIGUSR2; the watcher's signal may have come here too, and one signal twice means "at once"
        os.kill(os.getpid(), signal.SIGKILL if ends_at_once(stop) else signal.SIGUSR2)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
