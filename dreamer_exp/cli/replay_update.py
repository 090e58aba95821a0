"""The command `dreamer-exp replay-update FOLDER`: repeats a diverged update on the CPU and shows where it diverged."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from dreamer_exp.cli.errors import run_command
from dreamer_exp.cli.recompose import recompose, refuse_import
from dreamer_exp.cli.usage import with_usage
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.make import contract_of
from dreamer_exp.training.signals import raise_on_signals

TRUST = "trust=true"
USAGE = """\
dreamer-exp replay-update FOLDER [trust=true]

FOLDER is a run's diagnostics/nonfinite_*. The weights are those before the update if they were kept
(a learner on the CPU), else those of the checkpoint that FOLDER names, else the initial ones.
Nothing is read with pickle. A module that the run names in env.id is imported only with trust=true.
"""


def main() -> NoReturn:
    """Run the command."""
    run_command(run)


@with_usage(USAGE)
def run(words: list[str]) -> int:
    """Replay the update of the folder; return the exit code."""
    if words[1:] not in ([], [TRUST]):
        raise UserError(f"{words[1]}: replay-update takes a folder and, for modules that its run names, {TRUST}.")
    raise_on_signals()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RLlib and Gymnasium warn when they are imported
        replay_update(Path(words[0]), Console(highlight=False), words[1:])
    return 0


def replay_update(folder: Path, console: Console, words: Sequence[str] = ()) -> None:
    """Repeat the update; print its metrics next to those of the run, and the first number that is not finite.

    Raises:
        UserError: the folder holds no diagnostics, or the run's env has another contract now.
    """
    from dreamer_exp.checkpoints.policy_file import load_policy
    from dreamer_exp.monitoring.logs import quiet
    from dreamer_exp.training.divergence.replay import replay
    from dreamer_exp.training.divergence.report import read_diagnostics

    quiet("WARNING")  # after the imports, because RLlib sets its own level
    folder = folder.resolve()
    try:
        diagnostics = read_diagnostics(folder)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder}: no complete diagnostics ({error}); name a run's diagnostics/nonfinite_*."
        ) from error
    experiment = recompose(folder.parents[1], [])
    refuse_import(experiment.env, folder.parents[1], words)
    contract, trained = contract_of(experiment.env, experiment.obs_contract), diagnostics.losses["contract_hash"]
    if contract.hash != trained:
        raise UserError(f"{folder}: its contract is {trained}, and the run's env now has {contract.hash}.")
    weights = load_policy(diagnostics.weights).state_dict() if diagnostics.weights else None
    replayed = replay(experiment, contract, diagnostics.batch, weights, diagnostics.state)
    if replayed.figures:
        console.print(metrics_table(diagnostics.losses["figures"], replayed.figures))
    else:
        console.print("The update ends before it has losses, at a check of RLlib or torch.", soft_wrap=True)
    origin = f"the weights in {diagnostics.weights}" if diagnostics.weights else "the initial weights"
    console.print(f"Update {diagnostics.losses['update']:,}, with {origin}.", soft_wrap=True, markup=False)
    first = replayed.first or "none; with these weights every number is finite"
    console.print(f"First not finite: {first}", soft_wrap=True, markup=False)


def metrics_table(run: dict[str, float | str], replayed: dict[str, float]) -> Table:
    """Return a table of the metrics in the run and in the replay; those that are not finite are red."""
    table = Table()
    for heading in ("metric", "in the run", "replayed"):
        table.add_column(heading)
    for name, value in replayed.items():
        text = f"{value:.6g}" if math.isfinite(value) else f"[red]{value}"
        before = run.get(name, "")
        table.add_row(name, before if isinstance(before, str) else f"{before:.6g}", text)
    return table
